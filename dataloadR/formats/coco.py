"""COCO JSON with oriented objects: `segmentation` of a quad, or a rotated box of five numbers.

A rotated box, `bbox` of five numbers or `rbbox`, is `cx, cy, width, height, angle`: the angle is that of the
width against +x, in degrees and clockwise on the screen, unless another convention is asked for.
"""

import math
import os
from collections.abc import Container, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataloadR.formats.json_values import Value, load_json, pixel_size
from dataloadR.formats.layout import find_files, folder_of, split_of, split_of_file
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import F64, LabelledImage
from dataloadR.formats.shapes import Box, Shape, labelled_image, polygon_quad
from utils.errors import Faults
from utils.images import Size

LARGEST_ANGLE = 2 * math.pi + 1e-6  # a full turn, rounded
FEW = 10  # angles, of which all may be small by chance
ANGLES = {  # what one unit of a rotated box is in radians, clockwise on the screen
    "degrees": math.pi / 180,
    "radians": 1.0,
    "degrees-ccw": -math.pi / 180,  # Detectron2
    "radians-ccw": -1.0,
}


class _Tables(NamedTuple):
    """What the objects refer to by id."""

    images: dict[int | str, tuple[str, Size | None]]  # file name and size
    categories: dict[int | str, str]


class CocoFile(NamedTuple):
    """The contents of one JSON file."""

    images: list[LabelledImage]
    rows: list[list[int]]  # of each image: the places of its objects under `annotations`
    classes: list[str]  # in the order of the categories


def read_coco(source: Path, faults: Faults, notes: Notes, angle: str = "degrees") -> Iterator[LabelledImage]:
    """Yield the images of a JSON file, or of all below a folder; a file's or its folder's name is the split.

    The quad of an object is its `segmentation`, else its `rbbox`, else its `bbox` of five or four numbers.
    Images that lie beside the file are called by their path from the source.

    Args:
        angle: a key of ANGLES.
    """
    root = folder_of(source)
    for path in find_files(source, ".json"):
        contents = read_coco_file(path, faults, notes, angle)
        for image in contents.images:
            beside = path.parent / image.name
            is_there = path.parent != root and os.path.isfile(beside)  # noqa: PTH113 - raises never
            name = (path.parent.relative_to(root) / image.name).as_posix() if is_there else image.name
            yield image._replace(name=name, split=split_of_json(path))


def split_of_json(path: Path) -> str:
    """Return the split that a file's name says, else that of its folder, as train/_annotations.coco.json."""
    return split_of_file(path) or split_of([path.parent.name])


def read_coco_file(path: Path, faults: Faults, notes: Notes, angle: str = "") -> CocoFile:
    """Return the contents of a JSON file; nothing after a fault that hides the images.

    Args:
        angle: a key of ANGLES; empty: degrees, and rotated boxes are noted, for the file does not say.
    """
    document = faults.attempt(partial(load_json, path))
    tables = faults.attempt(partial(_read_tables, document, faults)) if document else None
    if document is None or tables is None:
        return CocoFile([], [], [])
    shapes: dict[int | str, list[Shape]] = {identity: [] for identity in tables.images}
    places: dict[int | str, list[int]] = {identity: [] for identity in tables.images}
    rows = faults.attempt(partial(_list, document, "annotations")) or []
    for place, node in enumerate(rows):
        found = faults.attempt(partial(_read_object, node, tables, angle, notes))
        if found is not None:
            shapes[found[0]].append(found[1])
            places[found[0]].append(place)
    _point_out_radians(rows if "degrees" in (angle or "degrees") else [], notes)
    images = [labelled_image(name, size, shapes[key]) for key, (name, size) in tables.images.items()]
    return CocoFile(images, list(places.values()), _class_order(document, tables, shapes))


def _class_order(document: Value, tables: _Tables, shapes: dict[int | str, list[Shape]]) -> list[str]:
    """Return the categories' names, without those that have no objects and only stand above others.

    Roboflow puts such a one first, called like the project.
    """
    above = {
        parent.value
        for node in document.key("categories").items()
        if (parent := node.find("supercategory")) and parent.value != node.key("name").value
    }
    used = {shape.label for of_image in shapes.values() for shape in of_image}
    return [name for name in dict.fromkeys(tables.categories.values()) if name in used or name not in above]


def _point_out_radians(rows: Sequence[Value], notes: Notes) -> None:
    """Count the rotated boxes of a file in degrees where all would be up to half a turn in radians."""
    objects = [row.value for row in rows if isinstance(row.value, dict)]
    boxes = [row.get("rbbox") or row.get("bbox") for row in objects]
    rotated = [box[4] for box in boxes if isinstance(box, list) and len(box) == 5]
    angles = [angle for angle in rotated if isinstance(angle, int | float) and angle]
    if len(angles) >= FEW and max(map(abs, angles)) <= math.pi:
        notes.add("angles of rotated boxes are all within pi: for radians, give --angle radians", len(angles))


def _list(document: Value, key: str) -> list[Value]:
    return list(document.key(key).items())


def _read_tables(document: Value, faults: Faults) -> _Tables:
    tables = _Tables({}, {})
    for node in document.key("categories").items():
        faults.attempt(partial(_add_category, node, tables))
    for node in document.key("images").items():
        faults.attempt(partial(_add_image, node, tables))
    return tables


def _add_category(node: Value, tables: _Tables) -> None:
    tables.categories[_new_id(node, tables.categories)] = node.key("name").text()


def _add_image(node: Value, tables: _Tables) -> None:
    size = pixel_size(node, "height", "width")
    tables.images[_new_id(node, tables.images)] = node.key("file_name").text(), size


def _new_id(node: Value, known: Container[int | str]) -> int | str:
    identity = node.key("id")
    if identity.identity() in known:
        raise identity.error("each id once")
    return identity.identity()


def _read_object(node: Value, tables: _Tables, angle: str, notes: Notes) -> tuple[int | str, Shape]:
    """Return the image's id and the object."""
    image, category = node.key("image_id"), node.key("category_id")
    if image.identity() not in tables.images:
        raise image.error("the id of an image")
    if category.identity() not in tables.categories:
        raise category.error("the id of a category")
    outline = _read_outline(node, angle, notes)
    return image.identity(), Shape(tables.categories[category.identity()], outline, _read_flag(node))


def _read_flag(node: Value) -> int:
    """Return `difficult` of 0, 1 or 2, or else 1 for what is a crowd or ignored."""
    difficult = node.find("difficult")
    if difficult is not None:
        if difficult.whole() > 2:
            raise difficult.error("0, 1 or 2")
        return difficult.whole()
    flags = [node.find("iscrowd"), node.find("ignore")]
    return int(any(flag.is_true() for flag in flags if flag is not None))


def _read_outline(node: Value, angle: str, notes: Notes) -> F64 | Box:
    segmentation = node.find("segmentation")
    if segmentation is not None and isinstance(segmentation.value, dict):
        notes.add("masks in run lengths were not read, but the boxes beside them")
    elif segmentation is not None and segmentation.value != []:
        return _read_segmentation(segmentation, notes)
    box = node.find("rbbox") or node.key("bbox")
    numbers = [value.number() for value in box.items()]
    if len(numbers) not in ((4, 5) if box.place.endswith(".bbox") else (5,)):
        raise box.error("cx, cy, width, height and angle, or x, y, width and height")
    x, y, width, height = numbers[:4]
    if min(width, height) < 0:
        raise box.error("a width and a height of at least 0")
    if len(numbers) == 4:
        return (x + width / 2, y + height / 2, width, height, 0.0)
    notes.add("rotated boxes whose file does not say the unit of their angles (--angle)", not angle)
    radians = numbers[4] * ANGLES[angle or "degrees"]
    if abs(radians) > LARGEST_ANGLE:
        raise box.error("an angle of at most a full turn; see --angle for radians and degrees")
    return (x, y, width, height, radians)


def _read_segmentation(node: Value, notes: Notes) -> F64:
    parts = list(node.items())
    if len(parts) > 1:
        notes.add("segmentations of several parts became the quad around the largest")
    polygons = [_read_polygon(part) for part in parts]
    largest = max(polygons, key=lambda points: float(np.prod(np.ptp(points, axis=0))))
    return polygon_quad(largest, node.where, notes)


def _read_polygon(node: Value) -> F64:
    numbers = [value.number() for value in node.items()]
    if len(numbers) < 6 or len(numbers) % 2:
        raise node.error("an even number of coordinates, at least 6")
    return np.array(numbers, np.float64).reshape(-1, 2)
