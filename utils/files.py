"""File writing: files appear whole or not at all."""

import errno
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from utils.errors import UserError

LEFTOVER = re.compile(r"\..+\.(?P<process>[1-9]\d{0,8})\.tmp(\.\w{1,8})?")  # names that `replacing` gives
EXPORTED_SUFFIXES = (".onnx", ".xml")  # of files for an inference engine
LEFTOVER_AGE = 60.0  # seconds
fcntl = import_module("fcntl") if os.name == "posix" else None  # elsewhere nobody is kept away


@contextmanager
def replacing(path: str | Path, flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it takes the place of `path` when the block ends well.

    The suffix is kept, for writers which choose a format by it.  After an error nothing is left behind.

    Args:
        flush: wait for the disk, for files that must survive a power cut; many small ones are slow then.
            Without it a power cut may leave an empty file, the end of the process alone never does.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(target.parent)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    try:
        with _naming(target, temporary):
            yield temporary
        if flush:
            with temporary.open("r+b") as file:  # Windows flushes only files open for writing
                os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _naming(target: Path, temporary: Path) -> Iterator[None]:
    """Name a file in the system's errors about its temporary one, and in those that name none."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, str(temporary), temporary):
            error.filename = str(target)
        raise


@lru_cache(maxsize=64)
def clear_leftovers(folder: Path) -> None:
    """Remove what killed processes have begun in a folder, once for each folder and process.

    A process of this number may live on another machine, which writes here as well: what was written to in
    the last minute stays.
    """
    with suppress(OSError):
        names = [entry.name for entry in os.scandir(folder) if LEFTOVER.fullmatch(entry.name)]
        for path in (folder / name for name in names):
            match = LEFTOVER.fullmatch(path.name)
            is_old = time.time() - path.lstat().st_mtime > LEFTOVER_AGE
            is_file = not stat.S_ISDIR(path.lstat().st_mode)
            if match and is_old and is_file and not is_alive(int(match["process"])):
                path.unlink(missing_ok=True)


def is_alive(process: int) -> bool:
    """Say whether there is a process of this number here; always where it cannot be asked."""
    if os.name != "posix":
        return True  # to ask would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another user
        return True
    return True


def write_text(path: Path, text: str, flush: bool = True, errors: str = "strict") -> None:
    """Write a text file in UTF-8, whole or not at all; `flush` as in `replacing`, `errors` as in `open`."""
    with replacing(path, flush) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors, newline="\n")


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write a value as JSON, on one line or indented, keys in the given order.

    Names of files that are no text get escapes, which JSON reads as the same names.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False) + "\n"
    write_text(path, text, errors="backslashreplace")


def data_folder(root: Path) -> Path:
    """Return the folder of a data set that a data.yaml or a COCO JSON names; other roots as they are."""
    if root.suffix.lower() not in (".yaml", ".yml", ".json") or root.is_dir():
        return root
    return root.parent.parent if root.parent.name == "annotations" else root.parent


def check_folder(path: Path, what: str) -> None:
    """Raise a UserError where a folder is not there and cannot be made, or cannot be written to.

    For the time before long work; nothing is made.

    Args:
        what: the setting that names the folder.
    """
    place = next(parent for parent in (path, *path.absolute().parents) if os.path.lexists(parent))
    if not place.is_dir():
        raise UserError(f"{what}={path}: expected a folder, {place} is none")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"{what}={path}: expected a folder that can be written, {place} cannot")


def strange_kind(path: str | Path) -> str | None:
    """Return what a path is that is there and no regular file, links followed; None for the others.

    To open a pipe waits for whoever writes into it, and a device may never end.  A path that is no text could
    be read, but not be written into any result.
    """
    if not is_text(path):
        return "a path that is not UTF-8"
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - raises for the same paths as open
    except (OSError, ValueError):
        return None  # whoever opens it says why not
    if stat.S_ISREG(mode):
        return None
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((kind for is_kind, kind in kinds if is_kind(mode)), "a device")


def is_text(path: str | Path) -> bool:
    """Say whether a path is text, as those of today's systems are: in UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in str(path))


def read_bytes(path: Path) -> bytes:
    """Return the contents of a regular file.

    Raises:
        OSError: it cannot be read, or is another kind of file.
    """
    _refuse_strange_kinds(path)
    return path.read_bytes()


def _refuse_strange_kinds(path: Path) -> None:
    kind = strange_kind(path)
    if kind:
        raise OSError(errno.EINVAL, f"expected a file, got {kind}", str(path))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a regular file.

    Raises:
        OSError: as `read_bytes`.
    """
    _refuse_strange_kinds(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Lock:
    """A file that one process at a time has; others have it again when it is closed or the process ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @classmethod
    def of(cls, path: Path) -> "Lock | None":
        """Return the lock, its file and folder made if need be; None while another process has it."""
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                file = path.open("ab")
            except FileNotFoundError:  # whoever had it has just removed the folder
                continue
            if not _locked(file):
                file.close()
                return None
            if file.closed or _is_there(path, file):
                return cls(file)
            file.close()  # the same, a moment later

    def close(self) -> None:
        """Let others have it; its file may have been removed."""
        self._file.close()


def _locked(file: IO[bytes]) -> bool:
    if fcntl is None:
        file.close()  # an open file could not be removed
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _is_there(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
