"""labelme: one JSON file per image, with `shapes` of points."""

import posixpath
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from dataloadR.annotations import AnnotationError
from dataloadR.formats.angles import refuse_rotation
from dataloadR.formats.json_values import Value, load_json, pixel_size
from dataloadR.formats.layout import find_files, folder_of, stem_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape, labelled_image, polygon_quad
from dataloadR.split_names import split_of_folders
from utils.arrays import F64
from utils.decimals import rounded
from utils.errors import Faults
from utils.files import write_json

VERSION = "5.5.0"  # of the program whose files these are
QUAD_TYPES = ("rotation", "oriented_rectangle", "quadrilateral")  # of four corners


def read_labelme(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of a JSON file, or of all below a folder; a folder called like a split is one.

    Polygons, rectangles of two or four points, rotated ones and quadrilaterals of four are read; other shapes
    are counted.  An upright rectangle with a rotation under a key of its own is an error.
    `difficult` is that of the shape (X-AnyLabeling) or among its flags.
    """
    root = folder_of(source)
    for path in find_files(source, ".json"):
        image = faults.attempt(partial(_read_file, path, root, faults, notes))
        if image is not None:
            yield image


def _read_file(path: Path, root: Path, faults: Faults, notes: Notes) -> LabelledImage:
    document = load_json(path)
    found = [faults.attempt(partial(_read_shape, node, notes)) for node in document.key("shapes").items()]
    place = path.relative_to(root)
    return labelled_image(
        name=_image_name(document, place),
        size=pixel_size(document, "imageHeight", "imageWidth"),
        shapes=[shape for shape in found if shape is not None],
        split=split_of_folders(place.parts[:-1]),
    )


def _image_name(document: Value, place: Path) -> str:
    """Return the image's path from the folder read; its own path is relative to the JSON file."""
    written = document.find("imagePath")
    name = PureWindowsPath(written.text() if written else place.stem).as_posix()
    joined = posixpath.normpath(posixpath.join(place.parent.as_posix(), name))
    return joined.removeprefix("../") if not joined.startswith("../../") else posixpath.basename(joined)


def _read_shape(node: Value, notes: Notes) -> Shape | None:
    kind = node.find("shape_type")
    form = kind.text() if kind else "polygon"
    if form not in ("polygon", "rectangle", *QUAD_TYPES):
        notes.add(f"shapes of the type {form!r} were left out")
        return None
    quad = _to_quad(form, node.key("points"), notes)
    if form in ("rectangle", "polygon") and _is_upright(quad):
        refuse_rotation(node)
    return Shape(node.key("label").text(), quad, _read_flag(node))


def _is_upright(quad: F64) -> bool:
    """Say whether the corners are those of the box around them."""
    return all(len(np.unique(column.round(3))) <= 2 for column in quad.T)


def _to_quad(form: str, node: Value, notes: Notes) -> F64:
    points = node.points()
    if form == "rectangle" and len(points) == 2:
        (x_min, y_min), (x_max, y_max) = points.min(axis=0), points.max(axis=0)
        return np.array([[x_min, y_min], [x_max, y_min], [x_max, y_max], [x_min, y_max]])
    if form != "polygon" and len(points) != 4:
        expected = "2 or 4" if form == "rectangle" else "4"
        raise AnnotationError(f"{node.where}: expected {expected} points of a {form}, got {len(points)}")
    return polygon_quad(points, node.where, notes)


def _read_flag(node: Value) -> int:
    flags = node.find("flags")
    found = [node.find("difficult"), flags.find("difficult") if flags else None]
    return int(any(flag.is_true() for flag in found if flag is not None))


def write_labelme(images: Sequence[LabelledImage], target: Path, notes: Notes) -> None:
    """Write SPLIT/NAME.json beside the image, with each quad as a polygon; difficult is among its flags."""
    for image in images:
        shapes = [
            _shape_row(name, quad, {"difficult": True} if flag else {})
            for name, quad, flag in zip(image.classes, image.quads, image.difficult.tolist(), strict=True)
        ]
        if image.scores is not None:  # labelme keeps keys of others
            shapes = [row | {"score": s} for row, s in zip(shapes, image.scores.tolist(), strict=True)]
        write_document(image, shapes, VERSION, target)
        count_cut(image, notes)
    target.mkdir(parents=True, exist_ok=True)


def _shape_row(name: str, quad: F64, flags: dict[str, bool]) -> dict[str, Any]:
    row = {"label": name, "points": rounded(quad), "group_id": None, "description": ""}
    return {**row, "shape_type": "polygon", "flags": flags, "mask": None}


def write_document(image: LabelledImage, shapes: list[dict[str, Any]], version: str, target: Path) -> None:
    """Write the JSON file of an image, beside which the image lies."""
    height, width = image.size or (None, None)
    document: dict[str, Any] = {"version": version, "flags": {}, "shapes": shapes, "imagePath": image.name}
    document |= {"imageData": None, "imageHeight": height, "imageWidth": width}
    write_json(target / image.split / f"{stem_of(image.name)}.json", document, indent=2)


def count_cut(image: LabelledImage, notes: Notes) -> None:
    """Count the flags 2 that become 1 where a format knows true and false alone."""
    notes.add("difficult flags 2 (cut by tiling) became 1", (image.difficult > 1).sum())
