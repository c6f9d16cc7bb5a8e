"""Label Studio: the JSON export, a list of tasks with rectangles and polygons in percent of the image."""

import math
import re
from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from dataloadR.annotations import AnnotationError, is_image
from dataloadR.formats.angles import refuse_rotation
from dataloadR.formats.json_values import Value, load_json
from dataloadR.formats.layout import find_files, folder_of, plain_path
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import RotatedBox, Shape, labelled_image, polygon_quad
from dataloadR.split_names import split_of_file, split_of_folders
from utils.errors import Faults
from utils.images import Size

TYPES = ("rectanglelabels", "polygonlabels", "labels")  # the last with a twin of OUTLINES that has no class
OUTLINES = ("rectangle", "polygon")
UPLOADED = re.compile(r"/upload/.*?([0-9a-f]{8}-)?(?P<name>[^/]+)$")  # the program puts 8 digits before names


class _Region(NamedTuple):
    """An object and the size of the image it says."""

    shape: Shape
    size: Size


def read_label_studio(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of a JSON export, or of all below a folder; a file's name says its split.

    Of a task, the first annotation that was not cancelled counts; other results than rectanglelabels and
    polygonlabels are counted.
    """
    for path in find_files(source, ".json"):
        split = split_of_file(path) or split_of_folders(path.relative_to(folder_of(source)).parts[:-1])
        for task in faults.attempt(partial(_read_tasks, path)) or []:
            image = faults.attempt(partial(_read_task, task, split, faults, notes))
            if image is not None:
                yield image


def _read_tasks(path: Path) -> list[Value]:
    return list(load_json(path).items())


def _read_task(task: Value, split: str, faults: Faults, notes: Notes) -> LabelledImage:
    annotations = [node for node in task.key("annotations").items() if not _is_cancelled(node)]
    notes.add("annotations beside the first of their task were left out", max(len(annotations) - 1, 0))
    results = list(annotations[0].key("result").items()) if annotations else []
    rows = [node.value for node in results if isinstance(node.value, dict)]
    labelled = {str(row.get("id")) for row in rows if row.get("type") == "labels"}
    found = [faults.attempt(partial(_read_region, node, labelled, notes)) for node in results]
    regions = [region for region in found if region is not None]
    size = regions[0].size if regions else None
    return labelled_image(_image_name(task), size, [region.shape for region in regions], split)


def _is_cancelled(annotation: Value) -> bool:
    flag = annotation.find("was_cancelled")
    return flag is not None and flag.is_true()


def _image_name(task: Value) -> str:
    """Return the image's path: of an upload without the digits put before it, of a local file all of it."""
    address = plain_path(unquote(_address(task.key("data")).text()))
    local = address.rpartition("?d=")[2] if "?d=" in address else address.partition("?")[0]
    uploaded = UPLOADED.search(local)
    return uploaded["name"] if uploaded else local.rpartition("://")[2]


def _address(data: Value) -> Value:
    """Return the value with the image's address: `image`, or the only one under another key."""
    written = data.find("image") or data.find("img")
    if written is not None:
        return written
    texts = {key: value for key, value in data.value.items() if isinstance(value, str)}
    found = [key for key, value in texts.items() if is_image(Path(value.partition("?")[0] or "-"))]
    found += [key for key, value in texts.items() if "?d=" in value and is_image(Path(value))]
    if len(found) != 1:
        raise AnnotationError(f"{data.where}: expected the key 'image' with the address of the image")
    return data.key(found[0])


def _read_region(node: Value, labelled: Container[str], notes: Notes) -> _Region | None:
    kind = node.key("type").text()
    if kind not in TYPES:
        is_twin = kind in OUTLINES and str(node.value.get("id")) in labelled  # which says the outline again
        notes.add(f"results of the type {kind!r} were left out", not is_twin)
        return None
    turned = node.find("image_rotation")
    if turned is not None and turned.number():
        raise turned.error("an image that is not turned (0)")
    size = _read_side(node, "original_height"), _read_side(node, "original_width")
    value = node.key("value")
    labels = list(value.key(kind).items())
    if len(labels) != 1:
        raise value.key(kind).error("one label")
    label = labels[0].text()
    if value.find("points") is None:
        return _Region(Shape(label, _read_rectangle(value, size)), size)
    points = value.key("points").points() * (size[1] / 100, size[0] / 100)
    return _Region(Shape(label, polygon_quad(points, value.where, notes)), size)


def _read_side(node: Value, key: str) -> int:
    side = node.key(key)
    if not side.whole():
        raise side.error("a length above 0")
    return side.whole()


def _read_rectangle(value: Value, size: Size) -> RotatedBox:
    """Return the rotated rectangle: turned clockwise about its left upper corner, in pixels."""
    rows, columns = size[0] / 100, size[1] / 100
    rotation = value.find("rotation")
    radians = math.radians(rotation.number() if rotation else 0.0)
    if not radians:
        refuse_rotation(value)
    width, height = value.key("width").length() * columns, value.key("height").length() * rows
    x, y = value.key("x").number() * columns, value.key("y").number() * rows
    cos, sin = math.cos(radians) / 2, math.sin(radians) / 2
    return (x + width * cos - height * sin, y + width * sin + height * cos, width, height, radians)
