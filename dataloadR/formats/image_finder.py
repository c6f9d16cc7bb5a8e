"""Image lookup: the files that labels belong to, by the names that label files call them."""

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

from dataloadR.formats.layout import stem_of
from dataloadR.layouts import is_image
from dataloadR.split_names import called_alike
from utils.errors import UserError

IMAGE_FOLDERS = ("images", "JPEGImages", "AllImages", "Images", "image", "img")  # beside a folder of labels


class ImageFinder:
    """The images below some folders, found by the names that label files call them."""

    def __init__(self, source: Path, image_dir: Path | None = None, leave_out: Path | None = None) -> None:
        """Look at the source, or at a folder instead, but never into the folder that is written."""
        self.folder = image_dir or _folder_of(source)
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: expected a folder of images, found none")
        self.direct = [self.folder] if image_dir else [self.folder, self.folder.parent]
        self.beside = [self.folder.parent / name for name in IMAGE_FOLDERS if image_dir is None]
        self.leave_out = leave_out

    @cached_property
    def by_stem(self) -> dict[str, list[Path]]:
        """Images by their stem, looked up when a path is not enough."""
        inside = _by_stem(_walk(self.folder, self.leave_out))
        return inside or _by_stem(p for place in self.beside for p in _walk(place, self.leave_out))

    def find(self, name: str, split: str) -> Path | None:
        """Return the file of an image: at this path, or the one whose path ends most like it.

        Raises:
            UserError: several would do, or the only one lies outside the folders that were given.
        """
        outside = None
        for folder in self.direct[: 1 if Path(name).name == name else 2]:
            path = folder / name
            if is_image(path) and os.path.isfile(path):  # noqa: PTH113 - raises never
                if stays_below(path, folder):
                    return path
                outside = path
        found = self.by_stem.get(stem_of(name), [])
        likeness = [_likeness(path, name, split) for path in found]
        best = [path for path, value in zip(found, likeness, strict=True) if value == max(likeness)]
        if len({path.resolve() for path in best}) > 1:
            raise UserError(f"{name}: expected one image of this name, found {best[0]} and {best[1]}")
        if not best and outside:
            raise outside_error(name, self.folder)
        return best[0] if best else None


def stays_below(path: Path, folder: Path) -> bool:
    """Say whether a path lies below a folder; links count where they are, not where they lead."""
    return Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))  # noqa: PTH100 - as above


def outside_error(name: str, folder: Path) -> UserError:
    """Return the error about labels that name a file which does not belong to the data set."""
    return UserError(
        f"{name}: expected an image below {folder}, the path leaves it; if it belongs to the data set, "
        "convert it and say where it is with --image-dir"
    )


def _folder_of(source: Path) -> Path:
    """Return a folder, or that of a file; for COCO's annotations/FILE.json the one above."""
    if not source.is_file():
        return source
    return source.parent.parent if source.parent.name == "annotations" else source.parent


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """Yield the images below a folder, none of hidden folders, each folder once."""
    seen = {leave_out.resolve()} - {folder.resolve()} if leave_out else set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() not in seen)
        seen.update((here / f).resolve() for f in folders)
        yield from (path for file in sorted(files) if is_image(path := here / file))


def _by_stem(paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(path.stem, []).append(path)
    return found


def _likeness(path: Path, name: str, split: str) -> tuple[bool, int, bool]:
    """Return how well a file fits: its name, how many folders before it, and whether one is the split."""
    there, wanted = path.parts[::-1], Path(name).parts[::-1]
    differ = [k for k, (a, b) in enumerate(zip(there[1:], wanted[1:], strict=False)) if a != b]
    common = differ[0] if differ else min(len(there), len(wanted)) - 1
    return there[0] == wanted[0], common, called_alike(split, there) in there
