"""Staging folder that is filled only after all that belongs into it has been made."""

import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from utils.errors import UserError


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside the target; it is removed in the end with all that was not moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent) as folder:
        yield Path(folder)


def staged_files(folder: Path) -> list[Path]:
    """Return the paths of the files in a folder, from there."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def conflicts(folder: Path, target: Path) -> list[Path]:
    """Return what stands in the target where files of a staged folder belong, and is other than they are."""
    return [target / name for name in staged_files(folder) if _differs(folder / name, target / name)]


def refuse_originals(conflicts: Sequence[Path], source: Path, images: Collection[Path] = ()) -> None:
    """Raise a UserError where what was read stands in the way: no option replaces it.

    Args:
        source: the file or folder that was read.
        images: resolved paths of images that lie elsewhere.
    """
    for path in conflicts:
        if path.resolve() in images or path.resolve().is_relative_to(source.resolve()):
            raise UserError(f"{path}: belongs to {source} and is never replaced; choose another folder")


def refuse_overwriting(target: Path, conflicts: Sequence[Path]) -> None:
    """Raise a UserError where files stand in the way."""
    if conflicts:
        what = f"{len(conflicts)} files stand there that are others, such as {conflicts[0]}"
        raise UserError(f"{target}: {what}; choose another folder, or replace them with --overwrite")


def _differs(new: Path, old: Path) -> bool:
    """Say whether a path is taken by anything but a file of the same contents."""
    return old.exists() and not (old.is_file() and old.read_bytes() == new.read_bytes())


def move_files(folder: Path, target: Path) -> None:
    """Move all files of a staged folder to the target, each at once, and make its empty folders."""
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            (target / path.relative_to(folder)).mkdir(parents=True, exist_ok=True)
    for name in staged_files(folder):
        (folder / name).replace(target / name)
