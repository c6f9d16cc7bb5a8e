"""Files that are none: a data set whose images and labels hang whoever opens them."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def add_special_files(folder: Path, suffix: str) -> list[Path]:
    """Put a pipe, a socket, an endless device and a folder into a folder, called like ordinary files."""
    paths = [folder / f"{name}{suffix}" for name in ("pipe", "socket", "zero", "folder", "loop", "nowhere")]
    os.mkfifo(paths[0])
    here = Path.cwd()
    os.chdir(folder)  # the address of a socket is short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(paths[1].name)
    os.chdir(here)
    paths[2].symlink_to("/dev/zero")
    paths[3].mkdir()
    paths[4].symlink_to(paths[4])
    paths[5].symlink_to(folder / "nothing")
    return paths


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer."""

    def end(*_: object) -> None:
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
