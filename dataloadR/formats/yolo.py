"""YOLO labels: one text file per image, lines of a class index and shares of the image's width and height.

0 0.51 0.17 0.75 0.31 0.65 0.6 0.41 0.46        the corners of a quad (YOLO-OBB), or another polygon
0 0.5 0.4 0.25 0.2                              a box: its centre, width and height
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataloadR.formats.layout import folder_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage, scores_of
from dataloadR.formats.shapes import RotatedBox, Shape, labelled_image, polygon_quad
from dataloadR.formats.yolo_folders import find_yolo, folder_splits, images_of
from dataloadR.label_lines import SHOWN, AnnotationError, read_lines, to_index, to_numbers, to_score
from dataloadR.split_names import split_of_folders
from utils.arrays import F64
from utils.errors import Faults
from utils.images import Size, image_size

FORM = "a class and 8 coordinates, the 4 numbers of a box, or a polygon"
SCORED = 10  # fields of a quad with a score
SIDES = ["x", "y", "width", "height"]
LISTS = ("classes.txt",)  # of class names, among label files
FAR = 2.0  # an object of which no share is smaller lies an image away: they are pixels
FAR_AWAY = "objects lie far from their image: shares of its sides were expected, not pixels"


class YoloObject(NamedTuple):
    """One line of a label file."""

    line: int  # counted from 1
    label: int  # index of its class
    outline: F64 | RotatedBox  # pixels
    score: float | None = None  # of a prediction


def read_yolo(
    source: Path,
    faults: Faults,
    notes: Notes,
    classes: Sequence[str] = (),
    image_dir: Path | None = None,
) -> Iterator[LabelledImage]:
    """Yield the images of a YOLO data set: those of its folders and those that data.yaml lists.

    The sizes are read from the image files.  The split is that of data.yaml, else of a folder.

    Args:
        source: the folder, or its data.yaml, which names the classes.
        classes: names by index; they win over data.yaml.
        image_dir: where the images of labels/NAME.txt are, if the source has none, as with predictions.

    Raises:
        AnnotationError: no images, names that are none, or pixels for shares in all label files.
    """
    root, names, objects = folder_of(source), classes or find_yolo(source).names, 0
    images = _splits_of_images(source)
    labels = {path: labels_of(path) for path in images}
    if not images and image_dir:
        labels = _labels_of_images_elsewhere(root, image_dir)
        images, root = {path: [""] for path in labels}, image_dir
    if not images:
        known = "images/ and labels/, SPLIT/images/ and SPLIT/labels/, or labels beside their images"
        raise AnnotationError(f"{root}: expected {known}, found no images")
    notes.add("label files belong to no image, and were not read", _count_alone(folder_of(source), labels))
    for path, splits in sorted(images.items()):
        size = faults.attempt(partial(image_size, path))
        if size is None:
            continue
        found = read_objects(labels[path], size, len(names), faults, notes)
        shapes = [Shape(names[o.label] if names else f"class{o.label}", o.outline) for o in found]
        name = path.relative_to(root) if path.is_relative_to(root) else path
        split = splits[0] if len(splits) == 1 else split_of_folders(name.parts[:-1])
        image = labelled_image(name.as_posix(), size, shapes, split)
        objects += len(found)
        yield image._replace(scores=scores_of([o.score for o in found]))
    if objects and notes.counts.get(FAR_AWAY) == objects:
        expected = "expected shares of the images' sides, 0 to 1, got pixels"
        raise AnnotationError(f"{source}: {expected}: all objects ({objects}) lie far from their images")


def _splits_of_images(source: Path) -> dict[Path, list[str]]:
    """Return the splits of each image; a moved data.yaml may list folders that are not there."""
    root = folder_of(source)
    found: dict[Path, list[str]] = {}
    for splits in (find_yolo(source).splits, folder_splits(root), {"": (root / "images",)}):
        fresh: dict[Path, list[str]] = {}
        for split, places in splits.items():
            for path in [p for place in places if place.exists() for p in images_of(place)]:
                fresh.setdefault(path, []).append(split)
        found = {**fresh, **found}
    return found


def _labels_of_images_elsewhere(root: Path, image_dir: Path) -> dict[Path, Path | None]:
    """Return the label file of each image of a folder that has one in labels/ of the root, by its name."""
    names = {path.stem: path for path in (root / "labels").rglob("*.txt") if path.name not in LISTS}
    return {path: names[path.stem] for path in images_of(image_dir) if path.stem in names}


def _count_alone(root: Path, labels: dict[Path, Path | None]) -> int:
    """Return how many text files of folders called labels belong to none of the images."""
    used = {path.resolve() for path in labels.values() if path}
    texts = [path for path in root.rglob("*") if path.suffix.lower() == ".txt" and path.name not in LISTS]
    inside = [path for path in texts if is_labels(path.relative_to(root).parts[:-1])]
    return sum(path.resolve() not in used and path.is_file() for path in inside)


def is_labels(folders: Sequence[str]) -> bool:
    """Say whether one of the folders is called as those of YOLO labels are."""
    return any(folder.lower() == "labels" for folder in folders)


def labels_of(image: Path) -> Path | None:
    """Return the label file of an image: in labels/ for images/ (Labels/ for Images/), else beside it."""
    parts = image.parts
    places = [image.with_suffix(".txt")]
    last = next((k for k in range(len(parts) - 2, -1, -1) if parts[k].lower() == "images"), None)
    if last is not None:
        name = {"images": "labels", "IMAGES": "LABELS"}.get(parts[last], "Labels")
        places.insert(0, Path(*parts[:last], name, *parts[last + 1 :]).with_suffix(".txt"))
    places = [spelt for place in places for spelt in (place, place.with_suffix(".TXT"))]
    return next((place for place in places if os.path.isfile(place)), None)  # noqa: PTH113 - raises never


def read_objects(
    path: Path | None, size: Size, classes: int, faults: Faults, notes: Notes
) -> list[YoloObject]:
    """Return the objects of a label file; none without one.

    Args:
        classes: how many there are; 0: not known.
    """
    found = [
        (number, faults.attempt(partial(_parse, text, size, classes, f"{path}:{number}", notes)))
        for number, text in (read_lines(path, faults) if path else ())
    ]
    return [YoloObject(number, *parsed) for number, parsed in found if parsed is not None]


def _split_score(text: str) -> tuple[list[str], float | None]:
    """Return the fields of a line, and the score that predictions have behind a quad."""
    fields = text.split()
    score = to_score(fields[-1]) if len(fields) == SCORED else None
    return (fields, None) if score is None else (fields[:-1], score)


def _parse(
    text: str, size: Size, classes: int, place: str, notes: Notes
) -> tuple[int, F64 | RotatedBox, float | None]:
    """Return class index, outline and score of a line."""
    fields, score = _split_score(text)
    if len(fields) != 5 and (len(fields) < 7 or not len(fields) % 2):
        what = "6 fields, the last a score or an angle" if len(fields) == 6 else f"{len(fields)} fields"
        raise AnnotationError(f"{place}: expected {FORM}, got {what}: {text[:SHOWN]!r}")
    index = to_index(fields[0], "the class index", place)
    if classes and index >= classes:
        raise AnnotationError(f"{place}: expected a class index below {classes}, got {index}")
    is_box = len(fields) == 5
    names = SIDES if is_box else [f"{axis}{k // 2 + 1}" for k, axis in enumerate("xy" * (len(fields) // 2))]
    shares = to_numbers(fields[1:], names, place)
    notes.add(FAR_AWAY, min(shares) >= FAR)
    pixels = np.array(shares).reshape(-1, 2) * np.array(size[::-1], np.float64)
    if not is_box:
        return index, polygon_quad(pixels, place, notes), score
    if min(shares[2:]) < 0:
        raise AnnotationError(f"{place}: expected a width and a height of at least 0, got {text[:SHOWN]!r}")
    (x, y), (width, height) = pixels.tolist()
    return index, (x, y, width, height, 0.0), score
