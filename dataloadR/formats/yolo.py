"""YOLO-OBB: one text file per image, `class x1 y1 x2 y2 x3 y3 x4 y4` in shares of width and height."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from dataloadR.formats.layout import folder_of, split_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape, labelled_image
from dataloadR.label_lines import CORNERS, SHOWN, AnnotationError, read_lines, to_index, to_numbers
from dataloadR.layouts import is_image
from utils.errors import Faults, first_line
from utils.images import Size, image_size


def read_yolo(
    source: Path,
    faults: Faults,
    notes: Notes,  # noqa: ARG001 - every reader has it
    classes: Sequence[str] = (),
) -> Iterator[LabelledImage]:
    """Yield the images below images/ with the labels of the same place below labels/.

    The sizes are read from the image files.  A folder of images/ that is called like a split is one.

    Args:
        source: the folder of images/ and labels/, or its data.yaml, which names the classes.
        classes: names by index; they win over data.yaml.

    Raises:
        AnnotationError: no such folders, or names that are none.
    """
    root = folder_of(source)
    pictures = root / "images"
    if not pictures.is_dir():
        raise AnnotationError(f"{root}: expected a folder images/, found none")
    names = list(classes) or read_names(source if source.is_file() else root / "data.yaml")
    for path in sorted(p for p in pictures.rglob("*") if is_image(p)):
        place = path.relative_to(pictures)
        labels = root / "labels" / place.with_name(f"{path.stem}.txt")
        size = faults.attempt(partial(image_size, path))
        if size is None:
            continue
        shapes = _read_labels(labels, size, names, faults) if labels.is_file() else []
        yield labelled_image(f"images/{place.as_posix()}", size, shapes, split_of(place.parts))


def _read_labels(path: Path, size: Size, names: Sequence[str], faults: Faults) -> list[Shape]:
    parsed = [
        faults.attempt(partial(_parse, text, size, names, f"{path}:{number}"))
        for number, text in read_lines(path, faults)
    ]
    return [shape for shape in parsed if shape is not None]


def _parse(text: str, size: Size, names: Sequence[str], place: str) -> Shape:
    fields = text.split()
    if len(fields) != 9:
        expected = f"a class and 8 coordinates, got {len(fields)} fields"
        raise AnnotationError(f"{place}: expected {expected}: {text[:SHOWN]!r}")
    index = to_index(fields[0], "the class index", place)
    if names and index >= len(names):
        raise AnnotationError(f"{place}: expected a class index below {len(names)}, got {index}")
    shares = np.array(to_numbers(fields[1:], CORNERS, place)).reshape(4, 2)
    return Shape(names[index] if names else f"class{index}", shares * np.array(size[::-1], np.float64))


def read_names(path: Path) -> list[str]:
    """Return the class names of a data.yaml, a list or a mapping from 0; none without the file.

    Raises:
        AnnotationError: it cannot be read, or has no such names.
    """
    if not path.is_file():
        return []
    try:
        contents: Any = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        found = getattr(error, "problem", None) or first_line(error)
        raise AnnotationError(f"{path}{line}: expected YAML, got {found}") from None
    names = contents.get("names") if isinstance(contents, dict) else None
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list) or not all(_is_name(name) for name in names):
        known = "a list of names or a mapping 0: name, 1: name and so on"
        raise AnnotationError(f"{path}: expected {known} under the key 'names'")
    return [str(name).strip() for name in names]


def _is_name(name: object) -> bool:
    return isinstance(name, int) or (isinstance(name, str) and bool(name.strip()) and name.isprintable())
