"""Comma-separated lines: the quads of ICDAR's text detection, the boxes of VisDrone.

377,117,463,117,465,130,378,130,Genaxis Theatre     ICDAR 2015: corners and what is written; ### is illegible
684,8,273,116,0,0,0,0                               VisDrone: left, top, width, height, score, category, ..
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from dataloadR.formats.layout import find_files, folder_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape, labelled_image
from dataloadR.label_lines import CORNERS, SHOWN, AnnotationError, read_lines, to_index, to_numbers
from dataloadR.split_names import split_of, split_of_file
from utils.errors import Faults

ILLEGIBLE = "###"
SIDES = ["left", "top", "width", "height"]
VISDRONE = ["ignored-regions", "pedestrian", "people", "bicycle", "car", "van"]
VISDRONE += ["truck", "tricycle", "awning-tricycle", "bus", "motor", "others"]


def read_icdar(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of gt_NAME.txt or NAME.txt; the class is `text`, illegible text is difficult."""
    return _read(source, _parse_icdar, faults, notes)


def read_visdrone(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of VisDrone-DET's label files; objects of score 0 are not scored: difficult."""
    return _read(source, _parse_visdrone, faults, notes)


def _read(
    source: Path,
    parse: Callable[[str, str], Shape],
    faults: Faults,
    notes: Notes,  # noqa: ARG001 - every reader has it
) -> Iterator[LabelledImage]:
    root = folder_of(source).resolve()
    for path in find_files(source, ".txt"):
        found = [
            faults.attempt(partial(parse, text, f"{path}:{number}"))
            for number, text in read_lines(path, faults)
        ]
        folders = path.resolve().parent.relative_to(root.parent).parts[::-1]
        split = split_of(split_of_file(Path(folder)) for folder in folders)
        name = path.stem.removeprefix("gt_")
        yield labelled_image(name, None, [shape for shape in found if shape is not None], split)


def _parse_icdar(text: str, place: str) -> Shape:
    fields = text.split(",", 8)
    if len(fields) < 8:
        raise AnnotationError(f"{place}: expected 8 coordinates and a text, got {text[:SHOWN]!r}")
    quad = np.array(to_numbers(fields[:8], CORNERS, place)).reshape(4, 2)
    return Shape("text", quad, int(fields[8:] == [ILLEGIBLE]))


def _parse_visdrone(text: str, place: str) -> Shape:
    fields = text.rstrip(", ").split(",")
    if len(fields) != 8:
        raise AnnotationError(f"{place}: expected 8 numbers between commas, got {text[:SHOWN]!r}")
    x, y, width, height = to_numbers(fields[:4], SIDES, place)
    category = to_index(fields[5], "the category", place)
    if category >= len(VISDRONE) or min(width, height) < 0:
        raise AnnotationError(
            f"{place}: expected sides of at least 0 and a category up to 11, got {text[:SHOWN]!r}"
        )
    box = (x + width / 2, y + height / 2, width, height, 0.0)
    return Shape(VISDRONE[category], box, int(fields[4].strip() == "0"))
