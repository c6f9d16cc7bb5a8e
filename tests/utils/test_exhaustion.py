"""Exhausted machines end in one line; mistakes of the code keep their traceback."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training_runs import ROOT
from utils.cli import run_script
from utils.exhaustion import exhaustion, system_line

HEAD = "import sys; sys.path.insert(0, sys.argv.pop()); from utils.cli import run_script\n"


def raised(error: BaseException) -> Callable[[object], None]:
    def main(_: object) -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "too little memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "the GPU has too little memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"), "little memory"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device", "a.gpkg"), "a.gpkg: No space left"),
        (OSError(errno.EFBIG, "File too large", "x"), "x: File too large"),
        (RuntimeError("received 0 items of ancdata"), "ulimit -n"),
        (RuntimeError("DataLoader worker (pid 3) is killed by signal: Bus error."), "shared memory"),
        (PermissionError(errno.EACCES, "Permission denied", "/dev/shm/sem.x"), "/dev/shm/sem.x: Permission"),
    ],
)
def test_one_line(error: Exception, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_script(raised(error)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


def test_the_libraries_own_words() -> None:
    for allocate in (
        lambda: np.empty(1 << 60, np.uint8),
        lambda: torch.empty(1 << 60, dtype=torch.uint8),
    ):
        with pytest.raises((MemoryError, RuntimeError)) as caught:
            allocate()
        assert "too little memory" in str(exhaustion(caught.value))


def test_mistakes_stay_what_they_are() -> None:
    for error in (RuntimeError("shape mismatch"), AttributeError("x"), OSError("of a library")):
        with pytest.raises(type(error)):
            run_script(raised(error))
    assert system_line(OSError("of a library")) is None


def script(body: str, shell: str, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "s.py").write_text(HEAD + body + "\nsys.exit(run_script(main))\n")
    command = shell.format(python=f"{sys.executable} {tmp_path / 's.py'} {ROOT}")
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)


MANY = "def main(_):\n    for k in range(100000): sys.stdout.write('line\\n')\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ("{python} | head -1; exit ${{PIPESTATUS[0]}}", 141),
        ("{python} > /dev/full", 2),
        ("{python} >&-", 0),
        ("{python} >&- 2>&-", 0),
    ],
)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_is_closed_or_full(tmp_path: Path, shell: str, code: int) -> None:
    result = script(MANY, shell, tmp_path)
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
    assert result.returncode == code, result.stderr
    assert code != 2 or result.stderr.startswith("error: No space left on device")
