"""What an earlier call with other settings has left beside the outputs of this one."""

import os
from pathlib import Path

from evalR.outputs.earlier import earlier_line, earlier_outputs
from evalR.outputs.kept import kept_path


def touch(path: Path, seconds: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (seconds, seconds))


def test_files_older_than_what_is_kept_are_named(tmp_path: Path) -> None:
    for name, seconds in (("a", 100), ("b", 50)):
        touch(kept_path(tmp_path, name), seconds)
    for name, seconds in (
        ("a.txt", 100),
        ("a.jpg", 90),
        ("b.jpg", 60),
        ("detections.csv", 60),
        ("other.jpg", 1),
    ):
        touch(tmp_path / name, seconds)
    touch(tmp_path / "detections.geojson", 120)
    touch(tmp_path / "data.yaml", 1)  # names of classes alone
    assert sorted(earlier_outputs(tmp_path, ["a", "b", "c"])) == ["a.jpg", "detections.csv"]
    line = earlier_line(tmp_path, ["a", "b"])
    assert line is not None
    assert line.startswith(f"{tmp_path}: left by an earlier call with other settings: ")


def test_nothing_kept_and_nothing_left(tmp_path: Path) -> None:
    assert earlier_outputs(tmp_path, []) == []
    touch(tmp_path / "a.jpg", 1)
    assert earlier_line(tmp_path, ["a"]) is None
