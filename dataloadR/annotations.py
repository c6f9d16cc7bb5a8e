"""Annotations of a split, from any of the known folder layouts or a list file (docs/data.md)."""

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from dataloadR.direct import Contents, Split, direct_splits, find_split, read_direct
from dataloadR.foreign import Foreign, recognise
from dataloadR.formats.coco import split_of_json
from dataloadR.label_lines import (
    AnnotationError,
    WrittenImage,
    parse_list_line,
    place_of,
    read_label_file,
    read_lines,
)
from dataloadR.layouts import (
    IMAGE_SUFFIXES,
    LAYOUTS,
    Folder,
    is_image,
    label_files,
    layout_splits,
    locate_folder,
    pair_files,
)
from dataloadR.split_names import called_alike
from utils.errors import Faults
from utils.records import Annotation

__all__ = [
    "IMAGE_SUFFIXES",
    "LAYOUTS",
    "AnnotationError",
    "Folder",
    "WrittenImage",
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
SplitSource = Path | Folder | Split  # list file, folders of a layout, part of a YOLO or COCO data set


def read_split(
    root: str | Path, split: str, classes: Sequence[str] = (), faults: Faults | None = None
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return the annotations of a split and the class names: the given ones, else those found.

    Those found are in the order of the file that lists them (YOLO, COCO), else sorted.  Everything is kept
    as annotated.  Images without a label file are ordinary images without objects.

    Args:
        faults: what becomes of labels that cannot be used and of names without an image; None: an error.

    Raises:
        AnnotationError: no such root or split, no images, a label that cannot be read, or another tool's
            format; says how to convert it.
    """
    faults = faults or Faults(skip=False)
    images, names = _read(_locate(Path(root).expanduser(), split), faults)
    return _to_annotations(images, classes or names, faults)


def read_everything(
    root: str | Path, classes: Sequence[str] = ()
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return what `read_split` does for every image of a data set, whatever split it belongs to.

    Raises:
        AnnotationError: as `read_split`.
    """
    root, faults = Path(root).expanduser(), Faults(skip=False)
    places = _all_places(root)
    found = [_read(place, faults) for place in places]
    images = [image for contents in found for image in contents.images]
    if isinstance(places[0], Split):  # whose splits may be the same folder
        images = list({image.image: image for image in images}.values())
    return _to_annotations(images, classes or found[0].classes, faults)


def _all_places(root: Path) -> list[SplitSource]:
    """Return where the images of a data set stand, all together or split by split."""
    data = recognise(root)
    if data is not None:
        return [Split(data, split, places) for split, places in direct_splits(data).items()]
    whole = root.is_file() or any((root / images).is_dir() for images, _ in LAYOUTS)
    splits = [""] if whole else layout_splits(root)
    return [_locate(root, split) for split in splits or [""]]


def read_named(
    root: str | Path, names: Sequence[str], split: str, classes: Sequence[str] = ()
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return what `read_split` does for images of these names, which need not be there.

    Labels are looked for in the label folders of the root, of the split and then of the other splits, or in
    the split of YOLO and COCO, all of them where there is no such split.  `image_path` is the image in the
    image folder beside the labels, or the name where there is none.

    Raises:
        AnnotationError: no label folder, no label file for any of the names, or labels that cannot be read.
    """
    root, faults = Path(root).expanduser(), Faults(skip=False)
    data = recognise(root)
    images, found = _read_named_direct(data, names, split) if data else (_named(root, names, split), ())
    return _to_annotations(images, classes or found, faults)


def _read_named_direct(data: Foreign, names: Sequence[str], split: str) -> Contents:
    splits = direct_splits(data)
    chosen = [find_split(data, split)] if split in splits else [Split(data, *item) for item in splits.items()]
    found = [read_direct(part, Faults(skip=False), needed=False) for part in chosen]
    by_stem = {image.image.stem: image for contents in found for image in contents.images}
    if names and not any(name in by_stem for name in names):
        raise AnnotationError(f"{data.root}: expected images such as {names[0]}, found none of them")
    images = [by_stem.get(name, WrittenImage(Path(name), None, [])) for name in names]
    return Contents(images, found[0].classes)


def _named(root: Path, names: Sequence[str], split: str) -> list[WrittenImage]:
    """Return the images of these names from the first folder that has them, that of the split first."""
    split = called_alike(split, layout_splits(root))
    others = sorted(labels.parent for _, name in LAYOUTS for labels in root.glob(f"*/{name}"))
    parts = dict.fromkeys((root, root / split, *others))
    pairs = [(part / images, part / labels) for part in parts for images, labels in LAYOUTS]
    folders = [(_image_files(images), label_files(labels)) for images, labels in pairs if labels.is_dir()]
    if not folders:
        raise AnnotationError(f"{root}: expected label files in labelTxt/, {split}/labelTxt/ or Annotations/")
    found = [_named_image(name, folders) for name in names]
    if names and not any(image.labels for image in found):
        place = next(labels for _, labels in pairs if labels.is_dir())
        raise AnnotationError(f"{place}: expected label files such as {names[0]}.txt, found none of them")
    return found


def _image_files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.iterdir() if is_image(path)} if folder.is_dir() else {}


def _named_image(name: str, folders: Sequence[tuple[dict[str, Path], dict[str, Path]]]) -> WrittenImage:
    """Return an image with the labels of its own folder, which may have none for it."""
    for images, labels in folders:
        image = images.get(name, Path(name))
        path = labels.get(name) or labels.get(image.name)
        if path or name in images:
            return WrittenImage(image, path, read_label_file(path, Faults(skip=False)) if path else [])
    return WrittenImage(Path(name), None, [])


def split_is_labelled(root: str | Path, split: str) -> bool:
    """Say whether any image of the split has a label file, or any entry of a list or JSON file an object."""
    place, faults = _locate(Path(root).expanduser(), split), Faults(skip=True)  # `read_split` names them
    if isinstance(place, Folder):
        return any(labels is not None for _, labels in pair_files(place, faults))
    return any(image.quads for image in _read(place, faults).images)


def _locate(root: Path, split: str) -> SplitSource:
    """Return the list file or the folder of a split, or what of a YOLO or COCO data set it is."""
    for path in (root / split, Path(split)):
        if split and path.is_file():
            return _of_file(path)
    if not root.exists():
        raise AnnotationError(f"{root}: no such folder or list file")
    data = recognise(root)
    if data is not None:
        return find_split(data, split)
    if root.is_file():
        if split:
            log.warning("%s is a list file: the split %r means all of it", root, split)
        return root
    return locate_folder(root, split)


def _of_file(path: Path) -> SplitSource:
    """Return what a file named as a split holds: a list, or images of YOLO or COCO."""
    data = recognise(path)
    if data is None:
        return path
    return Split(data, split_of_json(path), (path,)) if data.kind == "coco" else find_split(data, "")


def find_splits(root: Path) -> list[str]:
    """Return the splits that a data set has, sorted; list files are not looked for."""
    data = recognise(root)
    return sorted({*direct_splits(data)} - {""}) if data else layout_splits(root)


def read_images(root: Path, split: str, faults: Faults) -> list[WrittenImage]:
    """Return the images of a split with their objects as written; errors as `read_split`."""
    return _read(_locate(root, split), faults).images


def _read(place: SplitSource, faults: Faults) -> Contents:
    if isinstance(place, Split):
        return read_direct(place, faults)
    if isinstance(place, Path):
        return Contents(read_list(place, faults), ())
    images = [
        WrittenImage(image, labels, read_label_file(labels, faults) if labels else [])
        for image, labels in pair_files(place, faults)
    ]
    return Contents(images, ())


def read_list(path: Path, faults: Faults) -> list[WrittenImage]:
    """Return the images of a list file; relative paths start at its folder, else at the folder above."""
    images = []
    for number, text in read_lines(path, faults):
        parsed = faults.attempt(partial(parse_list_line, text, path, number))
        if parsed is None:
            continue
        name, quads = parsed
        places = [path.parent / name, path.parent.parent / name]
        image = next((p for p in places if os.path.exists(p)), places[0])  # noqa: PTH110 - raises never
        images.append(WrittenImage(image, path, quads))
    if not images:
        raise AnnotationError(f"{path}: expected at least one image, found none")
    return images


def _find_classes(images: Sequence[WrittenImage]) -> tuple[str, ...]:
    """Return the class names found, sorted; class0, class1, .. where labels are indices only."""
    labels = {quad.label for image in images for quad in image.quads}
    names = sorted(label for label in labels if isinstance(label, str))
    indices = [label for label in labels if isinstance(label, int)]
    return tuple(names or (f"class{i}" for i in range(max(indices, default=-1) + 1)))


def _to_index(label: str | int, index: dict[str, int], place: str) -> int:
    """Return the class index of a label as written."""
    if isinstance(label, str):
        if label not in index:
            known = f"known are {', '.join(index) or 'none'}; data.classes=[{label},...] names others"
            raise AnnotationError(f"{place}: unknown class {label!r}, {known}")
        return index[label]
    if label >= len(index):
        known = f"below {len(index)} ({', '.join(index)})"
        raise AnnotationError(f"{place}: expected a class index {known}, got {label}")
    return label


def _to_annotations(
    images: Sequence[WrittenImage], classes: Sequence[str], faults: Faults
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return the annotations and the class names: the given ones, else those found."""
    names = tuple(classes) or _find_classes(images)
    index = {name: i for i, name in enumerate(names)}
    return [_to_annotation(image, index, faults) for image in images], names


def _to_annotation(image: WrittenImage, index: dict[str, int], faults: Faults) -> Annotation:
    found = [
        faults.attempt(partial(_to_index, q.label, index, place_of(str(image.labels), q.line)))
        for q in image.quads
    ]
    quads = [quad for quad, label in zip(image.quads, found, strict=True) if label is not None]
    return Annotation(
        image_path=str(image.image),
        quads=np.array([quad.coordinates for quad in quads], np.float32).reshape(-1, 4, 2),
        labels=np.array([label for label in found if label is not None], np.int64),
        difficult=np.array([quad.difficult for quad in quads], np.int8),
    )
