"""Label files as their programs write them, where they differ from the plainest form of their format."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataloadR.annotations import read_split
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.sniff import text_kind
from dataloadR.label_lines import read_label_file
from datasets_tools.doctor.shapes import describe_truncation
from datasets_tools.known_formats import format_readers
from tests.datasets_tools.formats.text_samples import QUAD, pairs, write_files
from utils.errors import Faults, UserError


def read(form: str, source: Path, *names: str) -> tuple[list[LabelledImage], Notes]:
    notes = Notes()
    return list(format_readers(names, "")[form](source, Faults(skip=False), notes)), notes


HEADERS = "acquisition dates:None\nimagesource:GoogleEarth\ngsd:0.4\nview angle (deg): 3 of 7 and on to 11\n"


def test_headers_of_any_word(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"{HEADERS}10 10 30 12 28 24 9 20 soccer-ball-field 0\n")
    (quad,) = read_label_file(path, Faults(skip=False))
    assert (quad.label, quad.line) == ("soccer-ball-field", 5)
    assert text_kind(path) == "dota"
    path.write_text("10 10 30 12 28 24 9 ship: 0\n")
    with pytest.raises(UserError, match=r"a.txt:1"):
        read_label_file(path, Faults(skip=False))


OLD = "577,410,654,459,4,646,410,654,428,585,459,577,441,0.39491121"


def test_lists_without_the_angle_and_with_repeated_lines(tmp_path: Path) -> None:
    line = f"1.png {OLD} {OLD},77.5\n"
    source = write_files(tmp_path, {"train.txt": line * 3 + "2.png\n", "1.png": None, "2.png": None})
    images, notes = read("list", source / "train.txt")
    assert [image.name for image in images] == ["1.png", "2.png"]
    assert images[0].quads[0].ravel().tolist() == [646, 410, 654, 428, 585, 459, 577, 441]
    np.testing.assert_array_equal(images[0].quads[0], images[0].quads[1])
    assert notes.counts == {"lines stand in their list before already, and were read once": 2}
    assert len(read_split(source, "train.txt")[0]) == 4  # training sees each as often as it is listed


def test_ucas_aod_in_one_folder(tmp_path: Path) -> None:
    numbers = "\t".join(map(str, [*QUAD, 24.1, 16.5, 5, 13.5, 13]))
    files = {"AllImages/P0001.png": None, "AllImages/P0002.png": None, "ImageSets/train.txt": "P0001\n"}
    source = write_files(tmp_path, {**files, "Annotations/P0001.txt": f"car  {numbers}\t\n"})
    (first, second), _ = read("ucas-aod", source)
    assert (first.split, first.name, first.classes) == ("train", "P0001.png", ["car"])
    assert first.quads.ravel().tolist() == QUAD
    assert (second.split, second.name, second.classes) == ("", "P0002.png", [])


@pytest.mark.parametrize("form", ["labelme", "xanylabeling"])
def test_quadrilaterals(form: str, tmp_path: Path) -> None:
    shape: dict[str, Any] = {"label": "ship", "points": pairs(QUAD), "shape_type": "quadrilateral"}
    source = write_files(tmp_path, {"a.json": {"shapes": [shape], "imagePath": "a.png"}})
    (image,), notes = read(form, source)
    assert image.quads.ravel().tolist() == QUAD
    assert not notes.counts


def voc(corners: list[tuple[int, int]]) -> str:
    points = "".join(f"<x{k}>{x}</x{k}><y{k}>{y}</y{k}>" for k, (x, y) in enumerate(corners, 1))
    box = "<bndbox><xmin>0</xmin><ymin>0</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    item = f"<object><name>car</name>{box}<polygon>{points}</polygon></object>"
    return f"<annotation><filename>a.jpg</filename>{item}</annotation>"


def test_polygons_of_voc(tmp_path: Path) -> None:
    corners = [(454, 205), (476, 206), (474, 258), (452, 257)]
    source = write_files(tmp_path, {"trainlabel/a.xml": voc(corners)})
    (image,), notes = read("voc", source)
    assert image.quads[0].tolist() == [list(corner) for corner in corners]
    assert not notes.counts
    write_files(tmp_path, {"trainlabel/a.xml": voc([(0, 0), (9, 0), (9, 9), (4, 9), (0, 9)])})
    (image,), notes = read("voc", source)
    assert notes.counts == {"polygons of more than 4 vertices became the nearest quad": 1}
    assert sorted(image.quads[0].round(6).tolist()) == [[0, 0], [0, 9], [9, 0], [9, 9]]


def test_truncation_is_told_without_objects_that_have_no_area() -> None:
    generator = np.random.default_rng(0)
    corner = np.array([[0, 0], [20, 6], [17, 16], [-3, 10]]) + generator.integers(0, 200, (40, 1, 2))
    quads = (corner + generator.integers(0, 2, corner.shape)).astype(np.float64)
    expected = describe_truncation(quads)
    assert "an IoU of 0." in expected
    assert describe_truncation(np.concatenate([quads, np.full((1, 4, 2), 200.0)])) == expected
    assert describe_truncation(np.full((1, 4, 2), 200.0)) == ""


def test_ellipses_of_cvat_become_the_rectangles_around_them(tmp_path: Path) -> None:
    shape = '<ellipse label="tank" cx="20" cy="15" rx="6" ry="4" rotation="90"></ellipse>'
    text = f'<annotations><image id="0" name="a.png" width="40" height="30">{shape}</image></annotations>'
    (image,), notes = read("cvat", write_files(tmp_path, {"annotations.xml": text}))
    np.testing.assert_allclose(image.quads[0], [[24, 9], [24, 21], [16, 21], [16, 9]], atol=1e-9)
    assert notes.counts == {"ellipses became the rectangles around them": 1}
    write_files(tmp_path, {"annotations.xml": text.replace('rx="6"', 'rx="-6"')})
    with pytest.raises(UserError, match=r"annotations.xml:1: expected radii of at least 0"):
        read("cvat", tmp_path)


def test_tracks_of_a_video_become_its_frames(tmp_path: Path) -> None:
    box = '<box frame="{}" outside="{}" occluded="0" xtl="10" ytl="20" xbr="30" ybr="24" rotation="{}"></box>'
    flag = '<attribute name="difficult">1</attribute>'
    outline = f'<polygon frame="7" outside="0" points="1,2;9,2;9,8;1,8">{flag}</polygon>'
    size = "<original_size><width>40</width><height>30</height></original_size>"
    text = (
        f"<annotations><meta><task><id>3</id><subset>Train</subset>{size}</task></meta>"
        f'<track id="0" label="ship">{box.format(0, 0, 0)}{box.format(7, 0, 90)}{box.format(8, 1, 0)}</track>'
        f'<track id="1" label="car">{outline}</track></annotations>'
    )
    images, _ = read("cvat", write_files(tmp_path, {"annotations.xml": text}))
    assert [(image.name, image.size, image.split) for image in images] == [
        ("frame_000000", (30, 40), "train"),
        ("frame_000007", (30, 40), "train"),
    ]
    first, second = images
    assert (list(first.classes), list(second.classes)) == (["ship"], ["ship", "car"])
    np.testing.assert_allclose(first.quads[0], [[10, 20], [30, 20], [30, 24], [10, 24]], atol=1e-9)
    np.testing.assert_allclose(second.quads[0], [[22, 12], [22, 32], [18, 32], [18, 12]], atol=1e-9)
    assert second.difficult.tolist() == [0, 1]


def test_text_quads_of_icdar(tmp_path: Path) -> None:
    line = ",".join(map(str, QUAD))
    text = f"\ufeff{line},Fish, Chips\n{line},###\n"
    source = write_files(tmp_path, {"train/gt/gt_img_1.txt": text, "train/gt/gt_img_2.txt": ""})
    (first, second), _ = read("icdar", source)
    assert (first.name, first.split, first.classes) == ("img_1", "train", ["text", "text"])
    assert first.quads[0].ravel().tolist() == QUAD
    assert (first.difficult.tolist(), second.classes) == ([0, 1], [])
    write_files(tmp_path, {"train/gt/gt_img_1.txt": "1,2,3,4\n"})
    with pytest.raises(UserError, match=r"gt_img_1.txt:1: expected 8 coordinates"):
        read("icdar", source)


def test_boxes_of_visdrone(tmp_path: Path) -> None:
    text = "10,20,30,5,1,4,0,0\n1,2,3,4,0,0,0,0,\n"
    source = write_files(tmp_path, {"VisDrone2019-DET-val/annotations/a.txt": text})
    (image,), _ = read("visdrone", source / "VisDrone2019-DET-val")
    assert (image.split, image.classes) == ("val", ["car", "ignored-regions"])
    assert image.quads[0].tolist() == [[10, 20], [40, 20], [40, 25], [10, 25]]
    assert image.difficult.tolist() == [0, 1]
    write_files(tmp_path, {"VisDrone2019-DET-val/annotations/a.txt": "1,2,3,4,1,12,0,0"})
    with pytest.raises(UserError, match=r"a.txt:1: expected .* category up to 11"):
        read("visdrone", source)
