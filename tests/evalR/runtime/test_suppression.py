"""NMS and voting in numpy against shapely, a slow loop, and the torch code of the project."""

import numpy as np
import pytest
import shapely
import torch
from numpy.typing import NDArray

from evalR.runtime.suppression import paired_ious, possible_pairs, suppress_quads
from evalR.runtime.voting import vote
from utils.arrays import F64, I64
from utils.quads.fusion import vote_quads
from utils.quads.geometry import canonical_quads
from utils.quads.nms import batched_quad_groups

SQUARE = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]])
CORNERS = SQUARE / 10 - 0.5


def random_scene(
    rng: np.random.Generator, objects: int, candidates: int
) -> tuple[F64, NDArray[np.float32], I64]:
    """Return quads (N, 4, 2), scores and labels of objects with so many candidates each."""
    rows = np.repeat(np.arange(objects), candidates)
    count = len(rows)
    centres, sides = rng.uniform(0, 300, (objects, 2)), rng.uniform(4, 80, (objects, 2))
    angles = rng.choice([0.0, 0.3, 1.2, 2.9], objects)[rows] + rng.choice([0.0, 0.05], count)
    centres = centres[rows] + rng.normal(0, 0.1, (count, 2)) * sides[rows]
    shapes = CORNERS * (sides[rows] * rng.uniform(0.8, 1.2, (count, 2)))[:, None]
    shapes += rng.uniform(-1, 1, shapes.shape) * (rng.random(count) < 0.5)[:, None, None]  # no rectangles
    turns = np.stack([np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)], -1)
    quads = (shapes @ turns.reshape(-1, 2, 2) + centres[:, None]).astype(np.float32)
    ordered = canonical_quads(torch.from_numpy(quads).reshape(-1, 4, 2)).double().numpy()
    labels = rng.integers(0, 3, objects)[rows]
    return ordered, rng.uniform(0.01, 1, count).astype(np.float32), labels


def test_iou_is_that_of_shapely() -> None:
    rng = np.random.default_rng(0)
    first, _, _ = random_scene(rng, 60, 4)
    second = np.roll(first, 1, axis=0)
    ours = paired_ious(first, second)
    polygons, others = shapely.polygons(first), shapely.polygons(second)
    shared = shapely.area(shapely.intersection(polygons, others))
    assert ours == pytest.approx(shared / (shapely.area(polygons) + shapely.area(others) - shared), abs=1e-9)
    assert (ours > 0.3).sum() > 50


@pytest.mark.parametrize(
    ("other", "iou"),
    [
        (SQUARE, 1.0),
        (np.roll(SQUARE, 1, axis=0), 1.0),
        (SQUARE + np.array([5.0, 0.0]), 1 / 3),
        (SQUARE + np.array([10.0, 0.0]), 0.0),  # they share a side
        (SQUARE * 0.5, 0.25),  # two sides lie on those of the larger one
        (np.array([[5.0, -5.0], [15.0, 5.0], [5.0, 15.0], [-5.0, 5.0]]), 0.5),
        (np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [10.0, 10.0]]), 0.5),  # a triangle
        (np.full((4, 2), 5.0), 0.0),
    ],
)
def test_iou_of_shared_sides_and_without_an_area(other: F64, iou: float) -> None:
    pairs = np.stack([SQUARE, other]) + 1e4
    assert paired_ious(pairs, pairs[::-1]) == pytest.approx([iou, iou], abs=1e-9)


def test_pairs_are_all_that_overlap_enough() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        quads, _, labels = random_scene(rng, int(rng.integers(1, 20)), 3)
        quads[0] = SQUARE * 200 - 500  # larger than all strips
        found = {frozenset(pair) for pair in np.stack(possible_pairs(quads, labels, 0.3), 1).tolist()}
        polygons = shapely.polygons(quads)
        for i in range(len(quads)):
            for j in range(i):
                shared = polygons[i].intersection(polygons[j]).area
                overlap = shared / (polygons[i].area + polygons[j].area - shared)
                assert frozenset((i, j)) in found or overlap <= 0.3 or labels[i] != labels[j]
        assert len(found) == len(possible_pairs(quads, labels, 0.3)[0])  # each once


def test_nms_keeps_what_torch_keeps() -> None:
    rng = np.random.default_rng(2)
    for number in range(200):
        quads, scores, labels = random_scene(rng, number % 16, int(rng.integers(1, 6)))
        iou, limit = float(rng.choice([0.1, 0.3, 0.45])), int(rng.choice([7, 1000]))
        ours = suppress_quads(quads, scores, labels, iou, limit)
        tensors = [torch.from_numpy(values) for values in (quads, scores, labels)]
        theirs = batched_quad_groups(*tensors, None, iou, limit)
        assert ours.kept.tolist() == theirs.kept.tolist()
        assert ours.owners.tolist() == theirs.owners.tolist()
        voted, support = vote(quads, scores.astype(np.float64), ours, 0.5)
        expected = vote_quads(tensors[0], tensors[1].double(), theirs, 0.5)
        assert voted == pytest.approx(expected.quads.numpy(), abs=1e-6)
        assert support == pytest.approx(expected.support.numpy(), abs=1e-6)


def test_equal_scores_stay_in_their_order() -> None:
    quads = np.stack([SQUARE, SQUARE + 1, SQUARE + 50, SQUARE])
    found = suppress_quads(quads, np.ones(4, np.float32), np.array([0, 0, 0, 1]), 0.3)
    assert (found.kept.tolist(), found.owners.tolist()) == ([0, 2, 3], [0, 0, 2, 3])


def test_a_chain_in_which_every_second_stays() -> None:
    quads = SQUARE + np.arange(60)[:, None, None] * np.array([4.0, 0.0])  # neighbours alone overlap enough
    found = suppress_quads(quads, np.linspace(1, 0.5, 60), np.zeros(60, np.int64), 0.4)
    assert found.kept.tolist() == list(range(0, 60, 2))
