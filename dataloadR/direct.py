"""YOLO and COCO data sets read as they are, where nothing is lost or guessed."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dataloadR.foreign import DIRECT, Foreign, convert_command, foreign_error
from dataloadR.formats.angles import may_be_radians
from dataloadR.formats.coco import read_coco_file, split_of_json
from dataloadR.formats.image_finder import ImageFinder, stays_below
from dataloadR.formats.layout import find_files
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape, labelled_image
from dataloadR.formats.sniff import json_kind
from dataloadR.formats.yolo import labels_of, read_objects
from dataloadR.formats.yolo_folders import Splits, find_yolo, images_of
from dataloadR.label_lines import AnnotationError, LabelledQuad, WrittenImage
from dataloadR.layouts import is_image, no_split
from dataloadR.split_names import SPLITS, called_alike, split_of_file, words_of
from utils.errors import Faults
from utils.images import image_size

log = logging.getLogger(__name__)


class Split(NamedTuple):
    """What the images and labels of a split are read from."""

    data: Foreign
    name: str  # empty where the data set has none
    places: tuple[Path, ...]  # JSON files, or folders and lists of images


class Contents(NamedTuple):
    """The images of a split, and the classes of the data set in the order of its files."""

    images: list[WrittenImage]
    classes: tuple[str, ...]  # empty: not known by name


def direct_splits(data: Foreign) -> Splits:
    """Return what the splits are read from; `""` is the only one where there is no other.

    Raises:
        AnnotationError: a format that has to be converted, or files that do not say which split is where.
    """
    if data.kind not in DIRECT:
        raise foreign_error(data)
    return _coco_splits(data) if data.kind == "coco" else find_yolo(data.root).splits


def _coco_splits(data: Foreign) -> Splits:
    """Return the JSON file of each split; files called `instances_...` win over others of the split."""
    splits: dict[str, list[Path]] = {}
    for path in _json_files(data.root):
        splits.setdefault(split_of_json(path), []).append(path)
    chosen: Splits = {}
    for split, paths in splits.items():
        first = [path for path in paths if path.name.startswith("instances")]
        best = first if len(paths) > 1 and first else paths
        if len(best) > 1:
            names = " and ".join(str(path) for path in best[:2])
            what = f"one file for the split {split!r}" if split else "files called like their splits"
            raise AnnotationError(f"{data.root}: expected {what}, found {names}; name one: data.train=FILE")
        chosen[split] = (best[0],)
    if len(chosen) > 1:
        chosen.pop("", None)
    return chosen


def _json_files(root: Path) -> list[Path]:
    """Return the COCO files of a folder, or a file and those that differ from it in the split alone."""
    if root.is_dir():
        return [path for path in find_files(root, ".json") if json_kind(path) == "coco"]
    if not split_of_json(root):
        return [root]
    above = not split_of_file(root)  # the folder says the split, as in train/_annotations.coco.json
    alike = sorted(root.parent.parent.glob(f"*/{root.name}") if above else root.parent.glob("*.json"))
    others = [path for path in alike if split_of_json(path) and _words(path) == _words(root)]
    return [path for path in others if json_kind(path) == "coco"]


def _words(path: Path) -> list[str]:
    """Return the words of a file's name but for that of its split."""
    return [word for word in words_of(path) if word.lower() not in SPLITS]


def find_split(data: Foreign, split: str) -> Split:
    """Return a split of a data set; of one without splits any means all images, with a warning.

    Raises:
        AnnotationError: as `direct_splits`, or no such split.
    """
    splits = direct_splits(data)
    if set(splits) == {""}:
        if split:
            log.warning("%s has no splits: the split %r means all of its images", data.root, split)
        return Split(data, "", splits[""])
    name = called_alike(split, splits)
    if name not in splits:
        raise no_split(data.root, split, sorted(splits))
    return Split(data, name, splits[name])


def read_direct(split: Split, faults: Faults, needed: bool = True) -> Contents:
    """Return the images of a split with their objects as written.

    Args:
        needed: an image that is not there is a fault; False: it is called as the labels call it.

    Raises:
        AnnotationError: no images, labels that cannot be read, or such as would not stay what they are.
    """
    notes = Notes()
    read = _read_coco if split.data.kind == "coco" else _read_yolo
    contents = read(split, faults, notes, needed)
    _refuse_losses(split, notes)
    if not contents.images:
        first = next(iter(faults.messages), "")  # a fault of the whole file leaves no image
        raise AnnotationError(first or f"{split.places[0]}: expected at least one image, found none")
    return contents


def _refuse_losses(split: Split, notes: Notes) -> None:
    """Raise where objects would not stay what they are, with the command that changes them knowingly."""
    if not notes.counts:
        return
    what = "; ".join(notes.lines())
    command = convert_command(split.data, _to_convert(split))  # which stops where it needs to know --angle
    raise AnnotationError(f"{split.places[0]}: not used as it is: {what}; convert it: {command}")


def _to_convert(split: Split) -> Path | None:
    """Return the split's JSON file where the folder holds others that are no part of the data set."""
    root = split.data.root
    if split.data.kind != "coco":
        return None
    used = {path for paths in _coco_splits(split.data).values() for path in paths}
    return split.places[0] if root.is_file() or set(find_files(root, ".json")) - used else None


def _read_yolo(split: Split, faults: Faults, notes: Notes, needed: bool) -> Contents:
    names = find_yolo(split.data.root).names
    paths = dict.fromkeys(path for place in split.places for path in images_of(place, faults))
    found = [
        faults.attempt(partial(_read_yolo_image, path, names, faults, notes))
        for path in paths
        if needed or path.is_file()
    ]
    return Contents([image for image in found if image is not None], tuple(dict.fromkeys(names)))


def _read_yolo_image(path: Path, names: Sequence[str], faults: Faults, notes: Notes) -> WrittenImage:
    labels = labels_of(path)
    if labels is None or not labels.stat().st_size:
        return WrittenImage(path, labels, [])
    size = image_size(path)
    objects = read_objects(labels, size, len(names), faults, notes)
    notes.add("objects with scores, which are predictions", sum(o.score is not None for o in objects))
    image = labelled_image("", size, [Shape("", o.outline) for o in objects])
    labelled = [names[o.label] if names else o.label for o in objects]
    quads = [
        LabelledQuad(quad, label, 0, o.line)
        for quad, label, o in zip(image.quads.reshape(-1, 8).tolist(), labelled, objects, strict=True)
    ]
    return WrittenImage(path, labels, quads)


def _read_coco(split: Split, faults: Faults, notes: Notes, needed: bool) -> Contents:
    (path,) = split.places
    contents = read_coco_file(path, faults, notes)
    if may_be_radians(contents.angles):
        notes.add("rotated boxes whose angles may be degrees or radians", len(contents.angles))
    finder = ImageFinder(split.data.folder)
    images = []
    for image, rows in zip(contents.images, contents.rows, strict=True):
        file = faults.attempt(partial(_find_image, image.name, split, finder, needed))
        if file is not None:
            images.append(WrittenImage(file, path, _quads(image, rows)))
    return Contents(images, tuple(contents.classes))


def _quads(image: LabelledImage, rows: Sequence[int]) -> list[LabelledQuad]:
    columns = (image.quads.reshape(-1, 8).tolist(), image.classes, image.difficult.tolist(), rows)
    return [LabelledQuad(quad, name, flag, row + 1) for quad, name, flag, row in zip(*columns, strict=True)]


def _find_image(name: str, split: Split, finder: ImageFinder, needed: bool) -> Path:
    place = split.places[0]
    beside = place.parent / name
    # the file of another split may lie in a folder of its own, beside the one that was given
    is_inside = stays_below(beside, finder.folder) or stays_below(beside, place.parent)
    if is_inside and is_image(beside) and os.path.isfile(beside):  # noqa: PTH113 - raises never
        return beside
    found = finder.find(name, split.name)
    if found is None and needed:
        raise AnnotationError(f"{place}: found no image {name!r} below {finder.folder}")
    return found or Path(name)
