"""Sources of tiles: the images of every layout that docs/data.md names, and of plain folders."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataloadR.annotations import LAYOUTS, AnnotationError, WrittenImage, find_splits, is_image, read_images
from dataloadR.direct import direct_splits, find_split, read_direct
from dataloadR.foreign import Foreign, recognise
from dataloadR.formats.notes import Notes
from dataloadR.label_lines import LabelledQuad, is_header, read_lines
from dataloadR.split_names import SPLITS
from datasets_tools.formats.dota import to_word
from utils.arrays import F64
from utils.errors import Faults, UserError

RASTER_SUFFIXES = (".img", ".vrt", ".ntf", ".nitf", ".gtiff")  # besides those that training reads
OTHER_LABELS = ("labels", "annotations", "annotations.xml", "data.yaml")  # of YOLO, COCO and CVAT
ALL = "all"  # a split without a name: every image of a folder


log = logging.getLogger(__name__)


class LargeImage(NamedTuple):
    """One image to cut, and its objects."""

    image: Path
    quads: F64  # (N, 4, 2) pixels of the image
    classes: list[str | int]  # N names, or indices where the labels have no names
    difficult: NDArray[np.int8]  # (N,)
    headers: list[str]  # lines above the objects
    is_labelled: bool  # False: no label file, and none for the tiles
    folder: str  # where its tiles go, under the output: empty or a split's name
    splits: tuple[str, ...]  # name files that list it
    thin: bool = False  # tiles without objects may be left out: the split has labels


def find_large_images(
    root: Path, splits: Sequence[str], classes: Sequence[str], faults: Faults
) -> list[LargeImage]:
    """Return the images to cut.

    Args:
        root: a data set in one of the layouts, a list file, a folder of images or one image.
        splits: those to cut; empty: all there are.
        classes: names for labels that are indices.
        faults: what becomes of bad label lines.

    Raises:
        UserError: nothing to cut, labels that cannot be read, or two images whose tiles would share a name.
    """
    if not root.exists():
        raise UserError(f"{root}: no such folder, list file or image")
    data = None if root.is_file() and _is_raster(root) else recognise(root)
    if data is not None:
        found = _read_direct(data, splits, classes, faults)
    elif root.is_file() and root.suffix != ".txt":
        found = [_plain(root)]
    elif root.is_dir() and not splits and not _is_dataset(root):
        found = [_plain(path) for path in sorted(root.iterdir()) if _is_raster(path)]
    else:
        found = _read_dataset(root, splits, classes, faults)
    if not found:
        raise UserError(f"{root}: expected images, or a layout of docs/data.md, found neither")
    if root.is_dir() and not any(source.is_labelled for source in found):
        _refuse_other_labels(root)
    _refuse_twins(found)
    return found


def _refuse_other_labels(root: Path) -> None:
    """Raise where labels of another format lie beside the images: tiles without them would be background."""
    lists = [path for path in sorted(root.glob("*.txt")) if path.stem in (ALL, *find_splits(root), *SPLITS)]
    others = [*lists, *(path for name in OTHER_LABELS if (path := root / name).exists())]
    if others:
        raise UserError(
            f"{root}: expected labels in labelTxt/ or Annotations/, found {others[0]}; name the list file "
            f"itself, or convert the labels: python -m datasets_tools.convert SRC DST --from F --to dota"
        )
    log.info("%s: no labels, the tiles have none either", root)


def _check_split(root: Path, split: str) -> None:
    """Raise where a split is neither a folder, a name file nor a list file."""
    known = find_splits(root) if root.is_dir() else []
    if root.is_dir() and split not in known and not (root / split).is_file() and not Path(split).is_file():
        raise UserError(f"{root}: no split {split!r}, found {', '.join(known) or 'no ImageSets'}")


def _is_dataset(root: Path) -> bool:
    return any((root / images).is_dir() for images, _ in LAYOUTS) or bool(find_splits(root))


def _is_raster(path: Path) -> bool:
    return is_image(path) or (path.suffix.lower() in RASTER_SUFFIXES and not path.name.startswith("."))


def _plain(path: Path) -> LargeImage:
    """Return an image without labels."""
    return _to_source(WrittenImage(path, None, []), (), "", "")


def _read_dataset(
    root: Path, splits: Sequence[str], classes: Sequence[str], faults: Faults
) -> list[LargeImage]:
    """Return the images of all splits; one that several name files list comes once."""
    found: dict[Path, LargeImage] = {}
    named = list(splits) or (find_splits(root) if root.is_dir() else [])
    for split in named:
        _check_split(root, split)
    for split in named or [ALL]:
        folder = split if any((root / split / images).is_dir() for images, _ in LAYOUTS) else ""
        listed = Path(split).stem if named else ""
        images = read_images(root, split, faults)
        thin = any(image.labels is not None for image in images)
        for image in images:
            _check_indices(image, classes)
            new = _to_source(image, classes, folder, "" if folder else listed)
            old = found.get(image.image, new)
            found[image.image] = new._replace(
                splits=tuple(dict.fromkeys(old.splits + new.splits)), thin=thin or old.thin
            )
    return list(found.values())


def _read_direct(
    data: Foreign, splits: Sequence[str], classes: Sequence[str], faults: Faults
) -> list[LargeImage]:
    """Return the images of a YOLO or COCO data set, each once; its splits become folders."""
    found: dict[Path, LargeImage] = {}
    words, notes = dict[str | int, str | int](), Notes()
    for split in [find_split(data, name) for name in splits or direct_splits(data)]:
        for image in read_direct(split, faults).images:
            _check_indices(image, classes)
            new = _to_source(image, classes, split.name, "")
            for name in new.classes:
                if name not in words:
                    words[name] = to_word(name, notes) if isinstance(name, str) else name
            found.setdefault(image.image, new._replace(classes=[words[c] for c in new.classes], thin=True))
    notes.report()
    return list(found.values())


def _check_indices(image: WrittenImage, classes: Sequence[str]) -> None:
    for quad in image.quads:
        if classes and isinstance(quad.label, int) and quad.label >= len(classes):
            known = f"below {len(classes)} ({', '.join(classes)})"
            raise AnnotationError(
                f"{image.labels}:{quad.line}: expected a class index {known}, got {quad.label}"
            )


def _to_source(image: WrittenImage, classes: Sequence[str], folder: str, split: str) -> LargeImage:
    return LargeImage(
        image=image.image,
        quads=np.array([quad.coordinates for quad in image.quads], np.float64).reshape(-1, 4, 2),
        classes=[_to_name(quad, classes) for quad in image.quads],
        difficult=np.array([quad.difficult for quad in image.quads], np.int8),
        headers=_read_headers(image),
        is_labelled=image.labels is not None,
        folder=folder,
        splits=(split,) if split else (),
    )


def _to_name(quad: LabelledQuad, classes: Sequence[str]) -> str | int:
    return classes[quad.label] if isinstance(quad.label, int) and classes else quad.label


def _read_headers(image: WrittenImage) -> list[str]:
    """Return the header lines of a label file of its own; a list file has none."""
    if image.labels is None or image.labels.stem != image.image.stem:
        return []
    lines = read_lines(image.labels, Faults(skip=True))
    return [text for _, text in lines if is_header(text)]


def _refuse_twins(sources: Iterable[LargeImage]) -> None:
    seen: dict[tuple[str, str], Path] = {}
    for source in sources:
        key = source.folder, source.image.stem
        if key in seen:
            raise UserError(
                f"{source.image}: expected names that differ without their suffixes, for tiles are called "
                f"after them; {seen[key]} has the same"
            )
        seen[key] = source.image
