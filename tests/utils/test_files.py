import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from utils.errors import UserError
from utils.files import Lock, check_folder, replacing, write_text


def test_file_appears_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "whole"
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def interrupted() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_error_of_the_system_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "a.txt"):
        Path("/dev/full").write_text("x" * 100_000)
    assert caught.value.filename == str(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError) as named, replacing(tmp_path / "a.txt") as temporary:
        shutil.copyfile(temporary, tmp_path / "b.txt")
    assert named.value.filename == str(tmp_path / "a.txt")
    with pytest.raises(FileNotFoundError) as other, replacing(tmp_path / "a.txt"):
        (tmp_path / "b/c.txt").write_text("x")
    assert other.value.filename == str(tmp_path / "b/c.txt")


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a.txt"):
        pass


def test_a_folder_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    check_folder(tmp_path, "out")
    check_folder(tmp_path / "new/newer", "out")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dead link").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path / "file", tmp_path / "file/below", tmp_path / "dead link"):
        with pytest.raises(UserError, match=rf"out={path}: expected a folder, .* is none"):
            check_folder(path, "out")
    monkeypatch.setattr(os, "access", lambda *_: False)  # whoever runs the tests may write everywhere
    with pytest.raises(UserError, match=r"expected a folder that can be written, .* cannot"):
        check_folder(tmp_path / "new", "out")


@pytest.mark.skipif(os.name != "posix", reason="locks are those of POSIX")
def test_a_lock_is_had_once(tmp_path: Path) -> None:
    path = tmp_path / "new/lock"
    first = Lock.of(path)
    assert first
    assert Lock.of(path) is None
    first.close()
    second = Lock.of(path)
    assert second, "it is free again"
    path.unlink()
    path.parent.rmdir()
    third = Lock.of(path)
    assert third, "the file of the second is gone"
    second.close()
    assert Lock.of(path) is None


@pytest.mark.skipif(os.name != "posix", reason="locks are those of POSIX")
def test_a_lock_whose_file_vanished_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is done between the opening of the file and the locking."""
    path, opened = tmp_path / "lock", []

    def locked(file: object) -> bool:
        opened.append(file)
        if len(opened) == 1:
            path.unlink()
        return True

    monkeypatch.setattr("utils.files._locked", locked)
    assert Lock.of(path)
    assert len(opened) == 2
    assert path.exists()


def test_leftovers_of_killed_processes_are_cleared(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    dead, alive = process.pid, os.getppid()
    ours = [f".x.{dead}.tmp.zip", f".scene.{dead}.tmp.jpg", f".a.b.{dead}.tmp"]
    others = [f".x.{alive}.tmp.zip", "x.zip", f"x.{dead}.tmp.zip", ".x.tmp.zip", f".x.{dead}.tmp.zip.bak.txt"]
    fresh = f".fresh.{dead}.tmp.png"
    for name in (*ours, *others, fresh):
        (tmp_path / name).touch()
        if name != fresh:
            os.utime(tmp_path / name, (1e9, 1e9))
    (tmp_path / f".folder.{dead}.tmp").mkdir()
    os.utime(tmp_path / f".folder.{dead}.tmp", (1e9, 1e9))
    write_text(tmp_path / "new.txt", "a")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == sorted([*others, fresh, f".folder.{dead}.tmp", "new.txt"])
