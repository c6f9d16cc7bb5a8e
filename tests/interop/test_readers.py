"""Other programs read what convert writes: objects counted, coordinates compared (README.md here)."""

import importlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datasets_tools.convert import main
from evalR.outputs.yolo import write_yolo_labels
from tests.evalR.outputs.found import make_found

pytestmark = pytest.mark.slow
SIZE = (30, 40)
QUADS = np.array([[[10, 10], [30, 12], [28, 24], [9, 20]], [[2, 2], [12, 2], [12, 8], [2, 8]]], float)
BEYOND = np.array([[-4, 10], [44, 10], [44, 20], [-4, 20]], float)
COUNTS = {"train": 3, "val": 2}  # images, of two objects each


def package(name: str) -> Any:
    pytest.importorskip(name.partition(".")[0], reason=f"{name} is not installed (tests/interop/README.md)")
    return importlib.import_module(name)


def line(quad: np.ndarray, name: str, flag: int | str = 0) -> str:
    return f"{' '.join(f'{value:g}' for value in quad.ravel())} {name} {flag}\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for split, count in COUNTS.items():
        for folder in ("images", "labelTxt"):
            (tmp_path / "in" / split / folder).mkdir(parents=True)
        for k in range(count):
            image = np.full((*SIZE, 3), 40 * k + len(split), np.uint8)
            assert cv2.imwrite(str(tmp_path / f"in/{split}/images/p{k}.png"), image)
            text = line(QUADS[0], "ship") + line(QUADS[1], "plane", 1)
            (tmp_path / f"in/{split}/labelTxt/p{k}.txt").write_text(text)
    return tmp_path / "in"


def convert(source: Path, form: str, *options: str, source_form: str = "dota") -> Path:
    target = source.parent / form
    main([str(source), str(target), "--from", source_form, "--to", form, "--processes", "1", *options])
    return target


def near(found: Any, expected: np.ndarray, tolerance: float = 1e-3) -> None:
    """Compare quads whatever their order."""
    rows = [np.reshape(np.asarray(quad, float), (4, 2)) for quad in found]
    ordered = sorted(rows, key=lambda quad: -quad.max())
    np.testing.assert_allclose(ordered, sorted(expected, key=lambda quad: -quad.max()), atol=tolerance)


def ultralytics_reads(root: Path, split: str) -> dict[str, list[np.ndarray]]:
    """Return the quads in pixels of those images that its check of labels keeps."""
    verify = package("ultralytics.data.utils").verify_image_label
    found = {}
    for path in sorted((root / "images" / split).glob("*.png")):
        labels = root / "labels" / split / f"{path.stem}.txt"
        row = verify((str(path), str(labels), "", False, 2, 0, 0, False))
        if row[0] is not None:
            found[path.stem] = [np.asarray(shape) * SIZE[::-1] for shape in row[3]]
    return found


def test_ultralytics(source: Path) -> None:
    root = convert(source, "yolo-obb")
    for split, count in COUNTS.items():
        found = ultralytics_reads(root, split)
        assert len(found) == count
        for quads in found.values():
            near(quads, QUADS)
    table = package("ultralytics.data.utils").check_det_dataset(str((root / "data.yaml").resolve()), False)
    assert table["names"] == {0: "plane", 1: "ship"}
    assert Path(table["train"]) == (root / "images/train").resolve()


def test_ultralytics_drops_what_is_said_and_nothing_with_clip(
    source: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (source / "train/labelTxt/p1.txt").open("a") as file:
        file.write(line(BEYOND, "ship"))
    root = convert(source, "yolo-obb")
    assert sorted(ultralytics_reads(root, "train")) == ["p0", "p2"]
    assert "in one case, images have objects beyond the border, and Ultralytics leaves" in caplog.text
    root = convert(source, "yolo-obb", "--clip", "--overwrite")
    assert [len(quads) for quads in ultralytics_reads(root, "train").values()] == [2, 3, 2]


def test_ultralytics_reads_predictions(source: Path) -> None:
    for path in source.rglob("*.txt"):
        path.write_text(line(QUADS[0], "ship", "0.9088") + line(QUADS[1], "plane", "0.5000"))
    for quads in ultralytics_reads(convert(source, "yolo-obb"), "val").values():
        near(quads, QUADS)


@pytest.mark.parametrize("form", ["cvat", "coco"])
def test_datumaro(form: str, source: Path) -> None:
    dataset = package("datumaro").Dataset.import_from(str(convert(source, form)), form)
    items = list(dataset)
    assert {split: sum(item.subset == split for item in items) for split in COUNTS} == COUNTS
    for item in items:
        near([a.points for a in item.annotations if type(a).__name__ == "Polygon"], QUADS)
        assert Path(item.media.path).is_file()


def test_datumaro_reads_a_task_of_cvat(source: Path) -> None:
    items = list(package("datumaro").Dataset.import_from(str(convert(source / "val", "cvat")), "cvat"))
    assert [len(item.annotations) for item in items] == [2, 2]


def test_pycocotools(source: Path) -> None:
    coco = package("pycocotools.coco").COCO(str(convert(source, "coco") / "annotations/instances_train.json"))
    assert len(coco.getImgIds()) == 3
    assert sorted(row["name"] for row in coco.loadCats(coco.getCatIds())) == ["plane", "ship"]
    for number in coco.getImgIds():
        rows = coco.loadAnns(coco.getAnnIds([number]))
        near([row["segmentation"][0] for row in rows], QUADS)
        areas = [float(coco.annToMask(row).sum()) for row in rows]
        np.testing.assert_allclose(areas, [row["area"] for row in rows], rtol=0.1)


def test_supervision(source: Path) -> None:
    sv = package("supervision")
    root = convert(source, "coco")
    dataset = sv.DetectionDataset.from_coco(
        str(root / "images/train"), str(root / "annotations/instances_train.json")
    )
    boxes = [[*quad.min(axis=0), *quad.max(axis=0)] for quad in QUADS]
    assert len(dataset) == 3
    for _, image, found in dataset:
        assert image.shape == (*SIZE, 3)
        np.testing.assert_allclose(sorted(found.xyxy.tolist()), sorted(boxes), atol=1e-3)
    root = convert(source, "yolo-obb")
    folders = [str(root / kind / "train") for kind in ("images", "labels")]
    dataset = sv.DetectionDataset.from_yolo(*folders, str(root / "data.yaml"), is_obb=True)
    for _, _, found in dataset:
        near(found.data[sv.config.ORIENTED_BOX_COORDINATES], QUADS)


@pytest.mark.parametrize("form", ["labelme", "xanylabeling"])
def test_labelme(form: str, source: Path) -> None:
    """Points and flags; a score of a prediction stays among the keys of others."""
    read = package("labelme._label_file").LabelFile
    for path in source.rglob("*.txt"):
        path.write_text(line(QUADS[0], "ship", "0.9088") + line(QUADS[1], "plane", "0.5000"))
    paths = sorted((convert(source, form) / "val").glob("*.json"))
    assert len(paths) == 2
    for path in paths:
        shapes = read(str(path)).shapes
        near([shape["points"] for shape in shapes], QUADS)
        assert [shape["other_data"]["score"] for shape in shapes] == [0.9088, 0.5]


def test_label_studio(source: Path, tmp_path: Path) -> None:
    """Its own import of COCO makes a polygon of every quad."""
    to_tasks = package("label_studio_sdk.converter.imports.coco").convert_coco_to_ls
    path = convert(source, "coco") / "annotations/instances_val.json"
    to_tasks(str(path), str(tmp_path / "tasks.json"), use_super_categories=False, out_type="annotations")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert len(tasks) == 2
    for task in tasks:
        rows = [row for row in task["annotations"][0]["result"] if row["type"] == "polygonlabels"]
        near([np.array(row["value"]["points"]) * SIZE[::-1] / 100 for row in rows], QUADS)


def test_ultralytics_reads_the_files_of_predict(tmp_path: Path) -> None:
    """As they are: without scores, and what reaches beyond the image clipped."""
    found = make_found(np.concatenate([QUADS, BEYOND[None]]).tolist(), size=SIZE)
    (tmp_path / "images/all").mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "images/all/a.png"), np.zeros((*SIZE, 3), np.uint8))
    write_yolo_labels(tmp_path / "labels/all/a.txt", found)
    quads = ultralytics_reads(tmp_path, "all")["a"]
    near(quads[:2], QUADS)
    assert {tuple(point) for point in quads[2].round(3).tolist()} == {(0, 10), (40, 10), (40, 20), (0, 20)}
