"""Rotations under any key are read or named; units that a file does not say are asked for.

Turned quads are compared with sines and cosines written out here.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataloadR.formats.angles import is_rotation
from dataloadR.formats.coco import read_coco
from dataloadR.formats.notes import Notes
from datasets_tools.known_formats import format_readers
from utils.arrays import F64
from utils.errors import Faults, UserError


def turned(cx: float, cy: float, width: float, height: float, radians: float) -> F64:
    """Turn the corners clockwise on the screen, where y points down."""
    cos, sin = math.cos(radians), math.sin(radians)
    corners = [
        (-width / 2, -height / 2),
        (width / 2, -height / 2),
        (width / 2, height / 2),
        (-width / 2, height / 2),
    ]
    return np.array([(cx + x * cos - y * sin, cy + x * sin + y * cos) for x, y in corners])


def write_coco(path: Path, rows: list[dict[str, Any]]) -> Path:
    rows = [{"id": k, "image_id": 1, "category_id": 1, **row} for k, row in enumerate(rows)]
    image = {"id": 1, "width": 640, "height": 512, "filename": "a.png"}
    document = {"images": [image], "categories": [{"id": 1, "name": "ship"}], "annotations": rows}
    path.write_text(json.dumps(document))
    return path


def read(form: str, source: Path, angle: str = "") -> tuple[F64, Notes]:
    notes = Notes()
    (image,) = format_readers((), angle)[form](source, Faults(skip=False), notes)
    return image.quads, notes


BOX = [100.0, 100.0, 200.0, 40.0]
CVAT = {"occluded": False, "rotation": 45.0}


@pytest.mark.parametrize(
    "row",
    [
        {"bbox": BOX, "segmentation": [], "attributes": CVAT},
        {"bbox": BOX, "attributes": {"rotation": "45.0"}},
        {"bbox": BOX, "segmentation": [[100, 100, 300, 100, 300, 140, 100, 140]], "attributes": CVAT},
    ],
)
def test_cvat_turns_the_box_about_its_centre(row: dict[str, Any], tmp_path: Path) -> None:
    quads, notes = read("coco", write_coco(tmp_path / "a.json", [row]))
    np.testing.assert_allclose(quads[0], turned(200, 120, 200, 40, math.pi / 4), atol=1e-6)
    assert not notes.counts


@pytest.mark.parametrize(
    ("extra", "key"),
    [
        ({"rotation": 30}, "annotations[0].rotation"),
        ({"angle": 0.5}, "annotations[0].angle"),
        ({"attributes": {"theta": "12.5"}}, "annotations[0].attributes.theta"),
        ({"extra": {"boxAngle": -3}}, "annotations[0].extra.boxAngle"),
        ({"attributes": [{"name": "rotation", "value": 9}]}, "annotations[0].attributes[0].value"),
        ({"attributes": {"rotation": 400}}, "annotations[0].attributes.rotation"),
    ],
)
def test_other_rotations_beside_a_box_are_named(extra: dict[str, Any], key: str, tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", [{"bbox": BOX, **extra}])
    with pytest.raises(UserError) as caught:
        read("coco", source)
    assert f"a.json: {key}: expected" in str(caught.value)


@pytest.mark.parametrize(
    "extra",
    [{"rotation": 0}, {"attributes": {"angle": "front"}}, {"triangle": 3}, {"area": 8000, "pose": "left"}],
)
def test_what_is_no_rotation_is_not_refused(extra: dict[str, Any], tmp_path: Path) -> None:
    quads, _ = read("coco", write_coco(tmp_path / "a.json", [{"bbox": BOX, **extra}]))
    np.testing.assert_allclose(quads[0], turned(200, 120, 200, 40, 0))


def test_a_polygon_says_its_own_rotation(tmp_path: Path) -> None:
    polygon = turned(200, 120, 200, 40, 0.3)
    row = {"bbox": BOX, "segmentation": [polygon.ravel().tolist()], "angle": 17}
    quads, _ = read("coco", write_coco(tmp_path / "a.json", [row]))
    np.testing.assert_allclose(quads[0], polygon)


def test_names_of_rotations() -> None:
    assert all(map(is_rotation, ["rotation", "Theta", "boxAngle", "rbox_theta", "ANGLE", "mbox_ang"]))
    assert not any(map(is_rotation, ["triangle", "tangle", "area", "bbox", "", "rotten", "angleless"]))


def rotated(angles: list[float]) -> list[dict[str, Any]]:
    return [{"bbox": [100, 100, 18, 8, angle], "difficult": False} for angle in angles]


@pytest.mark.parametrize("largest", [3.14, 3.141593, 6.2832, 6.2835, -3.1416])
def test_angles_that_may_be_radians_stop_without_an_answer(largest: float, tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", rotated([0.1] * 19 + [largest]))
    with pytest.raises(UserError, match=r"20 rotated boxes are all within .*--angle degrees or radians or"):
        read("coco", source)
    quads, notes = read("coco", source, "radians")
    np.testing.assert_allclose(quads[-1], turned(100, 100, 18, 8, largest), atol=1e-3)
    quads, _ = read("coco", source, "degrees")
    np.testing.assert_allclose(quads[-1], turned(100, 100, 18, 8, math.radians(largest)), atol=1e-3)
    assert not notes.counts


def test_angles_beyond_a_turn_in_radians_are_degrees_and_few_are_counted(tmp_path: Path) -> None:
    quads, notes = read("coco", write_coco(tmp_path / "a.json", rotated([0.1] * 19 + [6.3])))
    np.testing.assert_allclose(quads[-1], turned(100, 100, 18, 8, math.radians(6.3)), atol=1e-6)
    assert not notes.counts
    assert not read("coco", write_coco(tmp_path / "a.json", rotated([0.0] * 30)))[1].counts
    _, notes = read("coco", write_coco(tmp_path / "a.json", rotated([2.871098])))
    assert notes.counts == {"rotated boxes have angles within 2 pi, read as degrees: for radians, --angle": 1}


def test_units_are_asked_for_over_all_files_of_a_data_set(tmp_path: Path) -> None:
    for name in ("train", "val"):
        write_coco(tmp_path / f"{name}.json", rotated([0.5] * 10))
    with pytest.raises(UserError, match="its 20 rotated boxes"):
        list(read_coco(tmp_path, Faults(skip=True), Notes()))


def test_sku110k_r_turns_counter_clockwise(tmp_path: Path) -> None:
    source = write_coco(tmp_path / "a.json", [{"bbox": BOX, "rbbox": [200, 120, 200, 40, 30]}])
    np.testing.assert_allclose(
        read("sku110k-r", source)[0][0], turned(200, 120, 200, 40, -math.pi / 6), atol=1e-6
    )


VOC = """<annotation><filename>a.png</filename><object><name>ship</name>{}<bndbox><xmin>100</xmin>
<ymin>100</ymin><xmax>300</xmax><ymax>140</ymax></bndbox>{}</object></annotation>"""
ATTRIBUTE = "<attributes><attribute><name>{}</name><value>{}</value></attribute></attributes>"


def test_voc_of_cvat_turns_the_box(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(VOC.format("", ATTRIBUTE.format("rotation", "45.0")))
    for form in ("voc", "rolabelimg"):
        quads, _ = read(form, tmp_path)
        np.testing.assert_allclose(quads[0], turned(200, 120, 200, 40, math.pi / 4), atol=1e-6)


@pytest.mark.parametrize(
    "element",
    ["<angle>30</angle>", "<theta>0.5</theta>", ATTRIBUTE.format("angle", 7), "<part rotation='3'/>"],
)
def test_other_rotations_of_voc_are_named(element: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(VOC.format(element, ""))
    with pytest.raises(UserError, match=r"a.xml:[12]: .*(angle|theta|rotation).*: expected no rotation"):
        read("voc", tmp_path)
    (tmp_path / "a.xml").write_text(VOC.format("<angle>0</angle><difficult>False</difficult>", ""))
    np.testing.assert_allclose(read("voc", tmp_path)[0][0], turned(200, 120, 200, 40, 0))


def test_full_turns_in_xml_may_be_rounded(tmp_path: Path) -> None:
    box = "<robndbox><cx>200</cx><cy>120</cy><w>200</w><h>40</h><angle>6.2832</angle></robndbox>"
    text = "<annotation><filename>a</filename><object><name>ship</name>{}</object></annotation>"
    (tmp_path / "a.xml").write_text(text.format(box))
    np.testing.assert_allclose(read("rolabelimg", tmp_path)[0][0], turned(200, 120, 200, 40, 0), atol=0.01)


def test_cvat_attributes_called_as_rotations_are_named(tmp_path: Path) -> None:
    box = '<box label="ship" xtl="1" ytl="2" xbr="9" ybr="5"><attribute name="angle">30</attribute></box>'
    (tmp_path / "a.xml").write_text(f'<annotations><image id="0" name="a.png">{box}</image></annotations>')
    with pytest.raises(UserError, match="attribute angle: expected no rotation"):
        read("cvat", tmp_path)


def test_labelme_and_label_studio_name_rotations(tmp_path: Path) -> None:
    shape = {"label": "ship", "points": [[1, 2], [9, 5]], "shape_type": "rectangle", "rotation": 0.3}
    (tmp_path / "a.json").write_text(json.dumps({"shapes": [shape], "imagePath": "a.png"}))
    with pytest.raises(UserError, match=r"shapes\[0\].rotation: expected no rotation"):
        read("labelme", tmp_path)
    value = {"x": 5, "y": 5, "width": 9, "height": 9, "angle": 30, "rectanglelabels": ["ship"]}
    result = {"original_width": 40, "original_height": 30, "type": "rectanglelabels", "value": value}
    task = {"data": {"image": "a.png"}, "annotations": [{"result": [result]}]}
    (tmp_path / "a.json").write_text(json.dumps([task]))
    with pytest.raises(UserError, match=r"value.angle: expected no rotation"):
        read("label-studio", tmp_path)


def test_ssdd_asks_for_the_unit_where_corners_are_missing(tmp_path: Path) -> None:
    sides = "".join(
        f"<rotated_bbox_{s}>{v}</rotated_bbox_{s}>" for s, v in [("cx", 50), ("cy", 60), ("w", 9)]
    )
    box = f"{sides}<rotated_bbox_h>5</rotated_bbox_h><rotated_bbox_theta>-0.6</rotated_bbox_theta>"
    item = f"<object><name>ship</name><rotated_bndbox>{box}</rotated_bndbox></object>"
    (tmp_path / "a.xml").write_text(f"<annotation><filename>a</filename>{item * 20}</annotation>")
    with pytest.raises(UserError, match="its 20 rotated boxes"):
        read("ssdd", tmp_path)
    quads, _ = read("ssdd", tmp_path, "radians")
    np.testing.assert_allclose(quads[0], turned(50, 60, 9, 5, -0.6), atol=1e-6)
