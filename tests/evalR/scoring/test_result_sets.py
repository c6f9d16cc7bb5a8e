"""Folders of result files: what is read, and every way in which they can be wrong."""

from pathlib import Path

import pytest

from evalR.scoring.result_sets import read_results
from utils.errors import UserError

CLASSES, IMAGES = ["ship", "plane"], ["P1", "P2"]
QUAD = "0 0 9 0 9 9 0 9"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_detections_stand_by_image(tmp_path: Path) -> None:
    write(tmp_path, Task1_ship=f"P2 .5 {QUAD}\nP1 .9 {QUAD}\n", Task1_plane=f"P1 .7 {QUAD}\nP2 .5 {QUAD}")
    write(tmp_path, Task2_ship="P2 .5 0 0 9 9\n")
    quads, boxes = read_results(tmp_path, CLASSES, IMAGES)
    assert quads.images.tolist() == [0, 0, 1, 1]
    assert quads.labels.tolist() == [0, 1, 0, 1]
    assert quads.scores.tolist() == [0.9, 0.7, 0.5, 0.5]
    assert quads.shapes[0].tolist() == [[0, 0], [9, 0], [9, 9], [0, 9]]
    assert (boxes.images.tolist(), boxes.shapes.tolist()) == ([1], [[0, 0, 9, 9]])


def test_empty_files(tmp_path: Path) -> None:
    quads, boxes = read_results(write(tmp_path, Task1_ship=""), CLASSES, IMAGES)
    assert quads.shapes.shape == (0, 4, 2)
    assert boxes is None


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Task1_boat", "", r"Task1_boat\.txt: expected one of the classes ship, plane"),
        ("Task3_ship", "", r"Task3_ship\.txt: expected one of the classes ship, plane"),
        (
            "Task1_ship",
            f"P1 .9 {QUAD}\nP3 .9 {QUAD}",
            r"ship\.txt:2: expected an image .*, got 'P3'",
        ),
        ("Task1_ship", "P1 .9 1 2 3 4", r"ship\.txt:1: expected 10 fields, got 6"),
        ("Task1_ship", f"P1 .9 {QUAD} 0", r"ship\.txt:1: .* got 'P1 .9': 11 fields, expected 10"),
        ("Task1_ship", f"P1 .9 inf {QUAD[2:]}", r"ship\.txt:1: expected 9 finite numbers .*, got 0\.9 inf"),
        ("results_ship", "", r"results_ship\.txt: .* ship, plane; files are called Task1_CLASS\.txt"),
        ("Task2_ship", f"P1 .9 {QUAD}", r"ship\.txt:1: .*"),
        ("Task1_ship", f"\nP1 nan {QUAD}", r"ship\.txt:2: expected 9 finite numbers .*, got nan"),
        ("Task1_ship", f"P1 .9 {QUAD[:-1]}x", r"ship\.txt:1: .*'x'"),
        (
            "Task1_ship",
            f"P1 .9 {QUAD}\nP2 .9 {QUAD}\nP1 0.90 {QUAD}",
            r"ship\.txt:3: expected each detection once, line 1 is the same",
        ),
        ("Task2_ship", "P1 .9 9 0 0 9", r"ship\.txt:1: expected x_min <= x_max"),
    ],
)
def test_one_clear_line(name: str, text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=expected) as caught:
        read_results(write(tmp_path, **{name: text}), CLASSES, IMAGES)
    assert "\n" not in str(caught.value)


def test_no_files_and_two_of_a_class(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected result files such as"):
        read_results(tmp_path, CLASSES, IMAGES)
    with pytest.raises(UserError, match=r"expected one file per class, .* is another"):
        read_results(write(tmp_path, Task1_ship="", ship=""), CLASSES, IMAGES)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "Task1_ship.txt").write_bytes(f"P1 .9 {QUAD}\n".encode() + b"P\xff .9")
    with pytest.raises(UserError, match=r"Task1_ship\.txt:2: expected UTF-8 text"):
        read_results(tmp_path, CLASSES, IMAGES)
    (tmp_path / "Task1_ship.txt").write_text(f"P1 .9 {QUAD}\n", encoding="utf-16")
    quads, _ = read_results(tmp_path, CLASSES, IMAGES)  # its mark says what it is
    assert quads.scores.tolist() == [0.9]
    (tmp_path / "Task1_ship.txt").write_bytes(f"P1 .9 {QUAD}\n".encode("utf-16-be"))
    with pytest.raises(UserError, match=r"Task1_ship\.txt:1: expected"):
        read_results(tmp_path, CLASSES, IMAGES)


@pytest.mark.parametrize("score", [-0.5, 95])
def test_odd_scores_are_pointed_out(score: float, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    quads, _ = read_results(write(tmp_path, Task1_ship=f"P1 .9 {QUAD}\nP2 {score} {QUAD}"), CLASSES, IMAGES)
    assert sorted(quads.scores.tolist()) == sorted([0.9, score])
    assert f"Task1_ship.txt:2: score {score}" in caplog.text
