"""Text and JSON label files as people have them: each gives the right objects, or an error that says why."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataloadR.annotations import read_named, read_split
from datasets_tools import check as doctor
from tests.datasets_tools.formats.text_samples import BOX, QUAD, pairs
from tests.datasets_tools.formats.variants import SHIP, TURNED, TURNED_BOX, Case, check, write
from utils.errors import UserError

YOLO = "0 0.5125 0.1666666667 0.75 0.3083333333 0.65 0.6 0.4125 0.4583333333\n"
SHIP0 = SHIP.replace("ship", "class0")
SPLITS = {"train/a": SHIP, "val/b": SHIP}
LINE = f"{SHIP}\n"
LISTED = "2,3,12,6,0,2,3,12,3,12,6,2,6,1,0"
LISTED_BOX = "2 3 12 3 12 6 2 6 class0 0"
UCAS = "2\t3\t12\t3\t12\t6\t2\t6\t0\t2\t3\t10\t3\n"


def yolo(yaml: str | bytes | None = None, val: str = "valid", **files: Any) -> dict[str, Any]:
    both = {"train/images/a.jpg": None, "train/labels/a.txt": YOLO}
    both |= {f"{val}/images/b.jpg": None, f"{val}/labels/b.txt": YOLO}
    return {**both, **({"data.yaml": yaml} if yaml else {}), **files}


def one_yolo(text: str | bytes) -> dict[str, Any]:
    return {"images/a.jpg": None, "labels/a.txt": text, "classes.txt": "ship\n"}


YOLO_CASES: dict[str, Case] = {
    **{
        f"folder {val}": ("yolo", yolo(val=val), {"train/a": SHIP0, "val/b": SHIP0})
        for val in ("valid", "Val", "VALID", "Validation", "validate")
    },
    **{
        f"yaml {number}": ("yolo", yolo(yaml), SPLITS)
        for number, yaml in enumerate(
            [
                "train: [train/images]\nval: [valid/images]\nnames: [ship]\n",
                "path: .\ntrain: train/images\nval: valid/images\ntest:\nnames:\n  '0': ship\n",
                "path: /content/datasets/x\ntrain: train/images\nval: valid/images\nnames: {0: ship}\n",
                "train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['ship']\n",
                "train: C:\\data\\train\\images\nval: C:\\data\\valid\\images\nnames: [ship]\n",
                "train: train\\images\nval: valid\\images\nnames: [ship]\n",
                "train: train\nval: valid\nnames: [ship]\n",
                "train: train/images\nnames: [ship]\n",
                "\ufefftrain: train/images\r\nval: valid/images\r\nnames: [ship]\r\n",
                "train: train/images\nval: valid/images\nnames: [ship]\n".encode("utf-16"),
            ]
        )
    },
    "other folders with backslashes": (
        "yolo",
        {
            "data.yaml": "train: data\\first\nval: data\\second\nnames: [ship]\n",
            "data/first/a.jpg": None,
            "data/first/a.txt": YOLO,
            "data/second/b.jpg": None,
            "data/second/b.txt": YOLO,
        },
        SPLITS,
    ),
    "lists with dots, backslashes and CRLF": (
        "yolo",
        {
            "data.yaml": "train: train.txt\nval: val.txt\nnames: {0: ship}\n",
            "train.txt": "./images/a.jpg\r\n",
            "val.txt": ".\\images\\b.jpg\n",
            **{f"images/{n}.jpg": None for n in "ab"},
            **{f"labels/{n}.txt": YOLO for n in "ab"},
        },
        SPLITS,
    ),
    "latin-1 yaml": ("yolo", yolo("names: [b\u00e2teau]\n".encode("latin-1")), "data.yaml: expected YAML"),
    "byte order mark, CRLF, blanks": ("yolo", one_yolo(f"\ufeff{YOLO[:-1]} \r\n  \r\n"), {"a": SHIP}),
    "UTF-16": ("yolo", one_yolo(YOLO.encode("utf-16")), {"a": SHIP}),
    "decimal commas": (
        "yolo",
        one_yolo(YOLO.replace(".", ",")),
        "a.txt:1: expected a number for x1, got '0,5",
    ),
    "index with a point": ("yolo", one_yolo(YOLO.replace("0 ", "0.0 ", 1)), {"a": SHIP}),
    "suffixes in capitals": ("yolo", {"images/Val/A.JPG": None, "labels/Val/A.TXT": YOLO}, {"val/A": SHIP0}),
    "folders in capitals": (
        "yolo",
        {"Images/train/a.jpg": None, "Labels/train/a.txt": YOLO},
        {"train/a": SHIP0},
    ),
    "all in capitals": ("yolo", {"TRAIN/IMAGES/a.jpg": None, "TRAIN/LABELS/a.TXT": YOLO}, {"train/a": SHIP0}),
    "names with blanks, dots, letters": (
        "yolo",
        {
            "images/a b.v2.jpg": None,
            "labels/a b.v2.txt": YOLO,
            "images/\u00fc.jpg": None,
            "labels/\u00fc.txt": "",
        },
        {"a b.v2": SHIP0, "\u00fc": ""},
    ),
    "box and one more": (
        "yolo",
        one_yolo("0 0.5 0.5 0.25 0.2 0.78\n"),
        "a.txt:1: .* the last a score or an angle",
    ),
    "triangle": ("yolo", one_yolo("0 0.1 0.1 0.5 0.1 0.3 0.5\n"), {"a": "4 3 20 3 12 15 12 15 ship 0"}),
    "negative": (
        "yolo",
        one_yolo("0 -0.1 0.1 0.5 0.1 0.5 0.5 -0.1 0.5\n"),
        {"a": "-4 3 20 3 20 15 -4 15 ship 0"},
    ),
    "pixels": (
        "yolo",
        one_yolo("0 20.5 5 30 9.25 26 18 16.5 13.75\n"),
        "got pixels: all objects .1. lie",
    ),
    "two suffixes": (
        "yolo",
        {"a.jpg": None, "a.png": None, "a.txt": YOLO},
        "expected each image once, got 'a.*png'",
    ),
    "names for indices": (
        "yolo",
        one_yolo(YOLO.replace("0 ", "ship ", 1)),
        "whole number for the class index",
    ),
    "darknet of CVAT": (
        "yolo",
        {
            "obj_train_data/a.jpg": None,
            "obj_train_data/a.txt": YOLO,
            "obj.names": "ship\n",
            "obj.data": "classes = 1",
        },
        {"train/a": SHIP},
    ),
}


def coco(*rows: dict[str, Any], name: str = "a.png", **tables: Any) -> dict[str, Any]:
    row = {"image_id": 1, "category_id": 1, "bbox": [14, 12, 10, 4], "area": 40, "iscrowd": 0}
    images = [{"id": 1, "file_name": name, "width": 40, "height": 30}]
    items = [{**row, "id": k, **keys} for k, keys in enumerate(rows, 1)]
    return {"images": images, "annotations": items, "categories": [{"id": 1, "name": "ship"}], **tables}


def one_coco(*rows: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"annotations.json": coco(*rows, **keys), "images/a.png": None}


COCO_BOX = "14 12 24 12 24 16 14 16 ship 0"
RLE = {"counts": [1, 2, 3], "size": [30, 40]}
NO_ROTATION = "expected no rotation beside an upright box"
NO_OUTLINE = "expected no second outline beside an upright box"
COCO_CASES: dict[str, Case] = {
    **{
        f"turned {number}": ("coco", one_coco(row), {"a": TURNED_BOX})
        for number, row in enumerate(
            [
                {"attributes": {"rotation": "30.0"}},
                {"attributes": {"rotation": "30,0"}},
                {"attributes": {"rotation": -330, "occluded": False}},
                {"attributes": {"rotation": 30}, "segmentation": [[14, 12, 24, 12, 24, 16, 14, 16]]},
                {"attributes": {"rotation": 30}, "segmentation": [[14, 12, 24, 12, 24, 16, 14, 16, 14, 12]]},
                {"attributes": {"rotation": 30}, "segmentation": RLE},
                {"attributes": {"rotation": 30}, "segmentation": [[]]},
                {"bbox": [19, 14, 10, 4, 30]},
                {"rbbox": [19, 14, 10, 4, 30]},
            ]
        )
    },
    **{
        f"refused {number}": ("coco", one_coco(row), rf"annotations\[0\]{place}: {expected}")
        for number, (row, place, expected) in enumerate(
            [
                ({"rotation": 30}, ".rotation", NO_ROTATION),
                ({"angle": 0.5}, ".angle", NO_ROTATION),
                ({"bbox_angle": "30 deg"}, ".bbox_angle", NO_ROTATION),
                ({"attributes": [{"name": "rotation", "value": 30}]}, r".attributes\[0\].value", NO_ROTATION),
                ({"extra": {"theta": 30}}, ".extra.theta", NO_ROTATION),
                ({"rbox": [19, 14, 10, 4, 30]}, ".rbox", NO_OUTLINE),
                ({"rotated_bbox": [19, 14, 10, 4, 30]}, ".rotated_bbox", NO_OUTLINE),
                ({"obb": [[1, 2], [3, 4], [5, 6], [7, 8]]}, ".obb", NO_OUTLINE),
                ({"poly": QUAD}, ".poly", NO_OUTLINE),
                ({"bbox": QUAD}, ".bbox", "expected cx, cy, width"),
                ({"bbox": ["14", "12", "10", "4"]}, r".bbox\[0\]", "expected a number"),
                ({"bbox": [14, 12, -10, 4]}, ".bbox", "expected a width and a height of at least 0"),
                ({"segmentation": QUAD}, r".segmentation\[0\]", "expected a list"),
                (
                    {"attributes": {"rotation": 400}},
                    ".attributes.rotation",
                    "expected an angle of at most a full turn",
                ),
                ({"image_id": "1"}, ".image_id", "expected the id of an image"),
                ({"category_id": 2}, ".category_id", "expected the id of a category"),
            ]
        )
    },
    **{
        f"plain {number}": ("coco", one_coco(row), {"a": COCO_BOX})
        for number, row in enumerate(
            [
                {"attributes": {"rotation": 0.0}},
                {"segmentation": None},
                {"segmentation": [[]]},
                {"segmentation": RLE, "keypoints": [1, 2, 2, 3, 4]},
                {"orientation": "left"},
            ]
        )
    },
    "many in radians": (
        "coco",
        one_coco(*({"attributes": {"rotation": 0.1 * k}} for k in range(1, 26))),
        "the angles of its 25 rotated boxes are all within 2.5",
    ),
    "other ids": (
        "coco",
        one_coco(
            {"image_id": "x", "category_id": "s"},
            images=[{"id": "x", "file_name": "a.png"}],
            categories=[{"id": "s", "name": "ship"}],
        ),
        {"a": COCO_BOX},
    ),
    "no categories": (
        "coco",
        {"a.json": {k: v for k, v in coco({}).items() if k != "categories"}, "a.png": None},
        "a.json: expected the key 'categories'",
    ),
    "one image twice": (
        "coco",
        one_coco({}, images=[{"id": k, "file_name": "a.png"} for k in (1, 2)]),
        "expected each image once, got 'a.png' and 'a.png'",
    ),
    "backslashes": ("coco", one_coco({}, name="images\\a.png"), {"a": COCO_BOX}),
    "another disk": ("coco", one_coco({}, name="C:\\boats\\a.png"), {"a": COCO_BOX}),
    "UTF-16": ("coco", {"a.json": json.dumps(coco({})).encode("utf-16"), "a.png": None}, {"a": COCO_BOX}),
    "byte order mark": ("coco", {"a.json": "\ufeff" + json.dumps(coco({})), "a.png": None}, {"a": COCO_BOX}),
    "latin-1": ("coco", {"a.json": b'{"images": "\xe2"}', "a.png": None}, "a.json:1: expected UTF-8 text"),
    "empty file": ("coco", {"a.json": "", "a.png": None}, "a.json:1: expected JSON"),
    "two documents": ("coco", {"a.json": "{}\n{}", "a.png": None}, "a.json:2: expected JSON, got extra data"),
    "no objects": ("coco", one_coco(), {"a": ""}),
    "no area, outside": (
        "coco",
        one_coco({"bbox": [14, 12, 0, 4]}, {"bbox": [-4, -2, 10, 4]}),
        {"a": "14 12 14 12 14 16 14 16 ship 0\n-4 -2 6 -2 6 2 -4 2 ship 0"},
    ),
    "split in the middle of a word": (
        "coco",
        {
            "instancesTrain.json": coco({}),
            "instancesVal.json": coco({}, name="b.png"),
            "a.png": None,
            "b.png": None,
        },
        {"train/a": COCO_BOX, "val/b": COCO_BOX},
    ),
    "split of folders": (
        "coco",
        {f"{s}/_annotations.coco.json": coco({}) for s in ("train", "Valid", "test")}
        | {f"{s}/a.png": None for s in ("train", "Valid", "test")},
        {"train/a": COCO_BOX, "val/a": COCO_BOX, "test/a": COCO_BOX},
    ),
}


def dota(text: str | bytes, image: str = "a.png", labels: str = "a.txt") -> dict[str, Any]:
    return {f"images/{image}": None, f"labelTxt/{labels}": text}


DOTA_CASES: dict[str, Case] = {
    **{
        f"header {number}": ("dota", dota(f"{header}\n{LINE}"), {"a": SHIP})
        for number, header in enumerate(
            [
                "'imagesource':'GoogleEarth'\n'gsd':0.146",
                '"imagesource":"GoogleEarth"\r\n"gsd":null\r',
                "imagesource : GoogleEarth\ngsd : 0.1",
                "ImageSource:GF-2,x\nGSD:",
                "imagesource\uff1aGoogleEarth",
                "# corrected by hand, 3 objects\ngsd=0.1",
            ]
        )
    },
    "no header": ("dota", dota(f"see notes\n{LINE}"), "a.txt:1: expected 8 coordinates"),
    "flags with a point": (
        "dota",
        dota(f"{SHIP}.0\n{SHIP[:-1]}1.0\n{SHIP[:-1]}2.0\n"),
        {"a": f"{SHIP}\n{SHIP[:-1]}1\n{SHIP[:-1]}2"},
    ),
    "flag in words": ("dota", dota(f"{SHIP[:-1]}true\n"), "a.txt:1: expected 0, 1 or 2 for the"),
    "ten numbers": ("dota", dota(SHIP.replace("ship", "1 1 ship")), "a.txt:1: .* got 12 fields"),
    "class of two words": ("dota", dota(SHIP.replace("ship", "small ship")), "a.txt:1: .* got 11 fields"),
    "commas": ("dota", dota(SHIP.replace(" ", ",")), "a.txt:1: .* got 1 fields"),
    "decimal commas": ("dota", dota(SHIP.replace(".", ",")), "a.txt:1: expected a number for x1, got '20,5'"),
    "tabs, CRLF, mark": ("dota", dota("\ufeffgsd:1\r\n" + SHIP.replace(" ", "\t") + "\r\n"), {"a": SHIP}),
    "UTF-16": ("dota", dota(LINE.encode("utf-16")), {"a": SHIP}),
    "UTF-16, high first": ("dota", dota(b"\xfe\xff" + LINE.encode("utf-16-be")), {"a": SHIP}),
    "latin-1": ("dota", dota(LINE.replace("ship", "b\u00e2teau").encode("latin-1")), "a.txt:1: expected UTF"),
    "suffixes in capitals": ("dota", dota(LINE, "a.PNG", "a.TXT"), {"a": SHIP}),
    "two suffixes": ("dota", dota(LINE, "a.png", "a.png.txt"), {"a": SHIP}),
    "dots": (
        "dota",
        {**dota(LINE, "P1.v2.tif", "P1.v2.txt"), "labelTxt/P1.txt": "", "images/P1.tif": None},
        {"P1.v2": SHIP, "P1": ""},
    ),
    "no area": ("dota", dota("5 5 5 5 5 5 5 5 ship 0\n"), {"a": "5 5 5 5 5 5 5 5 ship 0"}),
}


def labelme(
    *shapes: dict[str, Any], name: str = "a.json", image: str = "a.png", **keys: Any
) -> dict[str, Any]:
    common = {"label": "ship", "points": pairs(QUAD), "shape_type": "polygon", "flags": {}}
    size = {"imagePath": "a.png", "imageHeight": 30, "imageWidth": 40}
    return {name: {"shapes": [{**common, **shape} for shape in shapes or [{}]], **size, **keys}, image: None}


RECTANGLE = {"points": [[2, 3], [12, 6]], "shape_type": "rectangle"}
LABELME_CASES: dict[str, Case] = {
    **{
        f"path {path}": (
            "labelme",
            labelme(name="json/a.json", image="photos/a.png", imagePath=path),
            {"a": SHIP},
        )
        for path in (
            "../photos/a.png",
            "..\\photos\\a.png",
            "D:\\x\\a.png",
            "/home/me/a.png",
            None,
            "a",
            "a.jpg",
        )
    },
    **{
        f"refused {number}": ("labelme", labelme(shape), rf"a.json: shapes\[0\]{place}: {expected}")
        for number, (shape, place, expected) in enumerate(
            [
                ({**RECTANGLE, "rotation": 30}, ".rotation", NO_ROTATION),
                ({**RECTANGLE, "direction": 0.5}, ".direction", NO_ROTATION),
                ({**RECTANGLE, "flags": {"angle": 30}}, ".flags.angle", NO_ROTATION),
                ({"points": pairs(BOX), "attributes": {"angle": 30}}, ".attributes.angle", NO_ROTATION),
                ({"points": [[1, 1], [9, 1]]}, ".points", "expected a polygon of at least 3 vertices, got 2"),
                ({"label": 3}, ".label", "expected a text"),
                ({"difficult": "yes"}, ".difficult", "expected true or false"),
            ]
        )
    },
    "file called otherwise": ("labelme", labelme(name="b.json"), {"a": SHIP}),
    "suffix in capitals": ("labelme", labelme(name="a.JSON", image="a.PNG"), {"a": SHIP}),
    "no flags, no type": ("labelme", labelme({"flags": None, "shape_type": None}), {"a": SHIP}),
    "triangle": ("labelme", labelme({"points": [[1, 1], [9, 1], [5, 8]]}), {"a": "1 1 9 1 5 8 5 8 ship 0"}),
    "difficult as a number": ("labelme", labelme({"difficult": 1}), {"a": f"{SHIP[:-1]}1"}),
    "UTF-16": (
        "labelme",
        {"a.json": json.dumps(labelme()["a.json"]).encode("utf-16"), "a.png": None},
        {"a": SHIP},
    ),
    "GBK": ("labelme", {"a.json": b'{"shapes": "\xb4\xac"}', "a.png": None}, "a.json:1: expected UTF-8 text"),
    "split in a folder's name": (
        "labelme",
        labelme(name="train_json/a.json", image="train_images/a.png"),
        {"train/a": SHIP},
    ),
}


def studio(value: dict[str, Any], kind: str = "rectanglelabels", **data: str) -> dict[str, Any]:
    size = {"original_width": 40, "original_height": 30, "image_rotation": 0}
    result = [{**size, "type": kind, "value": value, "id": "x"}]
    if kind == "labels":
        result += [
            {**size, "type": "rectangle", "value": {k: v for k, v in value.items() if k != kind}, "id": "x"}
        ]
    task = {"data": data or {"image": "/data/upload/1/0a1b2c3d-a.png"}, "annotations": [{"result": result}]}
    return {"export.json": [task], "images/a.png": None}


CORNER = {"x": 50, "y": 50, "width": 25, "height": 20, "rotation": 90, "rectanglelabels": ["ship"]}
CORNER_LINE = "20 15 20 25 14 25 14 15 ship 0"
STUDIO_CASES: dict[str, Case] = {
    **{
        f"address {address}": ("label-studio", studio(CORNER, **{key: address}), {"a": CORNER_LINE})
        for key, address in (
            ("image", "s3://bucket/x/a.png"),
            ("image", "/data/local-files/?d=images\\a.png"),
            ("photo", "http://host/x/a.png?t=1"),
            ("picture", "/data/local-files/?d=images/a.png"),
        )
    },
    "two pictures": ("label-studio", studio(CORNER, one="a.png", two="b.png"), "expected the key 'image'"),
    "another rotation": (
        "label-studio",
        studio({**CORNER, "rotation": 0, "angle": 30}),
        f"angle: {NO_ROTATION}",
    ),
    "two labels": ("label-studio", studio({**CORNER, "rectanglelabels": ["a", "b"]}), "expected one label"),
    "labels apart": (
        "label-studio",
        studio({**{k: v for k, v in CORNER.items() if k != "rectanglelabels"}, "labels": ["ship"]}, "labels"),
        {"a": CORNER_LINE},
    ),
}
LISTED_PATHS = ("images\\a b.v1.PNG", "D:\\x\\a b.v1.PNG", "/home/x/a b.v1.PNG", "./images/a b.v1.PNG")
UTF16_LIST = f"a.png {LISTED}".encode("utf-16")
OTHER_CASES: dict[str, Case] = {
    "ucas in small letters": (
        "ucas-aod",
        {"car/P1.png": None, "car/P1.TXT": UCAS},
        {"P1": "2 3 12 3 12 6 2 6 car 0"},
    ),
    "ucas in others": ("ucas-aod", {"CARS/P1.png": None, "CARS/P1.txt": UCAS}, "expected the folders CAR"),
    **{
        f"list {path}": (
            "list",
            {"Train.txt": f"{path} {LISTED}\r\n", "images/a b.v1.PNG": None},
            {"train/a b.v1": LISTED_BOX},
        )
        for path in LISTED_PATHS
    },
    "list in UTF-16": ("list", {"train.txt": UTF16_LIST, "a.png": None}, {"train/a": LISTED_BOX}),
    "list of boxes": (
        "list",
        {"train.txt": "a.png 2,3,12,6,0\n", "a.png": None},
        {"train/a": LISTED_BOX},
    ),
    "list of six": ("list", {"train.txt": "a.png 2,3,12,6,0,1\n", "a.png": None}, "train.txt:1: expected 15"),
}
TABLES = {
    "yolo": YOLO_CASES,
    "coco": COCO_CASES,
    "dota": DOTA_CASES,
    "labelme": LABELME_CASES,
    "label-studio": STUDIO_CASES,
    "other": OTHER_CASES,
}


@pytest.mark.parametrize(
    "case",
    [case for table in TABLES.values() for case in table.values()],
    ids=[f"{form}: {name}" for form, table in TABLES.items() for name in table],
)
def test_variant(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)


@pytest.mark.parametrize(("line", "centre"), [(TURNED, (20, 15)), (TURNED_BOX, (19, 14))])
def test_the_turned_lines_of_the_tables_are_rectangles(line: str, centre: tuple[int, int]) -> None:
    turn = complex(*centre), complex(math.sqrt(3) / 2, 0.5)
    corners = [turn[0] + turn[1] * complex(*c) for c in ((-5, -2), (5, -2), (5, 2), (-5, 2))]
    found = np.array(line.split()[:8], float).reshape(4, 2)
    np.testing.assert_allclose(found, [(c.real, c.imag) for c in corners], atol=1e-6)


def test_label_files_without_an_image_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {"labels/b.TXT": YOLO, "labels/classes.txt": "ship\n", "labels/c.txt": YOLO, "notes.txt": "x"}
    check(("yolo", {**one_yolo(YOLO), **files}, {"a": SHIP}), tmp_path)
    assert "2 label files belong to no image, and were not read" in caplog.text


def test_training_does_not_guess_the_unit_of_rotations_either(tmp_path: Path) -> None:
    def rows(unit: float, count: int = 25) -> dict[str, Any]:
        return one_coco(*({"attributes": {"rotation": unit * k}} for k in range(count)))

    assert len(read_split(write(tmp_path / "a", rows(1.0)), "train")[0][0].labels) == 25
    assert len(read_split(write(tmp_path / "b", rows(0.1, 3)), "train")[0][0].labels) == 3
    with pytest.raises(UserError, match=r"24 rotated boxes whose angles may be degrees .*--from coco"):
        read_split(write(tmp_path / "c", rows(0.1)), "train")


def test_training_reads_label_files_however_they_are_spelt(tmp_path: Path) -> None:
    root = write(tmp_path / "a", dota(LINE, "a.PNG", "a.TXT") | dota(LINE, "b.png", "b.png.txt"))
    assert [len(annotation.labels) for annotation in read_split(root, "train")[0]] == [1, 1]
    assert [len(a.labels) for a in read_named(root, ["b", "a", "c"], "train")[0]] == [1, 1, 0]
    root = write(tmp_path / "b", {"Images/a.JPG": None, "Labels/a.TXT": YOLO, "classes.txt": "ship\n"})
    assert [len(annotation.labels) for annotation in read_split(root, "train")[0]] == [1]
    root = write(tmp_path / "c", {"train.txt": f"images\\a.png {LISTED}\r\n", "images/a.png": None})
    assert Path(read_split(root, "train.txt")[0][0].image_path).is_file()


@pytest.mark.parametrize("base", ["/content/boats", "D:\\boats", "../datasets/boats", "boats"])
@pytest.mark.parametrize("key", ["path: {}\ntrain: one/train/images\nval: one/valid/images\n", "{key}"])
def test_training_finds_the_folders_of_another_machine(base: str, key: str, tmp_path: Path) -> None:
    text = key.format(base, key=f"train: {base}/one/train/images\nval: {base}/one/valid/images\n")
    files = {f"one/{name}": contents for name, contents in yolo().items()}
    root = write(tmp_path / "set", {**files, "data.yaml": f"{text}names: [ship]\n"})
    for split, name in (("train", "a"), ("val", "b")):
        (annotation,) = read_split(root, split)[0]
        assert Path(annotation.image_path).stem == name
        assert len(annotation.labels) == 1


def test_a_path_that_says_no_split_is_not_guessed(tmp_path: Path) -> None:
    text = "train: /content/x/train/images\nval: /content/x/valid/images\nnames: [ship]\n"
    root = write(tmp_path, {**one_yolo(YOLO), "data.yaml": text})
    with pytest.raises(UserError, match="train/images: expected a folder or a list of images, found none"):
        read_split(root, "train")


def test_a_fault_of_the_whole_file_is_what_check_says(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.json": {"images": [], "annotations": []}, "a.png": None})
    with pytest.raises(UserError, match=r"a.json: expected the key 'categories'"):
        doctor.main([str(root), "--out", str(tmp_path / "out"), "--processes", "1"])
