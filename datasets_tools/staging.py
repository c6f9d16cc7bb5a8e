"""Staging folder that is filled only after all that belongs into it has been made."""

import os
import re
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from utils.counts import counted
from utils.errors import UserError
from utils.files import Lock, is_alive


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside the target; it is removed in the end with all that was not moved.

    So is what killed processes have left there for the same target.

    Raises:
        UserError: another thread or container with this process number is at work on the target.
    """
    folder = target.parent / f".{target.name}.{os.getpid()}.tmp"
    _clear_leftovers(target)
    lock = Lock.of(folder / "lock")
    if lock is None:
        raise UserError(f"{folder}: is being written by another process")
    try:
        files = folder / "files"
        shutil.rmtree(files, ignore_errors=True)  # of one that was killed and had this number
        files.mkdir()
        yield files
    finally:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def _clear_leftovers(target: Path) -> None:
    """Remove the folders of processes that were killed, and that nobody holds a lock on."""
    name = re.compile(rf"\.{re.escape(target.name)}\.([1-9]\d{{0,8}})\.tmp")
    for folder in target.parent.glob(".*.tmp"):
        match = name.fullmatch(folder.name)
        if match and folder.is_dir() and not folder.is_symlink() and not is_alive(int(match[1])):
            lock = Lock.of(folder / "lock")  # of this number on another machine that writes here
            if lock:
                lock.close()
                shutil.rmtree(folder, ignore_errors=True)


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
        what = f"{counted(len(conflicts), 'file')} there with other contents, such as {conflicts[0]}"
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
