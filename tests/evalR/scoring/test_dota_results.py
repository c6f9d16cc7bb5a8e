"""Task 1 files: round trip, empty classes, and errors that name the line."""

from pathlib import Path

import numpy as np
import pytest
import torch

from evalR.scoring.dota_results import read_task1, write_task1
from utils.records import Detections

CLASSES, IMAGES = ["small-vehicle", "ship", "empty"], ["P1", "P2", "P3"]


def random_detections(count: int, seed: int) -> Detections:
    rng = np.random.default_rng(seed)
    return Detections(
        torch.from_numpy(rng.uniform(-5, 1e4, (count, 4, 2))).float(),
        torch.from_numpy(rng.permutation(count)[::-1].copy()).float().sort(descending=True).values
        / (count + 1),
        torch.from_numpy(rng.integers(0, 2, count)),
    )


def test_round_trip(tmp_path: Path) -> None:
    found = [random_detections(9, 0), random_detections(0, 1), random_detections(5, 2)]
    write_task1(tmp_path, found, IMAGES, CLASSES)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"Task1_{name}.txt" for name in CLASSES)
    assert (tmp_path / "Task1_empty.txt").read_text() == ""
    for before, after in zip(found, read_task1(tmp_path, CLASSES, IMAGES), strict=True):
        assert after.quads.dtype == after.scores.dtype == torch.float64
        assert after.labels.tolist() == before.labels.tolist()
        torch.testing.assert_close(after.quads, before.quads.double(), atol=5.1e-4, rtol=0)
        torch.testing.assert_close(after.scores, before.scores.double(), atol=5.1e-7, rtol=0)


def test_a_line_as_the_devkit_reads_it(tmp_path: Path) -> None:
    quad = torch.tensor([[[1.0, 2.0], [3.5, 2.0], [3.5, 4.25], [1.0, 4.0]]])
    found = Detections(quad, torch.tensor([0.5]), torch.tensor([1]))
    write_task1(tmp_path / "new", [found], ["P1"], CLASSES)
    line = (tmp_path / "new" / "Task1_ship.txt").read_text()
    assert line == "P1 0.500000 1.000 2.000 3.500 2.000 3.500 4.250 1.000 4.000\n"


def test_missing_file_means_no_detections(tmp_path: Path) -> None:
    write_task1(tmp_path, [], [], ["ship"])
    (only,) = read_task1(tmp_path, CLASSES, ["P1"])
    assert only.quads.shape == (0, 4, 2)
    with pytest.raises(FileNotFoundError, match=r"expected files such as Task1_other\.txt, found none"):
        read_task1(tmp_path, ["other"], ["P1"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("P1 0.5 1 2 3 4", r"Task1_ship.txt:2: expected 10 fields, got 6: 'P1 0.5 1 2 3 4'"),
        ("P1 high 1 2 3 4 5 6 7 8", r"Task1_ship.txt:2: expected 9 finite numbers after the image, .*'high'"),
        ("P1 0.5 1 2 3 4 5 6 7 nan", r"Task1_ship.txt:2: expected 9 finite numbers .* got 0.5 1 .* nan"),
        ("P9 0.5 1 2 3 4 5 6 7 8", r"Task1_ship.txt:2: expected an image of the list, got 'P9'"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "Task1_ship.txt").write_text(f"P1 0.9 0 0 9 0 9 9 0 9\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_task1(tmp_path, ["ship"], IMAGES)


@pytest.mark.parametrize(
    ("images", "classes", "message"),
    [
        (["two words"], ["ship"], "image name: expected one word, got 'two words'"),
        (["P1"], ["a/b", "ship"], "class name: .* got 'a/b'"),
        (["P1", "P1"], ["ship"], "image names: expected each once, got 'P1' twice"),
        (["P1", "P2"], ["ship"], "expected detections for 2 images, got 1"),
        (["P1"], ["ship"], "P1: expected labels from 0 to 0, got 1"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, images: list[str], classes: list[str], message: str) -> None:
    found = Detections(torch.zeros(1, 4, 2), torch.ones(1), torch.tensor([1]))
    with pytest.raises(ValueError, match=message):
        write_task1(tmp_path, [found], images, classes)
    assert not list(tmp_path.iterdir())
