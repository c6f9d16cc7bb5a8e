"""Annotations of a split, from any of the known folder layouts or a list file (docs/data.md)."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dataloadR.label_lines import (
    AnnotationError,
    LabelledImage,
    parse_list_line,
    read_label_file,
    read_lines,
)
from dataloadR.layouts import (
    IMAGE_SUFFIXES,
    LAYOUTS,
    Folder,
    is_image,
    layout_splits,
    locate_folder,
    pair_files,
)
from utils.errors import Faults
from utils.records import Annotation

__all__ = [
    "IMAGE_SUFFIXES",
    "LAYOUTS",
    "AnnotationError",
    "Folder",
    "LabelledImage",
    "find_splits",
    "is_image",
    "read_everything",
    "read_images",
    "read_list",
    "read_named",
    "read_split",
    "split_is_labelled",
]

log = logging.getLogger(__name__)


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
    return any(labels is not None for _, labels in pair_files(place, faults))


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
    return locate_folder(root, split)


def find_splits(root: Path) -> list[str]:
    """Return the splits that a data set has, sorted; list files are not looked for."""
    return layout_splits(root)


def read_images(root: Path, split: str, faults: Faults) -> list[LabelledImage]:
    """Return the images of a split with their objects as written; errors as `read_split`."""
    place = _locate(root, split)
    if isinstance(place, Path):
        return read_list(place, faults)
    return [
        LabelledImage(image, labels, read_label_file(labels, faults) if labels else [])
        for image, labels in pair_files(place, faults)
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
