"""DOTA: one text file per image, `x1 y1 x2 y2 x3 y3 x4 y4 class difficult` (docs/formats.md)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataloadR.annotations import LAYOUTS, is_image
from dataloadR.formats.layout import stem_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage, scores_of
from dataloadR.label_lines import AnnotationError, LabelledQuad, read_label_file, read_lines
from dataloadR.layouts import label_files, labels_of_image
from dataloadR.split_names import SPLITS, usual_name
from evalR.outputs.dota import class_word
from utils.decimals import to_text
from utils.errors import Faults, UserError
from utils.files import write_text
from utils.images import Size

Names = dict[str, list[str]]  # stem of an image -> its splits


class _Folder(NamedTuple):
    """Where labels and images of a split lie."""

    split: str
    images: Path
    labels: Path


def read_dota(
    source: Path,
    faults: Faults,
    notes: Notes,  # noqa: ARG001 - every reader has it
    classes: Sequence[str] = (),
) -> Iterator[LabelledImage]:
    """Yield images and labels of a DOTA folder in any layout of docs/data.md, or of a folder of label files.

    Images without labels and labels without an image are both there.

    Args:
        classes: names of the classes of index-first lines; class0, class1 and so on without.
    """
    for folder in _find_folders(source):
        listed = _read_splits(source, faults) if not folder.split else {}
        images = _by_stem(folder.images, faults)
        labels = label_files(folder.labels)
        found = {stem: labels_of_image(name, labels) for stem, name in images.items()}
        alone = {stem: path for stem, path in labels.items() if path not in found.values()}
        for stem, path in sorted([*found.items(), *alone.items()]):
            quads = read_label_file(path, faults, scored=True) if path else []
            for split in listed.get(stem, [folder.split]):
                yield image_of_quads(images.get(stem, stem), quads, classes, split)


def image_of_quads(
    name: str, quads: Sequence[LabelledQuad], classes: Sequence[str], split: str, size: Size | None = None
) -> LabelledImage:
    """Return an image with the objects of label lines; an index becomes a name."""
    return LabelledImage(
        name=name,
        size=size,
        quads=np.array([quad.coordinates for quad in quads], np.float64).reshape(-1, 4, 2),
        classes=[quad.label if isinstance(quad.label, str) else _name(quad.label, classes) for quad in quads],
        difficult=np.array([quad.difficult for quad in quads], np.int8),
        split=split,
        scores=scores_of([quad.score for quad in quads]),
    )


def _name(index: int, classes: Sequence[str]) -> str:
    return classes[index] if index < len(classes) else f"class{index}"


def _find_folders(source: Path) -> list[_Folder]:
    if not source.is_dir():
        raise AnnotationError(f"{source}: no such folder")
    whole = _layouts(source, "")
    splits = [
        found
        for folder in sorted(source.iterdir())
        if not whole or folder.name.lower() in SPLITS  # others beside labelTxt/ are no part of the data set
        for found in _layouts(folder, SPLITS.get(folder.name.lower(), folder.name))
    ]
    if whole or splits:
        return [*whole, *splits]
    if label_files(source):
        return [_Folder("", source, source)]
    known = "labelTxt/, SPLIT/labelTxt/, Annotations/ or label files"
    raise AnnotationError(f"{source}: expected {known}, found none")


def _layouts(folder: Path, split: str) -> list[_Folder]:
    return [
        _Folder(split, folder / images, folder / labels)
        for images, labels in LAYOUTS
        if (folder / labels).is_dir()
    ]


def _text_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.txt")) if folder.is_dir() else []


def _by_stem(folder: Path, faults: Faults) -> dict[str, str]:
    """Return the image files of a folder by their stem."""
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if is_image(path) and found.setdefault(path.stem, path.name) != path.name:
            faults.add(
                AnnotationError(f"{path}: expected one image of this stem, found {found[path.stem]}, too")
            )
    return found


def _read_splits(source: Path, faults: Faults) -> Names:
    """Return the splits of the images that ImageSets names; `trainval` only of those in no other."""
    listed: Names = {}
    for folder in (source / "ImageSets", source / "ImageSets" / "Main"):
        for path in _text_files(folder):
            for _, name in read_lines(path, faults):
                splits = listed.setdefault(stem_of(name), [])
                splits += [usual_name(path.stem)] if usual_name(path.stem) not in splits else []
    for splits in listed.values():
        if len(splits) > 1 and "trainval" in splits:
            splits.remove("trainval")
    return listed


def write_dota(images: Sequence[LabelledImage], target: Path, notes: Notes) -> None:
    """Write labelTxt/NAME.txt, or SPLIT/labelTxt/NAME.txt for images of a split.

    Blanks in class names become hyphens.

    Raises:
        UserError: a class name that is a number, which the format cannot tell from a coordinate.
    """
    words: dict[str, str] = {}
    if not images:
        (target / "labelTxt").mkdir(parents=True, exist_ok=True)
    for image in images:
        for name in image.classes:
            words[name] = words.get(name) or to_word(name, notes)
        path = target / image.split / "labelTxt" / f"{stem_of(image.name)}.txt"
        rows = zip(image.quads.reshape(-1, 8).tolist(), image.classes, image.difficult.tolist(), strict=True)
        write_text(path, "".join(f"{' '.join(map(to_text, q))} {words[c]} {d}\n" for q, c, d in rows))


def to_word(name: str, notes: Notes) -> str:
    """Return a class name as one word."""
    word = class_word(name)
    try:
        float(word)
    except ValueError:
        notes.add("class names with blanks got hyphens", word != name)
        return word
    raise UserError(
        f"class {name!r}: DOTA needs a name that is no number; give another with --map {name}=NAME"
    )
