r"""UCAS-AOD: folders CAR, PLANE and Neg with images and text files of 13 numbers per object.

A line is `x1 y1 x2 y2 x3 y3 x4 y4 theta x y width height`, separated by tabs; the last five say the same
quad's angle and horizontal box, and are not used.  The copy that many repositories use has all images in
AllImages, labels in Annotations whose lines begin with the class, and splits in ImageSets.
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
from dataloadR.layouts import label_files
from datasets_tools.formats.xml_files import read_name_files
from utils.errors import Faults

CLASSES = {"car": "car", "plane": "plane", "neg": ""}  # name of the folder -> class of its objects
FIELDS = [*CORNERS, "theta", "x", "y", "width", "height"]


def read_ucas_aod(
    source: Path,
    faults: Faults,
    notes: Notes,
) -> Iterator[LabelledImage]:
    """Yield the images of the three folders, called FOLDER/NAME as both have a P0001.png.

    Raises:
        AnnotationError: none of the folders is there.
    """
    folders = [p for p in sorted(source.iterdir()) if p.is_dir()] if source.is_dir() else []
    folders = [folder for folder in folders if folder.name.lower() in CLASSES]
    if not folders and (source / "AllImages").is_dir() and (source / "Annotations").is_dir():
        yield from _read_integrated(source, faults, notes)
        return
    if not folders:
        known = "CAR, PLANE and Neg, or AllImages and Annotations"
        raise AnnotationError(f"{source}: expected the folders {known}, found none of them")
    for folder in folders:
        label = CLASSES[folder.name.lower()]
        images = {path.stem: path.name for path in sorted(folder.iterdir()) if is_image(path)}
        labels = label_files(folder)
        for stem in sorted(images.keys() | labels.keys()):
            shapes = _read_labels(labels[stem], label, faults) if stem in labels else []
            yield labelled_image(f"{folder.name}/{images.get(stem, stem)}", None, shapes)


def _read_integrated(source: Path, faults: Faults, notes: Notes) -> Iterator[LabelledImage]:
    """Yield the images of AllImages, with the splits of ImageSets."""
    splits = read_name_files(source, faults, notes)
    images = {path.stem: path.name for path in sorted((source / "AllImages").iterdir()) if is_image(path)}
    labels = label_files(source / "Annotations")
    for stem in sorted(images.keys() | labels.keys()):
        shapes = _read_labels(labels[stem], None, faults) if stem in labels else []
        yield labelled_image(images.get(stem, stem), None, shapes, splits.get(stem, ""))


def _read_labels(path: Path, label: str | None, faults: Faults) -> list[Shape]:
    parsed = [
        faults.attempt(partial(_parse, text, label, f"{path}:{number}"))
        for number, text in read_lines(path, faults)
    ]
    return [shape for shape in parsed if shape is not None]


def _parse(text: str, label: str | None, place: str) -> Shape:
    """Return the object of a line; without a label its first word is the class."""
    fields = text.split()
    if label is None:
        label, fields = fields[0], fields[1:]
    if len(fields) != len(FIELDS):
        expected = f"{len(FIELDS)} numbers, got {len(fields)}"
        raise AnnotationError(f"{place}: expected {expected}: {text[:SHOWN]!r}")
    if not label:
        raise AnnotationError(f"{place}: expected images without objects here, got {text[:SHOWN]!r}")
    corners = to_numbers(fields, FIELDS, place)[: len(CORNERS)]
    return Shape(label, np.array(corners, np.float64).reshape(4, 2))
