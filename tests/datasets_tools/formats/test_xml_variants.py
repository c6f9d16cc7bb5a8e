"""XML label files as people have them: each gives the right objects, or an error that says why."""

from pathlib import Path
from typing import Any

import pytest

from tests.datasets_tools.formats.variants import SHIP, TURNED, Case, check

NO_ROTATION = "expected no rotation beside an upright box"
SIZE = "<size><width>40</width><height>30</height></size>"
BOX = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>12</xmax><ymax>6</ymax></bndbox>"
MIDDLE = "<bndbox><xmin>15</xmin><ymin>13</ymin><xmax>25</xmax><ymax>17</ymax></bndbox>"
BOX_LINE = "2 3 12 3 12 6 2 6 ship 0"
PENTAGON = "9 1 9 8 1 8 1 1"  # around the house 1,1 9,1 9,8 5,8 1,8
QUAD = "1 1 9 1 9 8 1 8 ship 0"


def cvat_image(name: str, shapes: str = "", **keys: str) -> str:
    shapes = shapes or '<polygon label="ship" points="20.5,5;30,9.25;26,18;16.5,13.75"></polygon>'
    words = "".join(f' {key}="{value}"' for key, value in keys.items())
    return f'<image id="0" name="{name}" width="40" height="30"{words}>{shapes}</image>'


def cvat(*images: str, meta: str = "", head: str = "") -> str:
    return f"{head}<annotations><version>1.1</version>{meta}{''.join(images)}</annotations>"


def one_cvat(shapes: str) -> dict[str, Any]:
    return {"annotations.xml": cvat(cvat_image("a.png", shapes)), "a.png": None}


CVAT_BOX = '<box label="ship" xtl="{}" ytl="13" xbr="25" ybr="17" rotation="{}"{}>{}</box>'
SUBSETS = ("Train", "Test", "Validation")
META = "<meta><job><id>3</id><subset>Validation</subset></job></meta>"
CVAT_CASES: dict[str, Case] = {
    "project": (
        "cvat",
        {"annotations.xml": cvat(*(cvat_image("a.png", subset=s) for s in SUBSETS))}
        | {f"images/{s}/a.png": None for s in SUBSETS},
        {"train/a": SHIP, "test/a": SHIP, "val/a": SHIP},
    ),
    "project of no subsets": (
        "cvat",
        {"annotations.xml": cvat(cvat_image("a.png", subset="default")), "images/default/a.png": None},
        {"a": SHIP},
    ),
    "subsets in the names": (
        "cvat",
        {"annotations.xml": cvat(*(cvat_image(f"{s}/a.png") for s in SUBSETS))}
        | {f"images/{s}/a.png": None for s in SUBSETS},
        {"train/a": SHIP, "test/a": SHIP, "val/a": SHIP},
    ),
    "a job": ("cvat", {"a.xml": cvat(cvat_image("a.png"), meta=META), "a.png": None}, {"val/a": SHIP}),
    "tasks with images of one name": (
        "cvat",
        {f"task_{k}/annotations.xml": cvat(cvat_image("a.png")) for k in (1, 2)}
        | {f"task_{k}/images/a.png": None for k in (1, 2)},
        {"task_1_images_a": SHIP, "task_2_images_a": SHIP},
    ),
    "a task for each split": (
        "cvat",
        {f"{s}/annotations.xml": cvat(cvat_image("a.png")) for s in ("train", "valid")}
        | {f"{s}/a.png": None for s in ("train", "valid")},
        {"train/a": SHIP, "val/a": SHIP},
    ),
    "a file for each split": (
        "cvat",
        {f"{s}.xml": cvat(cvat_image(f"{s}0.png")) for s in ("train", "val")}
        | {f"images/{s}0.png": None for s in ("train", "val")},
        {"train/train0": SHIP, "val/val0": SHIP},
    ),
    "an image twice": (
        "cvat",
        {"annotations.xml": cvat(cvat_image("a.png"), cvat_image("a.png")), "a.png": None},
        "annotations.xml:1: expected each image once",
    ),
    "names": (
        "cvat",
        {"a.xml": cvat(cvat_image("sub dir/\u00e4 b.v1.PNG"), cvat_image("x\\y.png"))}
        | {"images/sub dir/\u00e4 b.v1.PNG": None, "images/x/y.png": None},
        {"\u00e4 b.v1": SHIP, "y": SHIP},
    ),
    "UTF-16": (
        "cvat",
        {"a.xml": cvat(cvat_image("a.png"), head="<?xml version='1.0' encoding='utf-16'?>").encode("utf-16")}
        | {"a.png": None},
        {"a": SHIP},
    ),
    **{
        f"turned by {turn}": ("cvat", one_cvat(CVAT_BOX.format(15, turn, "", "")), {"a": TURNED})
        for turn in ("30", "30.0", "-330")
    },
    **{
        f"refused {number}": ("cvat", one_cvat(shape), f"annotations.xml:1: {expected}")
        for number, (shape, expected) in enumerate(
            [
                (CVAT_BOX.format(15, "30,5", "", ""), "expected a number for rotation, got '30,5'"),
                (CVAT_BOX.format("1,5", 0, "", ""), "expected a number for xtl, got '1,5'"),
                (CVAT_BOX.format(15, 400, "", ""), "expected at most 360 degrees"),
                (CVAT_BOX.format(15, 0, ' angle="30"', ""), f"angle=: {NO_ROTATION}"),
                (
                    CVAT_BOX.format(15, 0, "", '<attribute name="theta">0.5</attribute>'),
                    f"attribute theta: {NO_ROTATION}",
                ),
                ('<polygon label="ship" points="1,1;2,2"/>', "expected a polygon of at least 3 vertices"),
            ]
        )
    },
    "three and five points, others": (
        "cvat",
        one_cvat(
            '<polygon label="t" points="1,1; 9,1; 5,8"/><polygon label="p" points="1,1;9,1;9,8;5,8;1,8"/>'
            '<mask label="m" rle="1,2"/><skeleton label="s"/><tag label="x"/>'
        ),
        {"a": f"1 1 9 1 5 8 5 8 t 0\n{PENTAGON} p 0"},
    ),
}


def voc(shape: str = BOX, extra: str = "", name: str = "ship", file: str = "a.png", **keys: str) -> str:
    inside = f"<name>{name}</name>{extra}{shape}"
    item = f"<object{keys.get('attribute', '')}>{inside}</object>"
    head = keys.get("head", "")
    return f"{head}<annotation><filename>{file}</filename>{keys.get('size', SIZE)}{item}</annotation>"


def one_voc(text: str | bytes, image: str = "a.png") -> dict[str, Any]:
    return {"a.xml": text, image: None}


def turned(value: str) -> str:
    attribute = f"<attribute><name>rotation</name><value>{value}</value></attribute>"
    return f"{MIDDLE}<attributes>{attribute}</attributes>"


def rolabelimg(angle: str) -> str:
    return f"<robndbox><cx>20</cx><cy>15</cy><w>10</w><h>4</h><angle>{angle}</angle></robndbox>"


def polygon(*points: str, first: int = 1) -> str:
    numbers = [point.split(",") for point in points]
    inside = "".join(f"<x{k}>{x}</x{k}><y{k}>{y}</y{k}>" for k, (x, y) in enumerate(numbers, first))
    return f"<polygon>{inside}</polygon>"


def points(tag: str) -> str:
    corners = "".join(f"<{tag}><x>{x}</x><y>{y}</y></{tag}>" for x, y in ((1, 1), (9, 1), (9, 8), (1, 8)))
    return f"<polygon>{corners}</polygon>"


HOUSE = ("1,1", "9,1", "9,8", "5,8", "1,8")
LATIN1 = voc(name="b\u00e2teau", head="<?xml version='1.0' encoding='{}'?>")
VOC_CASES: dict[str, Case] = {
    **{
        f"difficult {text}": ("voc", one_voc(voc(extra=f"<difficult>{text}</difficult>")), {"a": line})
        for text, line in (
            ("true", f"{BOX_LINE[:-1]}1"),
            ("True", f"{BOX_LINE[:-1]}1"),
            ("2", f"{BOX_LINE[:-1]}2"),
            ("False", BOX_LINE),
            ("", BOX_LINE),
        )
    },
    "difficult yes": ("voc", one_voc(voc(extra="<difficult>yes</difficult>")), "a.xml:1: expected 0, 1 or 2"),
    **{
        f"refused {number}": ("voc", one_voc(text), f"a.xml:1: {expected}")
        for number, (text, expected) in enumerate(
            [
                (voc(BOX.replace("</bnd", "<angle>30</angle></bnd")), f"<angle>: {NO_ROTATION}"),
                (voc(extra="<angle>0.5</angle>"), f"<angle>: {NO_ROTATION}"),
                (voc(extra="<rotation>30\u00b0</rotation>"), f"<rotation>: {NO_ROTATION}"),
                (voc(attribute=' rotation="30"'), f"rotation=: {NO_ROTATION}"),
                (voc(extra="<box_rotation>12,5</box_rotation>"), f"<box_rotation>: {NO_ROTATION}"),
                (voc(turned("400")), "attribute rotation: expected at most 360 degrees"),
                (voc(rolabelimg("30")), "expected an angle within 6.2832, a full turn"),
                (voc(BOX.replace("2<", "2,5<")), "expected a number for <xmin>, got '2,5'"),
                (voc(BOX.replace("min", "MIN")), "expected <xmin> in <bndbox>"),
                (voc(BOX.replace("<xmax>12", "<xmax>1")), "expected xmin <= xmax"),
                (voc(polygon("1,1", "9,1")), "expected a polygon of at least 3 vertices, got 2"),
                (voc(polygon(*HOUSE).replace("x3", "x9")), "expected <x3> in <polygon>"),
                (voc("<polygon></polygon>"), "expected <x1> in <polygon>, got nothing"),
                (voc(name=""), "expected a class name in <name>"),
                (voc(head="<!DOCTYPE x>"), "expected no DOCTYPE"),
                (LATIN1.format("utf-8").encode("latin-1"), "expected well-formed XML"),
                ("", "expected well-formed XML: no element found"),
            ]
        )
    },
    **{
        f"turned by {value}": ("voc", one_voc(voc(turned(value))), {"a": TURNED})
        for value in ("30", "30.0", "-330", "30,0")
    },
    "roLabelImg": ("voc", one_voc(voc(rolabelimg("0.5235987756"), "<type>robndbox</type>")), {"a": TURNED}),
    "roLabelImg with a rounded turn": (
        "voc",
        one_voc(voc(rolabelimg("6.2832"))),
        {"a": "15.000029 12.999927 25.000029 13.000073 24.999971 17.000073 14.999971 16.999927 ship 0"},
    ),
    "triangle": ("voc", one_voc(voc(polygon("1,1", "9,1", "5,8"))), {"a": "1 1 9 1 5 8 5 8 ship 0"}),
    "house": ("voc", one_voc(voc(polygon(*HOUSE))), {"a": f"{PENTAGON} ship 0"}),
    "counted from 0": ("voc", one_voc(voc(polygon("1,1", "9,1", "9,8", "1,8", first=0))), {"a": QUAD}),
    **{f"points in <{tag}>": ("voc", one_voc(voc(points(tag))), {"a": QUAD}) for tag in ("pt", "point")},
    "parts of an object": (
        "voc",
        one_voc(voc(f"{BOX}<part><name>bow</name>{MIDDLE}</part>")),
        {"a": BOX_LINE},
    ),
    **{
        f"file name {name}": ("voc", one_voc(voc(file=name)), {"a": BOX_LINE})
        for name in ("C:\\x\\a.png", "a", "A.PNG", "old.png", "")
    },
    "suffix in capitals": ("voc", {"a.XML": voc(file="a.PNG"), "a.PNG": None}, {"a": BOX_LINE}),
    "class of two words": (
        "voc",
        one_voc(voc(name=" small  ship ")),
        {"a": "2 3 12 3 12 6 2 6 small-ship 0"},
    ),
    **{
        f"encoding {code}": (
            "voc",
            one_voc(LATIN1.format(code).encode(code)),
            {"a": "2 3 12 3 12 6 2 6 b\u00e2teau 0"},
        )
        for code in ("latin-1", "windows-1252", "utf-16", "utf-8")
    },
    "byte order mark": ("voc", one_voc("\ufeff" + voc()), {"a": BOX_LINE}),
    "size of 0": ("voc", one_voc(voc(size=SIZE.replace("40", "0").replace("30", "0"))), {"a": BOX_LINE}),
    "name files of classes": (
        "voc",
        {"Annotations/a.xml": voc(), "Annotations/b.xml": voc(file="b.png")}
        | {"JPEGImages/a.png": None, "JPEGImages/b.png": None, "ImageSets/Main/ship_train.txt": "a  1\n"}
        | {"ImageSets/Main/train.txt": "a\r\n", "ImageSets/Main/val.txt": "b.png\n"},
        {"train/a": BOX_LINE, "val/b": BOX_LINE},
    ),
    "DroneVehicle": (
        "voc",
        {
            f"{s}/{s}label/a.xml": voc(polygon("1,1", "9,1", "9,8", "1,8"), file="a.jpg")
            for s in ("train", "val")
        }
        | {f"{s}/{s}img/a.jpg": None for s in ("train", "val")},
        {"train/a": QUAD, "val/a": QUAD},
    ),
    "DroneVehicle, both cameras": (
        "voc",
        {f"train/{s}/a.xml": voc(file="a.jpg") for s in ("trainlabel", "trainlabelr")}
        | {"train/a.jpg": None},
        "trainlabelr/a.xml: expected one file for an image",
    ),
    "Roboflow": (
        "voc",
        {f"{s}/a.xml": voc() for s in ("train", "valid")} | {f"{s}/a.png": None for s in ("train", "valid")},
        {"train/a": BOX_LINE, "val/a": BOX_LINE},
    ),
}


def hrsc(angle: str) -> dict[str, Any]:
    values = {"cx": "20", "cy": "15", "w": "10", "h": "4", "ang": angle}
    sides = "".join(f"<mbox_{k}>{v}</mbox_{k}>" for k, v in values.items())
    item = f"<HRSC_Object><Class_ID>100000001</Class_ID>{sides}</HRSC_Object>"
    text = f"<HRSC_Image><Img_FileName>a</Img_FileName><HRSC_Objects>{item}</HRSC_Objects></HRSC_Image>"
    return {"Annotations/a.xml": text, "AllImages/a.bmp": None}


def fair1m(*ring: str, frame: str = "pixel") -> dict[str, Any]:
    inside = "".join(f"<point>{point}</point>" for point in ring)
    item = f"<coordinate>{frame}</coordinate><possibleresult><name>ship</name></possibleresult>"
    objects = f"<objects><object>{item}<points>{inside}</points></object></objects>"
    return {
        "a.xml": f"<annotation><source><filename>a.tif</filename></source>{objects}</annotation>",
        "a.tif": None,
    }


def ssdd(count: int, first: float) -> dict[str, Any]:
    sides = {"cx": 20.0, "cy": 15.0, "w": 10.0, "h": 4.0}
    tags = "".join(f"<rotated_bbox_{k}>{v}</rotated_bbox_{k}>" for k, v in sides.items())
    angles = [f"<rotated_bbox_theta>{first * k}</rotated_bbox_theta>" for k in range(1, count + 1)]
    items = [f"<object><name>ship</name><rotated_bndbox>{tags}{a}</rotated_bndbox></object>" for a in angles]
    return {"a.xml": f"<annotation><filename>a.png</filename>{''.join(items)}</annotation>", "a.png": None}


RING = ("1,1", "9, 1", "9,8", "1,8")
OTHER_CASES: dict[str, Case] = {
    "hrsc": ("hrsc2016", hrsc("0.5235987756"), {"a": TURNED}),
    "hrsc in degrees": ("hrsc2016", hrsc("30"), "a.xml:1: expected an angle within 6.2832"),
    "ring": ("fair1m", fair1m(*RING, "1,1"), {"a": QUAD}),
    "open ring": ("fair1m", fair1m(*RING), {"a": QUAD}),
    "degrees of the earth": ("fair1m", fair1m(*RING, frame="lonlat"), "expected pixel as the <coordinate>"),
    "ssdd": ("ssdd", ssdd(1, 30.0), {"a": TURNED}),
    "ssdd in radians": ("ssdd", ssdd(25, 0.1), "the angles of its 25 rotated boxes are all within 2.5"),
}
TABLES = {"cvat": CVAT_CASES, "voc": VOC_CASES, "other": OTHER_CASES}


@pytest.mark.parametrize(
    "case",
    [case for table in TABLES.values() for case in table.values()],
    ids=[f"{form}: {name}" for form, table in TABLES.items() for name in table],
)
def test_variant(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
