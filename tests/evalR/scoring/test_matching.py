"""Matching against the devkit's protocol, written as a slow loop with shapely."""

import numpy as np
import pytest
import shapely
import torch

from evalR.scoring.columns import to_found, to_truth
from evalR.scoring.evaluate import score
from evalR.scoring.matching import FALSE, TRUE, Matches, judge
from utils.records import Annotation, Detections


def square(x: float, y: float, side: float = 10.0) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def annotation(quads: list[list[list[float]]], labels: list[int], difficult: list[int]) -> Annotation:
    array = np.array(quads, dtype=np.float32).reshape(-1, 4, 2)
    return Annotation("i.png", array, np.array(labels, dtype=np.int64), np.array(difficult, dtype=np.int8))


def detections(quads: list[list[list[float]]], scores: list[float], labels: list[int]) -> Detections:
    shaped = torch.tensor(quads, dtype=torch.float64).reshape(-1, 4, 2)
    return Detections(
        shaped, torch.tensor(scores, dtype=torch.float64), torch.tensor(labels, dtype=torch.int64)
    )


def match(found: list[Detections], truths: list[Annotation]) -> Matches:
    return score(to_found(found), to_truth(truths), ["a", "b"]).matches


def true_and_false(matches: Matches, label: int, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the verdicts of a class, highest score first."""
    rows = matches.order[matches.starts[label] : matches.starts[label + 1]]
    verdicts = judge(matches, threshold)[rows]
    return verdicts == TRUE, verdicts == FALSE


def slow_match(
    found: list[Detections], truths: list[Annotation], label: int, threshold: float
) -> tuple[list[bool], list[bool]]:
    everything = [
        (-float(score), image, row)
        for image, d in enumerate(found)
        for row, score in enumerate(d.scores)
        if d.labels[row] == label
    ]
    taken, true, false = set(), [], []
    for _, image, row in sorted(everything):
        polygon, best, best_row = shapely.Polygon(found[image].quads[row].tolist()), 0.0, -1
        for k, quad in enumerate(truths[image].quads.tolist()):
            other = shapely.Polygon(quad)
            shared = polygon.intersection(other).area
            iou = shared / (polygon.area + other.area - shared)
            if truths[image].labels[k] == label and iou > best:
                best, best_row = iou, k
        hit = best > threshold
        counts = not hit or truths[image].difficult[best_row] == 0
        first = hit and (image, best_row) not in taken
        true.append(counts and first)
        false.append(counts and not first)
        if counts and first:
            taken.add((image, best_row))
    return true, false


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_the_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found, truths = [], []
    for _ in range(5):
        corners = rng.uniform(0, 60, (12, 2)).round(1)
        quads = [square(x, y, float(rng.uniform(8, 25))) for x, y in corners.tolist()]
        truths.append(annotation(quads, rng.integers(0, 2, 12).tolist(), rng.integers(0, 3, 12).tolist()))
        near = [(np.array(q) + rng.uniform(-4, 4, 2)).tolist() for q in quads for _ in range(2)]
        found.append(detections(near, (rng.integers(1, 9, 24) / 9).tolist(), rng.integers(0, 2, 24).tolist()))
    matches = match(found, truths)
    for label in (0, 1):
        for threshold in (0.2, 0.5):
            true, false = true_and_false(matches, label, threshold)
            assert (true.tolist(), false.tolist()) == slow_match(found, truths, label, threshold)
            assert true.any()


def test_second_hit_is_false_and_never_falls_through() -> None:
    truth = annotation([square(0, 0), square(2, 0)], [0, 0], [0, 0])
    found = detections([square(0, 0), square(0.5, 0)], [0.9, 0.8], [0, 0])  # both mean the first
    true, false = true_and_false(match([found], [truth]), 0, 0.5)
    assert true.tolist() == [True, False]
    assert false.tolist() == [False, True]


@pytest.mark.parametrize("flag", [1, 2])
def test_difficult_is_neither(flag: int) -> None:
    truth = annotation([square(0, 0)], [0], [flag])
    found = detections([square(0, 0), square(0, 0), square(50, 0)], [0.9, 0.8, 0.7], [0, 0, 0])
    true, false = true_and_false(match([found], [truth]), 0, 0.5)
    assert true.tolist() == [False, False, False]
    assert false.tolist() == [False, False, True]


def test_iou_at_the_threshold_is_no_hit() -> None:
    matches = match([detections([square(0, 0)], [0.9], [0])], [annotation([square(0, 0, 5.0)], [0], [0])])
    assert matches.best_iou.tolist() == [0.25]
    assert true_and_false(matches, 0, 0.25)[0].tolist() == [False]
    assert true_and_false(matches, 0, 0.24)[0].tolist() == [True]


def test_nothing_found_nothing_there() -> None:
    assert match([], []).best_iou.shape == (0,)
    one = detections([square(0, 0)], [0.9], [1])
    matches = match(
        [detections([], [], []), one], [annotation([square(0, 0)], [1], [0]), annotation([], [], [])]
    )
    assert matches.best_truth.tolist() == [-1]
    true, false = true_and_false(matches, 1, 0.5)
    assert true.tolist() == [False]
    assert false.tolist() == [True]
    assert [len(flags) for flags in true_and_false(matches, 0, 0.5)] == [0, 0]
