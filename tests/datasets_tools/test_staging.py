"""Folders that are filled at the end: what is left of them, and what killed runs have left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from datasets_tools.staging import move_files, staged
from tests.training_runs import ROOT
from utils.files import Lock

DEAD = 999_999_999  # above any number that a system gives
HOLD = "import sys, time; from pathlib import Path; from datasets_tools.staging import staged\n"
HOLD += "with staged(Path(sys.argv[1])) as folder:\n"
HOLD += "    (folder / 'half.txt').write_text('x'); print(folder, flush=True); time.sleep(60)\n"


def leftover(target: Path, process: int) -> Path:
    folder = target.parent / f".{target.name}.{process}.tmp"
    (folder / "files/labels").mkdir(parents=True)
    (folder / "files/labels/half.txt").write_text("x")
    return folder


def test_what_is_moved_is_all_that_remains(tmp_path: Path) -> None:
    target = tmp_path / "new/out"
    with staged(target) as folder:
        assert list(folder.iterdir()) == []
        (folder / "a").mkdir()
        (folder / "a/b.txt").write_text("b")
        move_files(folder, target)
    assert [path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*")] == [
        "out",
        "out/a",
        "out/a/b.txt",
    ]
    with pytest.raises(FileNotFoundError), staged(target) as folder:
        (folder / "c/d").write_text("d")
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_leftovers_are_cleared_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "o[u]t"
    dead, alive = leftover(target, DEAD), leftover(target, os.getppid())
    locked, other = leftover(target, DEAD - 1), leftover(tmp_path / "other", DEAD)
    link = tmp_path / f".o[u]t.{DEAD - 2}.tmp"
    link.symlink_to(other)
    ours = tmp_path / ".o[u]t.mine.tmp"
    ours.mkdir()
    lock = Lock.of(locked / "lock")
    assert lock
    with staged(target):
        assert not dead.exists()
        assert all(path.exists() for path in (alive, locked, other / "files/labels/half.txt", link, ours))
    lock.close()
    with staged(target):
        assert not locked.exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="there is no SIGKILL")
def test_the_next_run_clears_what_a_killed_one_left(tmp_path: Path) -> None:
    target = tmp_path / "out"
    words, environment = [sys.executable, "-c", HOLD, str(target)], {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        folder = Path(process.stdout.readline().strip())
        with staged(target):
            assert (folder / "half.txt").is_file()  # it is at work
        process.send_signal(signal.SIGKILL)
    with staged(target) as own:
        assert not folder.exists()
        assert [path.name for path in tmp_path.iterdir()] == [own.parent.name]
    assert list(tmp_path.iterdir()) == []
