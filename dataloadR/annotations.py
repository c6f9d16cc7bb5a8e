"""Annotations of a split, from any of the known folder layouts or a list file (docs/data.md)."""

import logging
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataloadR.label_lines import (
    AnnotationError,
    LabelledQuad,
    parse_list_line,
    read_label_file,
    read_lines,
)
from utils.errors import Faults
from utils.records import Annotation

__all__ = [
    "AnnotationError",
    "find_splits",
    "read_everything",
    "read_images",
    "read_list",
    "read_named",
    "read_split",
    "split_is_labelled",
]

log = logging.getLogger(__name__)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm", ".gif")
LAYOUTS = (("images", "labelTxt"), ("JPEGImages", "Annotations"))  # image folder, label folder


class Folder(NamedTuple):
    """Where the files of a split lie."""

    images: Path
    labels: Path
    names: Path | None  # a file with one image name per line; None: every image


class LabelledImage(NamedTuple):
    """One image and its objects as written, before classes become indices."""

    image: Path
    labels: Path | None  # the file the objects stand in; None: the image has none
    quads: list[LabelledQuad]


def read_split(
    root: str | Path, split: str, classes: Sequence[str] = (), faults: Faults | None = None
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return the annotations of a split and the class names: the given ones, else those found, sorted.

    Everything is kept as annotated.  Images without a label file are ordinary images without objects.

    Args:
        faults: what becomes of labels that cannot be used and of names without an image; None: an error.

    Raises:
        AnnotationError: no such root or split, no images, or a label that cannot be read.
    """
    faults = faults or Faults(skip=False)
    return _to_annotations(read_images(Path(root).expanduser(), split, faults), classes, faults)


def read_everything(
    root: str | Path, classes: Sequence[str] = ()
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return what `read_split` does for every image of a data set, whatever split it belongs to.

    Raises:
        AnnotationError: as `read_split`.
    """
    root = Path(root).expanduser()
    whole = root.is_file() or any((root / images).is_dir() for images, _ in LAYOUTS)
    splits = [""] if whole else find_splits(root)
    faults = Faults(skip=False)
    images = [image for split in splits or [""] for image in read_images(root, split, faults)]
    return _to_annotations(images, classes, faults)


def read_named(
    root: str | Path, names: Sequence[str], split: str, classes: Sequence[str] = ()
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return what `read_split` does for images of these names, which need not be there.

    Labels are looked for in the label folders of the root and of the split.  `image_path` is the image in
    the image folder beside the labels, or the name where there is none.

    Raises:
        AnnotationError: no label folder, no label file for any of the names, or labels that cannot be read.
    """
    root, faults = Path(root).expanduser(), Faults(skip=False)
    places = [
        (place / images, place / labels) for place in (root, root / split) for images, labels in LAYOUTS
    ]
    beside, folder = next(((images, labels) for images, labels in places if labels.is_dir()), (root, None))
    if folder is None:
        raise AnnotationError(f"{root}: expected label files in labelTxt/, {split}/labelTxt/ or Annotations/")
    found = {path.stem: path for path in beside.iterdir() if is_image(path)} if beside.is_dir() else {}
    files = {path.stem: path for path in folder.iterdir() if path.suffix == ".txt"}
    if names and not any(name in files for name in names):
        raise AnnotationError(f"{folder}: expected label files such as {names[0]}.txt, found none of them")
    images = [
        LabelledImage(
            found.get(name, Path(name)),
            files.get(name),
            read_label_file(files[name], faults) if name in files else [],
        )
        for name in names
    ]
    return _to_annotations(images, classes, faults)


def split_is_labelled(root: str | Path, split: str) -> bool:
    """Say whether any image of the split has a label file, or any line of a list an object."""
    place, faults = _locate(Path(root).expanduser(), split), Faults(skip=True)  # `read_split` names them
    if isinstance(place, Path):
        return any(image.quads for image in read_list(place, faults))
    return any(labels is not None for _, labels in _pair_files(place, faults))


def _locate(root: Path, split: str) -> Path | Folder:
    """Return the list file or the folder of a split."""
    for path in (root / split, Path(split)):
        if split and path.is_file():
            return path
    if not root.exists():
        raise AnnotationError(f"{root}: no such folder or list file")
    if root.is_file():
        if split:
            log.warning("%s is a list file: the split %r means all of it", root, split)
        return root
    return _locate_folder(root, split)


def _locate_folder(root: Path, split: str) -> Folder:
    for images, labels in LAYOUTS:
        if split and (root / split / images).is_dir():
            return Folder(root / split / images, root / split / labels, None)
        if (root / images).is_dir():
            return Folder(root / images, root / labels, _find_names(root, split) if split else None)
    found = find_splits(root)
    if found:
        raise _no_split(root, split, found)
    known = f"images/ and labelTxt/, {split or 'SPLIT'}/images/, JPEGImages/ and Annotations/, or a list file"
    raise AnnotationError(f"{root}: expected {known}")


def _no_split(root: Path, split: str, found: Iterable[str]) -> AnnotationError:
    return AnnotationError(f"{root}: no split {split!r}, found {', '.join(found)}")


def _name_files(root: Path) -> dict[str, Path]:
    """Return the name file of each split that has one."""
    folders = [root / "ImageSets", root / "ImageSets" / "Main"]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.txt"))}


def find_splits(root: Path) -> list[str]:
    """Return the splits that a folder of one of the layouts has, sorted; list files are not looked for."""
    folders = {
        path.parent.name for images, _ in LAYOUTS for path in root.glob(f"*/{images}") if path.is_dir()
    }
    return sorted(folders | set(_name_files(root)))


def _find_names(root: Path, split: str) -> Path | None:
    """Return the name file of a split; None where the root has no name files at all."""
    files = _name_files(root)
    if not files:
        log.warning("%s has no ImageSets: the split %r means all of its images", root, split)
        return None
    if split not in files:
        raise _no_split(root, split, sorted(files))
    return files[split]


def _pair_files(place: Folder, faults: Faults) -> list[tuple[Path, Path | None]]:
    """Return image and label file of each image; label files are looked up in one listing of the folder."""
    images = {path.name: path for path in sorted(place.images.iterdir()) if is_image(path)}
    chosen = _choose(images, place.names, faults) if place.names else list(images.values())
    if not chosen:
        raise AnnotationError(f"{place.names or place.images}: expected at least one image, found none")
    labels = (
        {p.stem: p for p in place.labels.iterdir() if p.suffix == ".txt"} if place.labels.is_dir() else {}
    )
    return [(image, labels.get(image.stem)) for image in chosen]


def is_image(path: Path) -> bool:
    """Say whether a name is that of an image; hidden files are macOS resource forks and unfinished ones."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _choose(images: dict[str, Path], names: Path, faults: Faults) -> list[Path]:
    """Return the images a name file lists, with or without their suffix."""
    by_stem: dict[str, list[Path]] = {}
    for path in images.values():
        by_stem.setdefault(path.stem, []).append(path)
    chosen: list[Path] = []
    for number, name in read_lines(names, faults):
        found = [images[name]] if name in images else by_stem.get(name, [])
        if len(found) == 1:
            chosen += found
        else:
            what = "no image of this name" if not found else " and ".join(p.name for p in found)
            faults.add(AnnotationError(f"{names}:{number}: expected one image for {name!r}, found {what}"))
    return chosen


def read_images(root: Path, split: str, faults: Faults) -> list[LabelledImage]:
    """Return the images of a split with their objects as written; errors as `read_split`."""
    place = _locate(root, split)
    if isinstance(place, Path):
        return read_list(place, faults)
    return [
        LabelledImage(image, labels, read_label_file(labels, faults) if labels else [])
        for image, labels in _pair_files(place, faults)
    ]


def read_list(path: Path, faults: Faults) -> list[LabelledImage]:
    """Return the images of a list file; relative paths start at its folder, else at the folder above."""
    images = []
    for number, text in read_lines(path, faults):
        parsed = faults.attempt(partial(parse_list_line, text, path, number))
        if parsed is None:
            continue
        name, quads = parsed
        places = [path.parent / name, path.parent.parent / name]
        image = next((p for p in places if os.path.exists(p)), places[0])  # noqa: PTH110 - raises never
        images.append(LabelledImage(image, path, quads))
    if not images:
        raise AnnotationError(f"{path}: expected at least one image, found none")
    return images


def _find_classes(images: Sequence[LabelledImage]) -> tuple[str, ...]:
    """Return the class names found, sorted; class0, class1, .. where labels are indices only."""
    labels = {quad.label for image in images for quad in image.quads}
    names = sorted(label for label in labels if isinstance(label, str))
    indices = [label for label in labels if isinstance(label, int)]
    return tuple(names or (f"class{i}" for i in range(max(indices, default=-1) + 1)))


def _to_index(label: str | int, index: dict[str, int], place: str) -> int:
    """Return the class index of a label as written."""
    if isinstance(label, str):
        if label not in index:
            raise AnnotationError(f"{place}: unknown class {label!r}, known are {', '.join(index) or 'none'}")
        return index[label]
    if label >= len(index):
        known = f"below {len(index)} ({', '.join(index)})"
        raise AnnotationError(f"{place}: expected a class index {known}, got {label}")
    return label


def _to_annotations(
    images: Sequence[LabelledImage], classes: Sequence[str], faults: Faults
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return the annotations and the class names: the given ones, else those found."""
    names = tuple(classes) or _find_classes(images)
    index = {name: i for i, name in enumerate(names)}
    return [_to_annotation(image, index, faults) for image in images], names


def _to_annotation(image: LabelledImage, index: dict[str, int], faults: Faults) -> Annotation:
    found = [
        faults.attempt(partial(_to_index, q.label, index, f"{image.labels}:{q.line}")) for q in image.quads
    ]
    quads = [quad for quad, label in zip(image.quads, found, strict=True) if label is not None]
    return Annotation(
        image_path=str(image.image),
        quads=np.array([quad.coordinates for quad in quads], np.float32).reshape(-1, 4, 2),
        labels=np.array([label for label in found if label is not None], np.int64),
        difficult=np.array([quad.difficult for quad in quads], np.int8),
    )
