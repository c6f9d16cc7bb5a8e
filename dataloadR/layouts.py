"""Folder layouts of DOTA and HRSC2016 (docs/data.md): their splits, images and label files."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dataloadR.label_lines import AnnotationError, read_lines
from dataloadR.split_names import called_alike
from utils.errors import Faults
from utils.files import is_text

log = logging.getLogger(__name__)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm", ".gif")
LAYOUTS = (("images", "labelTxt"), ("JPEGImages", "Annotations"))  # image folder, label folder


class Folder(NamedTuple):
    """Where the files of a split lie."""

    images: Path
    labels: Path
    names: Path | None  # a file with one image name per line; None: every image


def is_image(path: Path) -> bool:
    """Say whether a name is that of an image; hidden files are macOS resource forks and unfinished ones."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def label_files(folder: Path) -> dict[str, Path]:
    """Return the text files of a folder, also those that end in `.TXT`, by their stem; none without it."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return {p.stem: p for p in paths if p.suffix.lower() == ".txt" and not p.name.startswith(".")}


def labels_of_image(name: str, labels: dict[str, Path]) -> Path | None:
    """Return the label file of an image: `P1.txt` for `P1.png`, else `P1.png.txt`."""
    return labels.get(Path(name).stem) or labels.get(name)


def locate_folder(root: Path, split: str) -> Folder:
    """Return the folders of a split, of all images where it is empty; `valid` and `Val` are found as `val`.

    Raises:
        AnnotationError: the root has none of the layouts, or no such split.
    """
    split = called_alike(split, layout_splits(root)) if split else ""
    for images, labels in LAYOUTS:
        if split and (root / split / images).is_dir():
            return Folder(root / split / images, root / split / labels, None)
        if (root / images).is_dir():
            return Folder(root / images, root / labels, _find_names(root, split) if split else None)
    found = layout_splits(root)
    if found:
        raise no_split(root, split, found)
    known = f"images/ and labelTxt/, {split or 'SPLIT'}/images/, JPEGImages/ and Annotations/, or a list file"
    raise AnnotationError(f"{root}: expected {known}")


def no_split(root: Path, split: str, found: Iterable[str]) -> AnnotationError:
    """Return the error that names the splits there are."""
    return AnnotationError(f"{root}: no split {split!r}, found {', '.join(found)}")


def name_files(root: Path) -> dict[str, Path]:
    """Return the name file of each split that has one."""
    folders = [root / "ImageSets", root / "ImageSets" / "Main"]
    return {path.stem: path for folder in folders for path in sorted(folder.glob("*.txt"))}


def layout_splits(root: Path) -> list[str]:
    """Return the splits that a folder of one of the layouts has, sorted; list files are not looked for."""
    folders = {
        path.parent.name for images, _ in LAYOUTS for path in root.glob(f"*/{images}") if path.is_dir()
    }
    return sorted(folders | set(name_files(root)))


def _find_names(root: Path, split: str) -> Path | None:
    """Return the name file of a split; None where the root has no name files at all."""
    files = name_files(root)
    if not files:
        log.warning("%s has no ImageSets: the split %r means all of its images", root, split)
        return None
    if split not in files:
        raise no_split(root, split, sorted(files))
    return files[split]


def pair_files(place: Folder, faults: Faults) -> list[tuple[Path, Path | None]]:
    """Return image and label file of each image; label files are looked up in one listing of the folder."""
    images = {path.name: path for path in sorted(place.images.iterdir()) if is_image(path)}
    for name in [name for name in images if not is_text(name)]:
        faults.add(AnnotationError(f"{images.pop(name)}: expected a name in UTF-8; give it another"))
    chosen = _choose(images, place.names, faults) if place.names else list(images.values())
    if not chosen:
        raise AnnotationError(f"{place.names or place.images}: expected at least one image, found none")
    labels = label_files(place.labels)
    return [(image, labels_of_image(image.name, labels)) for image in chosen]


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
