"""What is written in a format is read back the same, and is what the format's documentation asks for."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import yaml

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.rectangles import rectangle_quads
from datasets_tools.formats.training_list import read_training_list, write_list
from datasets_tools.known_formats import format_readers, writers
from tests.datasets_tools.formats.text_samples import QUAD, write_files
from tests.paths import DATA
from utils.errors import Faults, UserError

CLASSES = ["plane", "ship"]
READERS = {"coco-rotated": "coco"}
SIZE = (600, 30_000)


def random_image(rectangles: bool, count: int = 300, split: str = "train") -> LabelledImage:
    """Return random quads, convex or not, over a large image; or rotated rectangles."""
    rng = np.random.default_rng(3)
    if rectangles:
        sizes = rng.uniform(3, 200, (count, 2))
        quads = rectangle_quads(rng.uniform(0, 600, (count, 2)), sizes, rng.uniform(0, 2 * np.pi, count))
    else:
        corners = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
        quads = (corners + rng.uniform(-0.7, 0.7, (count, 4, 2))) * rng.uniform(3, 100, (count, 1, 1))
        quads += rng.uniform(0, 30_000, (count, 1, 2))
    classes = [CLASSES[k] for k in rng.integers(0, 2, count)]
    return LabelledImage("a b.png", SIZE, quads, classes, rng.integers(0, 3, count).astype(np.int8), split)


def write_and_read(form: str, images: list[LabelledImage], folder: Path) -> tuple[list[LabelledImage], Notes]:
    notes = Notes()
    target = writers(CLASSES, "degrees")[form]
    placed = {target.place(image): None for image in images}
    write_files(folder, placed if form != "yolo-obb" else {})
    if form == "yolo-obb":  # which reads the sizes of the images
        for name in placed:
            write_large_image(folder / name)
    target.write(images, folder, notes)
    read = format_readers((), "degrees")[READERS.get(form, form)]
    return list(read(folder, Faults(skip=False), notes)), notes


def write_large_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((*SIZE, 1), np.uint8))


def as_polygons(quads: np.ndarray) -> np.ndarray:
    """Return quads clockwise from their smallest vertex, which any order of a polygon becomes."""
    rows = []
    for quad in quads:
        x, y = (quad - quad.mean(axis=0)).T
        area = (x * np.roll(y, -1) - y * np.roll(x, -1)).sum()
        quad = quad if area >= 0 else quad[::-1]
        rows.append(np.roll(quad, -min(range(4), key=lambda k: tuple(quad[k].round(3))), axis=0))
    return np.array(rows)


@pytest.mark.parametrize("rectangles", [True, False])
@pytest.mark.parametrize("form", writers((), "degrees"))
def test_quads_come_back(form: str, rectangles: bool, tmp_path: Path) -> None:
    image = random_image(rectangles)
    (found,), _ = write_and_read(form, [image], tmp_path)
    assert found.classes == image.classes
    assert found.split == "train"
    assert Path(found.name).stem == "a b"
    if form == "rolabelimg":  # which has rectangles alone
        for old, new in zip(shapely.polygons(image.quads), shapely.polygons(found.quads), strict=True):
            whole = shapely.convex_hull(old)
            assert new.intersection(whole).area >= 0.99999 * whole.area
            assert new.area <= shapely.oriented_envelope(whole).area * 1.00001
            assert not rectangles or whole.area / new.area >= 0.999
    elif form == "list":  # which turns the vertices
        np.testing.assert_allclose(as_polygons(found.quads), as_polygons(image.quads), atol=1e-5)
    else:
        np.testing.assert_allclose(found.quads, image.quads, atol=1e-5)  # 1e-2 is asked


@pytest.mark.parametrize("form", writers((), "degrees"))
def test_difficult_is_kept_or_its_loss_is_said(form: str, tmp_path: Path) -> None:
    image = random_image(rectangles=True)
    (found,), notes = write_and_read(form, [image], tmp_path)
    if not np.array_equal(found.difficult, image.difficult):
        lost = [count for what, count in notes.counts.items() if "difficult" in what]
        expected = (image.difficult > found.difficult).sum()
        assert lost == [expected]


@pytest.mark.parametrize("form", writers((), "degrees"))
def test_no_objects_and_no_images(form: str, tmp_path: Path) -> None:
    image = random_image(rectangles=True, count=0, split="")
    (found,), notes = write_and_read(form, [image], tmp_path / "one")
    assert found.quads.shape == (0, 4, 2)
    assert not [what for what in notes.counts if "splits" not in what]
    writers([], "degrees")[form].write([], tmp_path / "none", Notes())
    assert (tmp_path / "none").is_dir()


def test_dota_file_by_hand(tmp_path: Path) -> None:
    quads = np.array([[[0.0, 1], [2.5, 1], [2.5, 3.1234567], [0, 3]]])
    image = LabelledImage("P1.v2.tif", None, quads, ["large vehicle"], np.array([2], np.int8), "val")
    notes = Notes()
    writers((), "degrees")["dota"].write([image], tmp_path, notes)
    text = (tmp_path / "val/labelTxt/P1.v2.txt").read_text()
    assert text == "0 1 2.5 1 2.5 3.123457 0 3 large-vehicle 2\n"
    assert list(notes.counts.values()) == [1]


def test_the_examples_of_the_page_are_what_is_written(tmp_path: Path) -> None:
    quad = np.array(QUAD).reshape(1, 4, 2)
    image = LabelledImage("P1.png", (30, 40), quad, ["large-vehicle"], np.ones(1, np.int8))
    for form in ("dota", "list", "yolo-obb", "coco"):
        named = image._replace(name="images/train/P1.png") if form == "list" else image
        writers(["large-vehicle"], "degrees")[form].write([named], tmp_path / form, Notes())
    page = (Path(__file__).parents[3] / "docs/formats.md").read_text()
    for name in ("dota/labelTxt/P1.txt", "list/all.txt", "yolo-obb/labels/P1.txt"):
        assert f"```\n{(tmp_path / name).read_text()}```" in page
    (row,) = json.loads((tmp_path / "coco/annotations/instances_all.json").read_text())["annotations"]
    example = page.partition("### COCO")[2].partition("```json\n")[2].partition("```")[0]
    assert json.loads(example) == row


@pytest.mark.parametrize("name", ["12", "nan", "1e5"])
def test_dota_refuses_class_names_that_are_numbers(name: str, tmp_path: Path) -> None:
    image = LabelledImage("a", None, np.zeros((1, 4, 2)), [name], np.zeros(1, np.int8))
    with pytest.raises(UserError, match=f"--map {name}=NAME"):
        writers((), "degrees")["dota"].write([image], tmp_path, Notes())


def test_list_line_by_hand(tmp_path: Path) -> None:
    """A diamond of 20 x 10: half of its box, and a long side of atan(1 / 2)."""
    diamond = np.array([[[0.0, 5], [10, 0], [20, 5], [10, 10]]])
    image = LabelledImage("images/a b.png", None, diamond, ["ship"], np.zeros(1, np.int8))
    write_list([image], tmp_path, Notes(), ["car", "ship"])
    line = (tmp_path / "all.txt").read_text()
    assert line.startswith("images/a b.png 0,0,20,10,1,10,0,20,5,10,10,0,5,0.5,")
    angle = float(line.split(",")[-1])
    assert min(abs(angle - 26.565051), abs(angle - 153.434949)) < 1e-5
    assert (tmp_path / "classes.txt").read_text() == "car\nship\n"


def test_list_of_a_quad_that_needs_the_approximation(tmp_path: Path) -> None:
    """Case 7 of spec 1.3.3: ratio and order are those of the approximation, vertices and box stay."""
    quad = np.array([[[0.0, 1], [26, 4], [34, 22], [10, 26]]])
    image = LabelledImage("a.png", None, quad, ["ship"], np.zeros(1, np.int8))
    write_list([image], tmp_path, Notes(), ["ship"])
    values = [float(v) for v in (tmp_path / "all.txt").read_text().split()[1].split(",")]
    assert values[:13] == [0, 1, 34, 26, 0, 26, 4, 34, 22, 10, 26, 0, 1]
    approximated = shapely.Polygon([(26, 1), (34, 22), (10, 26), (0, 1)])
    assert values[13] == pytest.approx(approximated.area / (34 * 25), abs=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "hrsc2016-labels").is_dir(), reason="no HRSC2016 labels here")
def test_list_of_hrsc2016_is_written_again(tmp_path: Path) -> None:
    """All 1,748 objects have the same box, order and ratio as the original's, and angles within a degree."""
    source = DATA / "hrsc2016-labels/train.txt"
    images = list(read_training_list(source, Faults(skip=False), Notes(), ["ship"]))
    write_list(images, tmp_path, Notes(), ["ship"])
    old, new = (
        np.array([token.split(",") for token in path.read_text().split() if "," in token], float)
        for path in (source, tmp_path / "train.txt")
    )
    assert len(old) == 1748
    np.testing.assert_allclose(new[:, :14], old[:, :14], atol=1e-6)
    turned = np.abs(new - old)[:, 14]
    assert np.minimum(turned, 180 - turned).max() < 1.0


def test_yolo_files_by_hand(tmp_path: Path) -> None:
    quads = np.array([[[0.0, 0], [20, 0], [20, 15], [0, 30]]])
    image = LabelledImage("a.png", (30, 40), quads, ["ship"], np.ones(1, np.int8), "train")
    notes = Notes()
    writers(["car", "ship"], "degrees")["yolo-obb"].write(
        [image, image._replace(split="val")], tmp_path, notes
    )
    assert (tmp_path / "labels/train/a.txt").read_text() == "1 0 0 0.5 0 0.5 0.5 0 1\n"
    table = yaml.safe_load((tmp_path / "data.yaml").read_text())
    assert table == {"train": "images/train", "val": "images/val", "names": {0: "car", 1: "ship"}}
    assert notes.counts == {"difficult flags are lost: YOLO labels have none": 2}
    with pytest.raises(UserError, match=r"a.png: YOLO labels need the size"):
        writers(["ship"], "degrees")["yolo-obb"].write([image._replace(size=None)], tmp_path, notes)


@pytest.mark.parametrize(("form", "count"), [("coco", 4), ("coco-rotated", 5)])
def test_coco_file_by_hand(form: str, count: int, tmp_path: Path) -> None:
    quads = rectangle_quads(np.array([[20.0, 15]]), np.array([[10.0, 4]]), np.array([math.pi / 6]))
    image = LabelledImage("a.png", (30, 40), quads, ["ship"], np.array([2], np.int8), "val")
    writers(["car", "ship"], "degrees-ccw")[form].write([image], tmp_path, Notes())
    document = json.loads((tmp_path / "annotations/instances_val.json").read_text())
    assert document["images"] == [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}]
    assert document["categories"] == [{"id": 1, "name": "car"}, {"id": 2, "name": "ship"}]
    (row,) = document["annotations"]
    assert (row["id"], row["image_id"], row["category_id"]) == (1, 1, 2)
    assert (row["iscrowd"], row["ignore"], row["difficult"]) == (1, 1, 2)
    assert row["area"] == pytest.approx(40)
    np.testing.assert_allclose(np.reshape(row["segmentation"], (4, 2)), quads[0], atol=1e-6)
    low, high = quads[0].min(axis=0), quads[0].max(axis=0)
    expected = [*low, *(high - low)] if count == 4 else [20, 15, 10, 4, -30]
    np.testing.assert_allclose(row["bbox"], expected, atol=1e-5)


def test_xanylabeling_turns_rectangles_and_keeps_quads(tmp_path: Path) -> None:
    turned = rectangle_quads(np.array([[20.0, 15]]), np.array([[10.0, 4]]), np.array([4.0]))
    quads = np.concatenate([turned, [[[0.0, 0], [9, 1], [8, 9], [1, 5]]]])
    image = LabelledImage("a.png", (30, 40), quads, ["ship", "car"], np.array([1, 0], np.int8), "train")
    notes = Notes()
    writers((), "degrees")["xanylabeling"].write([image], tmp_path, notes)
    first, second = json.loads((tmp_path / "train/a.json").read_text())["shapes"]
    assert (first["shape_type"], first["difficult"], first["direction"]) == ("rotation", True, 4.0)
    assert (second["shape_type"], second["difficult"]) == ("quadrilateral", False)
    assert not notes.counts
