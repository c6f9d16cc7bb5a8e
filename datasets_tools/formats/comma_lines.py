"""Comma-separated lines: the quads of ICDAR's text detection, the boxes of VisDrone.

377,117,463,117,465,130,378,130,Genaxis Theatre     ICDAR 2015: corners and what is written; ### is illegible
377,117,463,117,465,130,378,130,Latin,###           ICDAR MLT: the script before it
377,117,463,117,465,130,378,130,1,"Genaxis"         RCTW-17: a flag before it, 1 for difficult
684,8,273,116,0,0,0,0                               VisDrone: left, top, width, height, score, category, ..
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from dataloadR.formats.comma_kinds import ILLEGIBLE, NUMBER, POLYGON
from dataloadR.formats.layout import find_files, folder_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape, labelled_image
from dataloadR.label_lines import CORNERS, SHOWN, AnnotationError, read_lines, to_index, to_numbers
from dataloadR.split_names import split_of_folders
from utils.errors import Faults

FLAGGED = re.compile(r'([01]),".*"')  # of RCTW-17
SCRIPT = re.compile(r"[A-Z][a-z]+,")  # of MLT
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
        split = split_of_folders(path.resolve().parent.relative_to(root.parent).parts)
        name = path.stem.removeprefix("gt_")
        yield labelled_image(name, None, [shape for shape in found if shape is not None], split)


def _parse_icdar(text: str, place: str) -> Shape:
    fields = text.split(",", 8)
    numbers = [NUMBER.fullmatch(field.strip()) is not None for field in text.split(",")[:POLYGON]]
    if len(fields) < 8 or (len(numbers) == POLYGON and all(numbers)):
        raise AnnotationError(f"{place}: expected 8 coordinates and a text, got {text[:SHOWN]!r}")
    quad = np.array(to_numbers(fields[:8], CORNERS, place)).reshape(4, 2)
    written = ",".join(fields[8:]).strip()
    flag = FLAGGED.fullmatch(written)
    return Shape("text", quad, int(flag[1]) if flag else int(SCRIPT.sub("", written, count=1) == ILLEGIBLE))


def _parse_visdrone(text: str, place: str) -> Shape:
    fields = text.rstrip(", ").split(",")
    if len(fields) != 8:
        raise AnnotationError(f"{place}: expected 8 numbers between commas, got {text[:SHOWN]!r}")
    x, y, width, height = to_numbers(fields[:4], SIDES, place)
    category = to_index(fields[5], "the category", place)
    if fields[4].strip() not in ("0", "1"):
        raise AnnotationError(f"{place}: expected 0 or 1 for the score, as labels have, got {fields[4]!r}")
    if category >= len(VISDRONE) or min(width, height) < 0:
        raise AnnotationError(
            f"{place}: expected sides of at least 0 and a category up to 11, got {text[:SHOWN]!r}"
        )
    box = (x + width / 2, y + height / 2, width, height, 0.0)
    return Shape(VISDRONE[category], box, int(fields[4].strip() == "0"))
