"""Folder layouts of label formats: files below a folder, and names."""

from pathlib import Path

from dataloadR.label_lines import AnnotationError
from dataloadR.layouts import IMAGE_SUFFIXES


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


def plain_path(name: str) -> str:
    """Return the path of an image with slashes, also one that Windows wrote."""
    return name.replace("\\", "/")


def stem_of(name: str) -> str:
    """Return an image's name without folders and without the suffix of an image; names may hold dots."""
    path = Path(name)
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name
