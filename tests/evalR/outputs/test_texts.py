"""DOTA, YOLO-OBB, COCO and CSV: by hand, and read back by our own readers of labels."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataloadR.formats.coco import read_coco
from dataloadR.formats.notes import Notes
from dataloadR.formats.yolo_folders import read_names
from evalR.outputs.coco import write_coco_results
from evalR.outputs.dota import dota_lines, write_dota_labels
from evalR.outputs.table import COLUMNS, write_csv
from evalR.outputs.yolo import write_names, write_yolo_labels
from tests.evalR.outputs.found import CLASSES, make_found, random_quads, rectangle
from utils.errors import Faults
from utils.records import GeoReference

QUAD = [[10, 20], [50.125, 20], [50, 40], [10, 40.5]]


def test_dota_text_by_hand(tmp_path: Path) -> None:
    write_dota_labels(tmp_path / "a.txt", make_found([QUAD, QUAD]))
    assert (tmp_path / "a.txt").read_text().splitlines() == [
        "10.00 20.00 50.12 20.00 50.00 40.00 10.00 40.50 plane 0.9000",
        "10.00 20.00 50.12 20.00 50.00 40.00 10.00 40.50 large-ship 0.8900",
    ]
    assert dota_lines(make_found()) == []


def test_yolo_by_hand(tmp_path: Path) -> None:
    write_yolo_labels(tmp_path / "labels/a.txt", make_found([QUAD], [1]))  # 500 x 400 px
    assert (tmp_path / "labels/a.txt").read_text() == "1 0.02 0.05 0.10025 0.05 0.1 0.1 0.02 0.10125\n"
    write_names(tmp_path / "data.yaml", {}, CLASSES)
    assert read_names(tmp_path / "data.yaml") == list(CLASSES)
    write_yolo_labels(tmp_path / "labels/b.txt", make_found())
    assert (tmp_path / "labels/b.txt").read_text() == ""


def test_coco_is_read_back(tmp_path: Path) -> None:
    quads = random_quads(7)
    write_coco_results(
        tmp_path / "a.json", [make_found(quads), make_found(source="images/empty.png")], CLASSES
    )
    first, second = read_coco(tmp_path / "a.json", Faults(skip=False), Notes())
    assert (first.name, first.size, second.name) == ("images/scene.png", (400, 500), "images/empty.png")
    np.testing.assert_allclose(first.quads, quads, atol=1e-6)
    assert first.classes == [CLASSES[k % 2] for k in range(7)]
    assert second.classes == []
    document = json.loads((tmp_path / "a.json").read_text())
    assert [row["id"] for row in document["annotations"]] == list(range(1, 8))
    for row, quad in zip(document["annotations"], quads, strict=True):
        x, y, width, height = cv2.boundingRect(quad.astype(np.float32))  # whole pixels around it
        assert row["bbox"] == pytest.approx([x, y, width, height], abs=2)
        assert row["area"] == pytest.approx(300)
    assert document["annotations"][0]["score"] == 0.9


def test_csv_in_pixels_and_in_metres(tmp_path: Path) -> None:
    quad = rectangle(100, 50, 40, 10, 90)
    pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    geo = GeoReference((1e-5, 0.0, 20.0, 0.0, -1e-5, 60.0), "EPSG:4326")
    write_csv(tmp_path / "a.csv", [make_found([quad]), make_found(), make_found([quad], geo=geo)])
    with (tmp_path / "a.csv").open(newline="") as file:
        plain, placed = csv.DictReader(file)
    assert tuple(plain) == COLUMNS
    assert plain["image"] == "images/scene.png"
    corners = [float(plain[f"{a}{n}"]) for n in range(1, 5) for a in "xy"]
    assert corners == pytest.approx(quad.ravel(), abs=1e-3)
    shown = {name: plain[name] for name in ("class", "score", "centre_x", "centre_y", "length_px", "area_px")}
    assert list(shown.values()) == ["plane", "0.9", "100", "50", "40.0", "400.0"]
    assert {plain[name] for name in COLUMNS[-6:]} == {""}
    assert float(placed["longitude"]) == pytest.approx(20.001, abs=1e-9)
    assert float(placed["latitude"]) == pytest.approx(59.9995, abs=1e-9)
    assert float(placed["length_m"]) == pytest.approx(40e-5 * 55_800, rel=1e-3)
    assert placed["heading_true_deg"] == "90.0"


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0", "+1", "-a", "@sum(a)", "\ttab"])
def test_no_text_is_a_formula(name: str, tmp_path: Path) -> None:
    found = make_found([QUAD], source=f"{name}.png")._replace(classes=(name,))
    write_csv(tmp_path / "a.csv", [found, make_found([QUAD], source="a-=b.png")])
    with (tmp_path / "a.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["image"], first["class"]) == (f"'{name}.png", f"'{name}")
    assert (second["image"], second["class"]) == ("a-=b.png", "plane")


def test_nothing_found_is_a_file_of_names(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [])
    assert (tmp_path / "a.csv").read_text() == ",".join(COLUMNS) + "\n"
    write_coco_results(tmp_path / "a.json", [], CLASSES)
    assert json.loads((tmp_path / "a.json").read_text())["annotations"] == []
