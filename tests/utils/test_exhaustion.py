"""Exhausted machines end in one line; mistakes of the code keep their traceback."""

import errno
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
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
        (SystemError("error return without exception set"), "too little memory"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError(errno.ENOSPC, "No space left on device", "a.gpkg"), "a.gpkg: No space left"),
        (OSError(errno.EFBIG, "File too large", "x"), "x: File too large"),
        (
            RuntimeError("unable to resize file </torch_1>: File too large (27)"),
            "ulimit -f",
        ),
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


def while_handling(before: BaseException, error: BaseException) -> BaseException:
    """An error that was raised in an `except` block."""
    try:
        try:
            raise before
        except type(before):
            raise error  # noqa: B904 - in an `except` block, as a mistake is
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("before", [MemoryError(), OSError(errno.ENOSPC, "No space left on device", "a.pt")])
@pytest.mark.parametrize("kind", [TypeError, AttributeError, NameError, KeyError, AssertionError, ValueError])
def test_a_mistake_is_not_hidden_by_what_came_before(before: Exception, kind: type[Exception]) -> None:
    mistake = while_handling(before, kind("out of memory"))
    assert mistake.__context__ is before
    with pytest.raises(kind):
        run_script(raised(mistake))
    with pytest.raises(RuntimeError):  # a library that stumbles over the mistake
        run_script(raised(while_handling(mistake, RuntimeError("writer failed"))))


def test_what_a_library_says_while_it_handles_an_exhaustion() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "a.pt")
    line = str(exhaustion(while_handling(full, RuntimeError("unexpected pos 64 vs 0"))))
    assert line == "a.pt: No space left on device; then RuntimeError: unexpected pos 64 vs 0"
    past = while_handling(full, RuntimeError("unexpected pos"))
    past.__suppress_context__ = True  # raise ... from None
    assert exhaustion(past) is None


def test_paths_and_lines_of_code_are_no_words() -> None:
    error = FileNotFoundError(errno.ENOENT, "No such file or directory", "/home/torch_out of memory")
    assert exhaustion(error) == "/home/torch_out of memory: No such file or directory"
    trace = 'Traceback (most recent call last):\n  File "a.py", line 3\n    say("out of memory")\n'
    assert exhaustion(RuntimeError(f"Caught RuntimeError\n{trace}RuntimeError: sizes differ")) is None
    told = exhaustion(RuntimeError(f"Caught RuntimeError\n{trace}RuntimeError: can't start new thread\n"))
    assert str(told).endswith("(RuntimeError: can't start new thread)")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C reach the tests also where they run behind nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), TypeError("out of memory")])
def test_a_thread_that_ends_is_not_waited_for(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of a pool of processes, which nobody would feed then."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    waiting = threading.Event()

    def main(_: object) -> None:
        threading.Thread(target=raised(error), args=(None,)).start()
        waiting.wait(60 if isinstance(error, RuntimeError) else 0.2)

    is_mistake = isinstance(error, TypeError)
    assert run_script(main) == (0 if is_mistake else 2)
    text = capsys.readouterr().err
    assert text.startswith("Exception in thread" if is_mistake else "error: no more processes or threads")
    assert ("Traceback" in text) == is_mistake


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


@pytest.mark.slow
def test_a_thread_that_ends_behind_nohup(tmp_path: Path) -> None:
    body = "import threading, time\nfrom multiprocessing.util import get_temp_dir\n"
    body += "def end(): raise MemoryError\ndef main(_):\n    print(get_temp_dir(), flush=True)\n"
    body += "    threading.Thread(target=end).start()\n    time.sleep(50)\n"
    result = script(body, "trap '' INT; exec {python}", tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: the machine has too little memory")
    assert "Traceback" not in result.stderr
    assert not Path(result.stdout.strip()).exists()  # the folder of workers
