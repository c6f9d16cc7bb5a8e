"""A small data set in each text and JSON format, as its documentation has it, and what it says, by hand.

All images are 40 pixels wide and 30 high.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Object = tuple[str, list[float], int]  # class, x1 y1 .. x4 y4, difficult
WIDTH, HEIGHT = 40, 30
BOX = [2.0, 3.0, 12.0, 3.0, 12.0, 6.0, 2.0, 6.0]
QUAD = [20.5, 5.0, 30.0, 9.25, 26.0, 18.0, 16.5, 13.75]
# the rectangle 20, 15, 10, 4 turned by 30 degrees: cos .8660254, sin .5
TURNED = [16.669873, 10.767949, 25.330127, 15.767949, 23.330127, 19.232051, 14.669873, 14.232051]


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), len(path.name), np.uint8))


def write_files(root: Path, files: dict[str, Any]) -> Path:
    """Write texts, JSON values and, for None, images."""
    for name, contents in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if contents is None:
            write_image(path)
        elif isinstance(contents, str):
            path.write_text(contents, encoding="utf-8", newline="")
        else:
            path.write_text(json.dumps(contents, indent=1), encoding="utf-8")
    return root


def dota(root: Path) -> Path:
    lines = ["imagesource:GoogleEarth", "gsd:0.146", "2.0 3.0 12.0 3.0 12.0 6.0 2.0 6.0 ship 0"]
    lines += ["20.5 5 30 9.25 26 18 16.5 13.75 large-vehicle 1", "2 3 12 3 12 6 2 6 ship 2"]
    names = {"ImageSets/train.txt": "P1\n", "ImageSets/val.txt": "P2.v2\n"}
    files = {"images/P1.png": None, "images/P2.v2.png": None, "labelTxt/P1.txt": "\r\n".join(lines)}
    return write_files(root, {**files, **names})


def training_list(root: Path) -> Path:
    box = "2,3,12,6,1,2,3,12,3,12,6,2,6,1,0"
    quad = "16.5,5,30,18,0,20.5,5,30,9.25,26,18,16.5,13.75,0.57,24.1"
    files = {"images/P 1.png": None, "images/P2.png": None, "classes.txt": "large vehicle\nship\n"}
    lists = {"train.txt": f"images/P 1.png {box} {quad}\n", "val.txt": "images/P2.png\n"}
    return write_files(root, {**files, **lists})


def yolo(root: Path) -> Path:
    data = "path: ../datasets/boats\ntrain: images/train\nval: images/val\nnames:\n  0: car\n  1: ship\n"
    quad = " ".join(str(value) for value in np.array(QUAD) / np.tile([WIDTH, HEIGHT], 4))
    labels = f"1 0.05 0.1 0.3 0.1 0.3 0.2 0.05 0.2\n0 {quad}\n"
    images = {"images/train/P1.png": None, "images/val/P2.png": None}
    return write_files(root, {"data.yaml": data, "labels/train/P1.txt": labels, **images})


def coco(root: Path) -> Path:
    def row(number: int, **keys: Any) -> dict[str, Any]:
        return {"id": number, "image_id": 7, "category_id": 3, "area": 30.0, "iscrowd": 0, **keys}

    document = {
        "info": {"year": 2026},
        "images": [
            {"id": 7, "file_name": "P1.png", "width": WIDTH, "height": HEIGHT},
            {"id": 9, "file_name": "P2.png", "width": WIDTH, "height": HEIGHT},
        ],
        "annotations": [
            row(1, segmentation=[QUAD], bbox=[16.5, 5, 13.5, 13], iscrowd=1),
            row(2, bbox=[20, 15, 10, 4, 30], segmentation=[]),
            row(3, bbox=[2, 3, 10, 3], ignore=1),
            row(4, bbox=[2, 3, 10, 3], category_id=1, difficult=2),
        ],
        "categories": [{"id": 3, "name": "ship"}, {"id": 1, "name": "large vehicle"}],
    }
    files = {"images/P1.png": None, "images/P2.png": None}
    return write_files(root, {"annotations/instances_train2017.json": document, **files})


def sku110k(root: Path) -> Path:
    image = {"id": 1, "file_name": "P1.jpg", "width": WIDTH, "height": HEIGHT}
    item = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [14, 10, 12, 10], "iscrowd": 0}
    items = [{**item, "rbbox": [20, 15, 10, 4, 30]}, {**item, "id": 2, "rbbox": [7, 4.5, 10, 3, 0]}]
    document = {"images": [image], "annotations": items, "categories": [{"id": 1, "name": "object"}]}
    return write_files(root, {"sku110k-r_val.json": document, "images/P1.jpg": None})


def ucas_aod(root: Path) -> Path:
    line = "2\t3\t12\t3\t12\t6\t2\t6\t0\t2\t3\t10\t3\n"
    quad = "20.5\t5\t30\t9.25\t26\t18\t16.5\t13.75\t24.1\t16.5\t5\t13.5\t13\r\n"
    images = {f"{folder}/P0001.png": None for folder in ("CAR", "PLANE", "Neg")}
    return write_files(root, {**images, "CAR/P0001.txt": line, "PLANE/P0001.txt": quad})


def pairs(numbers: list[float]) -> list[list[float]]:
    return [numbers[k : k + 2] for k in range(0, 8, 2)]


def labelme(root: Path) -> Path:
    def shape(label: str, points: list[list[float]], form: str, **flags: bool) -> dict[str, Any]:
        common = {"group_id": None, "description": "", "flags": flags, "mask": None}
        return {"label": label, "points": points, "shape_type": form, **common}

    document = {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            shape("ship", pairs(QUAD), "polygon"),
            shape("small boat", [[12, 3], [2, 6]], "rectangle", difficult=True),
            shape("buoy", [[5, 5], [6, 5]], "circle"),
        ],
        "imagePath": "..\\images\\P1.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    empty = {**document, "shapes": [], "imagePath": "P2.png"}
    files = {"labels/P1.json": document, "val/P2.json": empty}
    return write_files(root, {**files, "images/P1.png": None, "val/P2.png": None})


def xanylabeling(root: Path) -> Path:
    common = {"score": None, "group_id": None, "description": "", "flags": {}, "kie_linking": []}
    turned = {"label": "ship", "points": pairs(TURNED), "shape_type": "rotation", "direction": 0.523599}
    upright = {"label": "ship", "points": pairs(BOX), "shape_type": "rectangle", "difficult": False}
    polygon = {"label": "plane", "points": pairs(QUAD), "shape_type": "polygon", "difficult": False}
    document = {
        "version": "2.4.4",
        "flags": {},
        "shapes": [{**common, **shape} for shape in ({**turned, "difficult": True}, upright, polygon)],
        "imagePath": "P1.png",
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }
    return write_files(root, {"train/P1.json": document, "train/P1.png": None})


def label_studio(root: Path) -> Path:
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    corner = {"x": 50, "y": 50, "width": 25, "height": 20, "rotation": 90, "rectanglelabels": ["ship"]}
    points = [[5, 10], [30, 10], [30, 20], [5, 20]]
    results = [
        {**size, "id": "a", "type": "rectanglelabels", "value": corner},
        {**size, "id": "b", "type": "polygonlabels", "value": {"points": points, "polygonlabels": ["car"]}},
        {**size, "id": "c", "type": "keypointlabels", "value": {"x": 5, "y": 5}},
    ]
    old = {"id": 1, "was_cancelled": True, "result": []}
    tasks = [
        {
            "id": 1,
            "data": {"image": "/data/upload/2/0a1b2c3d-P1.png"},
            "annotations": [old, {"id": 2, "was_cancelled": False, "result": results}],
        },
        {"id": 2, "data": {"image": "/data/local-files/?d=images/P%202.png"}, "annotations": []},
    ]
    return write_files(root, {"export.json": tasks, "images/P1.png": None, "images/P 2.png": None})


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "coco": coco,
    "dota": dota,
    "label-studio": label_studio,
    "labelme": labelme,
    "list": training_list,
    "sku110k-r": sku110k,
    "ucas-aod": ucas_aod,
    "xanylabeling": xanylabeling,
    "yolo-obb": yolo,
}
EXPECTED: dict[str, dict[tuple[str, str], list[Object]]] = {  # (split, name of the image) -> objects
    "coco": {
        ("train", "P1.png"): [
            ("ship", QUAD, 1),
            ("ship", TURNED, 0),
            ("ship", BOX, 1),
            ("large vehicle", BOX, 2),
        ],
        ("train", "P2.png"): [],
    },
    "dota": {
        ("train", "P1.png"): [("ship", BOX, 0), ("large-vehicle", QUAD, 1), ("ship", BOX, 2)],
        ("val", "P2.v2.png"): [],
    },
    "label-studio": {
        ("", "P1.png"): [("ship", [20, 15, 20, 25, 14, 25, 14, 15], 0), ("car", BOX, 0)],
        ("", "images/P 2.png"): [],
    },
    "labelme": {
        ("", "images/P1.png"): [("ship", QUAD, 0), ("small boat", BOX, 1)],
        ("val", "val/P2.png"): [],
    },
    "list": {
        ("train", "images/P 1.png"): [("ship", BOX, 0), ("large vehicle", QUAD, 0)],
        ("val", "images/P2.png"): [],
    },
    "sku110k-r": {("val", "P1.jpg"): [("object", TURNED, 0), ("object", BOX, 0)]},
    "ucas-aod": {
        ("", "CAR/P0001.png"): [("car", BOX, 0)],
        ("", "Neg/P0001.png"): [],
        ("", "PLANE/P0001.png"): [("plane", QUAD, 0)],
    },
    "xanylabeling": {
        ("train", "train/P1.png"): [("ship", TURNED, 1), ("ship", BOX, 0), ("plane", QUAD, 0)],
    },
    "yolo-obb": {
        ("train", "images/train/P1.png"): [("ship", BOX, 0), ("car", QUAD, 0)],
        ("val", "images/val/P2.png"): [],
    },
}
