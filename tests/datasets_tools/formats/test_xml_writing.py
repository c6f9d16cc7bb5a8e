"""What is written in XML comes back: rectangles by IoU, quads by coordinate, names, flags and splits."""

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.rectangles import rectangle_quads
from dataloadR.label_lines import read_label_file
from datasets_tools.formats.cvat import read_cvat, write_cvat
from datasets_tools.formats.rolabelimg import read_rolabelimg, write_rolabelimg
from tests.datasets_tools.formats.xml_samples import ROTATED
from tests.paths import DATA
from tests.utils.quads.random_quads import convex_quads
from utils.arrays import F64
from utils.errors import Faults, UserError

WRITERS = {"rolabelimg": (write_rolabelimg, read_rolabelimg), "cvat": (write_cvat, read_cvat)}
EVERY = pytest.mark.parametrize("form", WRITERS)


def labelled(quads: F64, name: str = "P1.png", split: str = "", flags: Sequence[int] = ()) -> LabelledImage:
    difficult = np.zeros(len(quads), np.int8)
    difficult[: len(flags)] = flags
    return LabelledImage(name, (512, 640), quads, ["ship"] * len(quads), difficult, split)


def there_and_back(form: str, images: Sequence[LabelledImage], folder: Path) -> list[LabelledImage]:
    write, read = WRITERS[form]
    write(images, folder, Notes())
    return list(read(folder, Faults(False), Notes()))


def ious(a: F64, b: F64) -> F64:
    first, second = shapely.polygons(a), shapely.polygons(b)
    return np.asarray(
        shapely.area(shapely.intersection(first, second)) / shapely.area(shapely.union(first, second))
    )


def many_rectangles() -> F64:
    """Every degree and every kind of side, from 0.05 px to 30,000, near and far."""
    rng = np.random.default_rng(0)
    degrees = np.concatenate([np.arange(0, 360), rng.uniform(0, 360, 640)])
    sizes = 10 ** rng.uniform(math.log10(0.05), math.log10(30_000), (1000, 2))
    sizes[::5, 1] = sizes[::5, 0]  # squares
    centres = rng.uniform(-100, 30_000, (1000, 2))
    return rectangle_quads(centres, sizes, np.radians(degrees))


@EVERY
def test_rectangles(form: str, tmp_path: Path) -> None:
    quads = many_rectangles()
    (image,) = there_and_back(form, [labelled(quads)], tmp_path)
    assert ious(image.quads - quads[:, :1], quads - quads[:, :1]).min() >= 0.999


@settings(max_examples=60, deadline=None)
@given(
    centre=st.tuples(st.floats(-1e3, 1e5), st.floats(-1e3, 1e5)),
    size=st.tuples(st.floats(0.05, 1e4), st.floats(0.05, 1e4)),
    angle=st.floats(-4, 4),
)
def test_any_rectangle(
    tmp_path_factory: pytest.TempPathFactory,
    centre: tuple[float, float],
    size: tuple[float, float],
    angle: float,
) -> None:
    quads = rectangle_quads(np.array([centre]), np.array([size]), np.array([angle]))
    (image,) = there_and_back("rolabelimg", [labelled(quads)], tmp_path_factory.mktemp("any"))
    assert ious(image.quads - centre, quads - centre)[0] >= 0.999


def test_quads_in_cvat(tmp_path: Path) -> None:
    """To 1e-6 px, also concave ones, and in the order of their vertices."""
    quads = np.concatenate([convex_quads(np.random.default_rng(0), 300).numpy(), np.array([ROTATED])])
    quads[0, 2] = quads[0].mean(axis=0)
    (image,) = there_and_back("cvat", [labelled(quads)], tmp_path)
    np.testing.assert_allclose(image.quads, quads, atol=1e-6)


@pytest.mark.skipif(not (DATA / "dota-samples").exists(), reason="no dota-samples beside the repository")
def test_the_quads_of_dota(tmp_path: Path) -> None:
    images = []
    for path in sorted((DATA / "dota-samples" / "labelTxt").glob("*.txt")):
        lines = read_label_file(path, Faults(False))
        quads = np.array([line.coordinates for line in lines]).reshape(-1, 4, 2)
        flags = [line.difficult for line in lines]
        images.append(labelled(quads, f"{path.stem}.png", "train", flags))
    for image, back in zip(images, there_and_back("cvat", images, tmp_path), strict=True):
        np.testing.assert_allclose(back.quads, image.quads, atol=1e-2)
        assert (back.name, back.classes, back.split) == (image.name, image.classes, "train")
        assert back.difficult.tolist() == image.difficult.tolist()


@EVERY
def test_names_flags_sizes_and_splits(form: str, tmp_path: Path) -> None:
    quads = np.array([ROTATED] * 3)
    images = [
        labelled(quads, "a b/P1.png", "train", [0, 1, 2]),
        labelled(quads[:0], "P1__0.5__0___200", "val"),
        labelled(quads[:1], "P3.tar.tif")._replace(size=None, classes=['<storage> & "tank" \u8239']),
    ]
    back = {image.name: image for image in there_and_back(form, images, tmp_path)}
    assert sorted(back) == sorted(image.name for image in images)
    for image in images:
        found = back[image.name]
        assert (found.size, found.split, found.classes) == (image.size, image.split, image.classes)
        assert found.difficult.tolist() == image.difficult.tolist()
        assert len(found.quads) == len(image.quads)


def test_what_is_lost_is_said(tmp_path: Path) -> None:
    quads = np.array([ROTATED, ROTATED])
    quads[1, 1, 1] += 5
    notes = Notes()
    write_rolabelimg([labelled(quads)._replace(size=None)], tmp_path, notes)
    size = {"images have no size in the file, since it is not known": 1}
    assert notes.counts == {**size, "quads became rectangles": 1}
    notes = Notes()
    write_cvat([labelled(quads)._replace(size=None)], tmp_path, notes)
    assert notes.counts == size


@EVERY
def test_written_again_the_files_stay(form: str, tmp_path: Path) -> None:
    images = [labelled(np.array([ROTATED]), f"P{k}.png", "train") for k in range(3)]
    there_and_back(form, images, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    there_and_back(form, images, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


@EVERY
def test_a_name_that_xml_cannot_hold(form: str, tmp_path: Path) -> None:
    image = labelled(np.array([ROTATED]))._replace(classes=["bell\x07"])
    with pytest.raises(UserError, match=r"\.xml: expected characters that XML can hold, got '\\x07' after"):
        WRITERS[form][0]([image], tmp_path, Notes())
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["", "../P1.png", "/P1.png", "."])
def test_names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected an image name inside the data set"):
        write_rolabelimg([labelled(np.zeros((0, 4, 2)), name)], tmp_path, Notes())


def test_two_images_of_one_file(tmp_path: Path) -> None:
    images = [labelled(np.zeros((0, 4, 2)), name) for name in ("P1.png", "P1.jpg")]
    with pytest.raises(UserError, match=r"P1.xml: would hold two images, 'P1.png' and 'P1.jpg'"):
        write_rolabelimg(images, tmp_path, Notes())


def test_no_images(tmp_path: Path) -> None:
    write_rolabelimg([], tmp_path, Notes())
    assert (tmp_path / "Annotations").is_dir()
    assert there_and_back("cvat", [], tmp_path) == []


def test_a_file_as_the_target_of_cvat(tmp_path: Path) -> None:
    write_cvat([labelled(np.array([ROTATED]))], tmp_path / "ships.xml", Notes())
    (image,) = read_cvat(tmp_path / "ships.xml", Faults(False), Notes())
    np.testing.assert_array_equal(image.quads, [ROTATED])


def test_splits_are_a_project_in_cvat(tmp_path: Path) -> None:
    """As CVAT exports one: a task for each subset; without subsets it is one task."""
    quads = np.array([ROTATED])
    images = [labelled(quads, "P1.png", split) for split in ("train", "val")]
    images += [labelled(quads[:0], "P2.png", "val")]
    write_cvat(images, tmp_path / "project.xml", Notes())
    root = ET.parse(tmp_path / "project.xml").getroot()
    assert [task.findtext("subset") for task in root.findall("meta/project/tasks/task")] == ["train", "val"]
    assert (root.findtext("meta/project/subsets") or "").split() == ["train", "val"]
    assert [label.findtext("name") for label in root.findall("meta/project/labels/label")] == ["ship"]
    found = [(node.get("subset"), node.get("task_id"), node.get("id")) for node in root.findall("image")]
    assert found == [("train", "0", "0"), ("val", "1", "0"), ("val", "1", "1")]
    write_cvat([images[0]._replace(split="")], tmp_path / "task.xml", Notes())
    root = ET.parse(tmp_path / "task.xml").getroot()
    assert root.find("meta/project") is None
    assert [label.findtext("name") for label in root.findall("meta/task/labels/label")] == ["ship"]
