"""What the folders of label formats have in common: splits by name, files below a folder."""

import re
from collections.abc import Iterable
from pathlib import Path

from dataloadR.label_lines import AnnotationError
from dataloadR.layouts import IMAGE_SUFFIXES

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "trainval": "trainval",
    "test": "test",
    "testing": "test",
}


def split_of(words: Iterable[str]) -> str:
    """Return the first word that names a split (`valid` is `val`), or an empty text."""
    return next((SPLITS[word.lower()] for word in words if word.lower() in SPLITS), "")


def split_of_file(path: Path) -> str:
    """Return the split that a file's name says, as in `instances_train.json`."""
    return split_of(re.split(r"[^a-zA-Z]+", path.stem))


def find_files(source: Path, suffix: str) -> list[Path]:
    """Return the source itself, or the files of this suffix, in either case, anywhere below it, sorted.

    Raises:
        AnnotationError: there is no such file or folder, or no file of the suffix in it.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise AnnotationError(f"{source}: no such file or folder")
    found = (path for path in source.rglob("*") if path.suffix.lower() == suffix and path.is_file())
    paths = sorted(path for path in found if not path.name.startswith("."))
    if not paths:
        raise AnnotationError(f"{source}: expected {suffix} files, found none; is it another format?")
    return paths


def folder_of(source: Path) -> Path:
    """Return the folder that names of images are relative to."""
    return source.parent if source.is_file() else source


def stem_of(name: str) -> str:
    """Return an image's name without folders and without the suffix of an image; names may hold dots."""
    path = Path(name)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
