r"""UCAS-AOD: folders CAR, PLANE and Neg with images and text files of 13 numbers per object.

A line is `x1 y1 x2 y2 x3 y3 x4 y4 theta x y width height`, separated by tabs; the last five say the same
quad's angle and horizontal box, and are not used.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from dataloadR.annotations import AnnotationError, is_image
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape, labelled_image
from dataloadR.label_lines import CORNERS, SHOWN, read_lines, to_numbers
from utils.errors import Faults

CLASSES = {"car": "car", "plane": "plane", "neg": ""}  # name of the folder -> class of its objects
FIELDS = [*CORNERS, "theta", "x", "y", "width", "height"]


def read_ucas_aod(
    source: Path,
    faults: Faults,
    notes: Notes,  # noqa: ARG001 - every reader has it
) -> Iterator[LabelledImage]:
    """Yield the images of the three folders, called FOLDER/NAME as both have a P0001.png.

    Raises:
        AnnotationError: none of the folders is there.
    """
    folders = [p for p in sorted(source.iterdir()) if p.is_dir()] if source.is_dir() else []
    folders = [folder for folder in folders if folder.name.lower() in CLASSES]
    if not folders:
        raise AnnotationError(f"{source}: expected the folders CAR, PLANE and Neg, found none of them")
    for folder in folders:
        label = CLASSES[folder.name.lower()]
        images = {path.stem: path.name for path in sorted(folder.iterdir()) if is_image(path)}
        labels = {path.stem: path for path in sorted(folder.glob("*.txt"))}
        for stem in sorted(images.keys() | labels.keys()):
            shapes = _read_labels(labels[stem], label, faults) if stem in labels else []
            yield labelled_image(f"{folder.name}/{images.get(stem, stem)}", None, shapes)


def _read_labels(path: Path, label: str, faults: Faults) -> list[Shape]:
    parsed = [
        faults.attempt(partial(_parse, text, label, f"{path}:{number}"))
        for number, text in read_lines(path, faults)
    ]
    return [shape for shape in parsed if shape is not None]


def _parse(text: str, label: str, place: str) -> Shape:
    fields = text.split()
    if len(fields) != len(FIELDS):
        expected = f"{len(FIELDS)} numbers, got {len(fields)}"
        raise AnnotationError(f"{place}: expected {expected}: {text[:SHOWN]!r}")
    if not label:
        raise AnnotationError(f"{place}: expected images without objects here, got {text[:SHOWN]!r}")
    corners = to_numbers(fields, FIELDS, place)[: len(CORNERS)]
    return Shape(label, np.array(corners, np.float64).reshape(4, 2))
