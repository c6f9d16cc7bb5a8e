"""COCO JSON with oriented objects: `segmentation` of a quad, or a rotated box of five numbers.

A rotated box, `bbox` of five numbers or `rbbox`, is `cx, cy, width, height, angle`: the angle is that of the
width against +x, in degrees and clockwise on the screen, unless another convention is asked for.  CVAT writes
`attributes.rotation` instead: degrees, clockwise about the centre of the `bbox`, which it leaves upright.
"""

import os
from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataloadR.formats.angles import ANGLES, FULL_TURN, check_unit, refuse_rotation, turn_of
from dataloadR.formats.json_values import Value, load_json, pixel_size
from dataloadR.formats.layout import find_files, folder_of, plain_path
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import RotatedBox, Shape, labelled_image, polygon_quad
from dataloadR.split_names import split_of, split_of_file
from utils.arrays import F64
from utils.errors import Faults
from utils.images import Size

NO_OUTLINE: tuple[object, ...] = (None, [], [[]])
OUTLINES = (
    "rbox",
    "obb",
    "rotated_box",
    "rotated_bbox",
    "oriented_bbox",
    "poly",
    "polygon",
    "quad",
    "corners",
)
KNOWN = ("bbox", "rbbox", "segmentation", "keypoints", "id", "image_id", "category_id")
UNITS = f"--angle {', '.join(ANGLES)}"


class _Tables(NamedTuple):
    """What the objects refer to by id."""

    images: dict[int | str, tuple[str, Size | None]]  # file name and size
    categories: dict[int | str, str]


class CocoFile(NamedTuple):
    """The contents of one JSON file."""

    images: list[LabelledImage]
    rows: list[list[int]]  # of each image: the places of its objects under `annotations`
    classes: list[str]  # in the order of the categories
    angles: list[float]  # of the boxes of five numbers and `attributes.rotation`, in the unit of the file


def read_coco(
    source: Path, faults: Faults, notes: Notes, angle: str = "", usual: str = "degrees"
) -> Iterator[LabelledImage]:
    """Yield the images of a JSON file, or of all below a folder; a file's or its folder's name is the split.

    The quad of an object is its `segmentation`, else its `rbbox`, else its `bbox` of five or four numbers.
    Images that lie beside the file are called by their path from the source.

    Args:
        angle: a key of ANGLES; empty: the usual one.
        usual: the convention of the format.

    Raises:
        AnnotationError: angles that may be degrees or radians, and `angle` does not say.
    """
    root, angles = folder_of(source), list[float]()
    for path in find_files(source, ".json"):
        contents = read_coco_file(path, faults, notes, angle or usual)
        angles += contents.angles
        for image in contents.images:
            beside = path.parent / image.name
            is_there = path.parent != root and os.path.isfile(beside)  # noqa: PTH113 - raises never
            name = (path.parent.relative_to(root) / image.name).as_posix() if is_there else image.name
            yield image._replace(name=name, split=split_of_json(path))
    if not angle:
        check_unit(angles, source, notes)


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
        return CocoFile([], [], [], [])
    shapes: dict[int | str, list[Shape]] = {identity: [] for identity in tables.images}
    places: dict[int | str, list[int]] = {identity: [] for identity in tables.images}
    rows = faults.attempt(partial(_list, document, "annotations")) or []
    for place, node in enumerate(rows):
        found = faults.attempt(partial(_read_object, node, tables, angle, notes))
        if found is not None:
            shapes[found[0]].append(found[1])
            places[found[0]].append(place)
    images = [labelled_image(name, size, shapes[key]) for key, (name, size) in tables.images.items()]
    classes = _class_order(document, tables, shapes)
    return CocoFile(images, list(places.values()), classes, _raw_angles(rows))


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


def _raw_angles(rows: list[Value]) -> list[float]:
    """Return the fifth numbers of the rotated boxes that count, and rotations beside boxes, as written."""
    objects = [row.value for row in rows if isinstance(row.value, dict)]
    boxes = [row.get("rbbox") or row.get("bbox") for row in objects if row.get("segmentation") in NO_OUTLINE]
    rotated = [box[4] for box in boxes if isinstance(box, list) and len(box) == 5]
    beside = [row["attributes"].get("rotation") for row in objects if isinstance(row.get("attributes"), dict)]
    turns = [turn for value in beside if (turn := turn_of(value))]  # CVAT writes 0 for what is upright
    return [float(angle) for angle in rotated if isinstance(angle, int | float)] + turns


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
    name = node.find("file_name") or node.find("filename") or node.key("file_name")
    tables.images[_new_id(node, tables.images)] = plain_path(name.text()), size


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
    if difficult is not None and isinstance(difficult.value, bool):
        return int(difficult.value)
    if difficult is not None:
        if difficult.whole() > 2:
            raise difficult.error("0, 1 or 2")
        return difficult.whole()
    flags = [node.find("iscrowd"), node.find("ignore")]
    return int(any(flag.is_true() for flag in flags if flag is not None))


def _read_outline(node: Value, angle: str, notes: Notes) -> F64 | RotatedBox:
    segmentation = node.find("segmentation")
    if segmentation is not None and isinstance(segmentation.value, dict):
        notes.add("masks in run lengths were not read, but the boxes beside them")
    elif segmentation is not None and segmentation.value not in NO_OUTLINE:
        outline = _read_segmentation(segmentation, notes)
        return _read_box(node, angle) if _is_own_box(outline, node) else outline
    box = node.find("rbbox") or node.key("bbox")
    if isinstance(box.value, list) and len(box.value) == 5:
        notes.add(f"rotated boxes whose file does not say the unit of their angles ({UNITS})", not angle)
        return _read_rotated(box, angle or "degrees")
    if not box.place.endswith(".bbox"):
        raise box.error("cx, cy, width, height and angle")
    _refuse_outlines(node)
    return _read_box(node, angle)


def _refuse_outlines(node: Value) -> None:
    """Raise where an upright box has a rotated one or corners beside it, under a key that is not known."""
    for key, value in node.value.items():
        is_outline = isinstance(value, list) and (len(value) in (5, 8) or key in OUTLINES)
        if (
            key not in KNOWN
            and is_outline
            and value
            and all(isinstance(v, int | float | list) for v in value)
        ):
            raise node.key(key).error("no second outline beside an upright box, as its meaning is not known")


def _is_own_box(outline: F64, node: Value) -> bool:
    """Say whether a polygon is but the corners of the `bbox`, so that a rotation beside them still counts."""
    box = node.value.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(v, int | float) for v in box):
        return False
    low = np.array(box[:2], np.float64)
    corners = low + np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * box[2:]
    return bool(np.allclose(np.sort(outline, axis=0), np.sort(corners, axis=0), atol=0.01)) and all(
        np.isclose(outline, corner, atol=0.01).all(axis=1).any() for corner in corners
    )


def _read_rotated(box: Value, angle: str) -> RotatedBox:
    x, y, width, height, turn = (value.number() for value in box.items())
    if min(width, height) < 0:
        raise box.error("a width and a height of at least 0")
    if abs(turn * ANGLES[angle]) > FULL_TURN:
        raise box.error("an angle of at most a full turn; see --angle for radians and degrees")
    return (x, y, width, height, turn * ANGLES[angle])


def _read_box(node: Value, angle: str) -> RotatedBox:
    """Return the box of four numbers, turned as `attributes.rotation` says: CVAT's are degrees, clockwise."""
    box = node.key("bbox")
    numbers = [value.number() for value in box.items()]
    if len(numbers) != 4:
        raise box.error("cx, cy, width, height and angle, or x, y, width and height")
    x, y, width, height = numbers
    if min(width, height) < 0:
        raise box.error("a width and a height of at least 0")
    attributes = node.value.get("attributes")
    rotation = node.key("attributes").find("rotation") if isinstance(attributes, dict) else None
    turn = turn_of(rotation.value) if rotation else 0.0
    radians = turn * ANGLES[angle or "degrees"]
    if rotation is None or not turn:
        refuse_rotation(node)
    elif not abs(radians) <= FULL_TURN:
        raise rotation.error("an angle of at most a full turn, in degrees")
    return (x + width / 2, y + height / 2, width, height, radians)


def _read_segmentation(node: Value, notes: Notes) -> F64:
    polygons = [_read_polygon(part) for part in node.items()]
    notes.add("segmentations of several parts became the quad around the largest", len(polygons) > 1)
    largest = max(polygons, key=lambda points: float(np.prod(np.ptp(points, axis=0))))
    return polygon_quad(largest, node.where, notes)


def _read_polygon(node: Value) -> F64:
    numbers = [value.number() for value in node.items()]
    if len(numbers) < 6 or len(numbers) % 2:
        raise node.error("an even number of coordinates, at least 6")
    return np.array(numbers, np.float64).reshape(-1, 2)
