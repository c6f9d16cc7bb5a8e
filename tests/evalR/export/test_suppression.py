"""Suppression as a graph: the IoU against shapely, the fixed point against the loop."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from evalR.export.suppression import best_first, front_rows, greedy_kept
from modelR.losses.quad_iou import plain_iou
from tests.evalR.export.crowds import crowd, greedy_loop, shapely_iou


def rectangle(x: float, y: float, width: float, height: float, degrees: float) -> Tensor:
    """Return a rectangle (4, 2), clockwise on the screen."""
    angle = math.radians(degrees)
    along = torch.tensor([math.cos(angle), math.sin(angle)]) * width / 2
    across = torch.tensor([-math.sin(angle), math.cos(angle)]) * height / 2
    corners = [-along - across, along - across, along + across, -along + across]
    return torch.stack(corners) + torch.tensor([x, y])


SQUARE = rectangle(5, 5, 10, 10, 0)
PAIRS = {
    "the same": (SQUARE, SQUARE, 1.0),
    "the same, begun elsewhere": (SQUARE, SQUARE.roll(1, 0), 1.0),
    "the other way round": (SQUARE, SQUARE.flip(0), 1.0),
    "touching": (SQUARE, rectangle(15, 5, 10, 10, 0), 0.0),
    "touching in a vertex": (SQUARE, rectangle(15, 15, 10, 10, 0), 0.0),
    "half": (SQUARE, rectangle(10, 5, 10, 10, 0), 1 / 3),
    "inside, on a side": (SQUARE, rectangle(2.5, 5, 5, 10, 0), 0.5),
    "a diamond": (SQUARE, torch.tensor([[5.0, -5], [15, 5], [5, 15], [-5, 5]]), 0.5),
    "disjoint": (SQUARE, rectangle(100, 5, 10, 10, 45), 0.0),
    "a point": (SQUARE, torch.full((4, 2), 5.0), 0.0),
    "a line": (SQUARE, rectangle(5, 5, 10, 0, 0), 0.0),
    "two points": (torch.zeros(4, 2), torch.zeros(4, 2), 0.0),
}


@pytest.mark.parametrize("name", PAIRS)
def test_iou_of_special_pairs(name: str) -> None:
    a, b, expected = PAIRS[name]
    for shift in (0.0, 3000.0):  # far out float32 has steps of 1/4096 px
        one, two = a + shift, b + shift
        found = plain_iou(torch.stack([one, two]), torch.stack([two, one]))
        assert found.dtype == torch.float32
        assert found.tolist() == pytest.approx([expected, expected], abs=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iou_agrees_with_shapely(dtype: torch.dtype) -> None:
    quads, _, _ = crowd(0, 120, 6)
    rows = torch.randint(120, (2, 600), generator=torch.Generator().manual_seed(1))
    a, b = quads[rows[0]].to(dtype), quads[rows[1]].to(dtype)
    found = plain_iou(a, b)
    expected = [shapely_iou(one, two) for one, two in zip(a, b, strict=True)]
    assert sum(0 < value < 1 for value in expected) > 80
    np.testing.assert_allclose(found.numpy(), expected, atol=3e-6 if dtype == torch.float32 else 1e-9)


def test_iou_of_quads_that_nearly_coincide() -> None:
    """Sides that differ by rounding alone cross anywhere: what they cut off must not depend on it."""
    chance = torch.Generator().manual_seed(2)
    quads = crowd(3, 400, 400)[0]
    others = quads + 1e-5 * torch.randn(quads.shape, generator=chance)
    assert plain_iou(quads, others).min() > 1 - 1e-4
    assert plain_iou(quads, others).max() <= 1 + 1e-5


@pytest.mark.slow
def test_sixty_scenes_are_suppressed_as_by_the_loop() -> None:
    for seed in range(60):
        quads, _, labels = crowd(seed, *((300, 30) if seed % 3 else (600, 60)))
        threshold = (0.1, 0.3, 0.45)[seed % 3]
        everything = torch.ones(1, len(quads), dtype=torch.bool)
        (kept,) = greedy_kept(quads[None], labels[None], everything, threshold)
        assert kept.nonzero().flatten().tolist() == greedy_loop(quads, labels, threshold)


def test_images_of_a_batch_do_not_meet() -> None:
    scenes = [crowd(seed, 60, 8) for seed in range(3)]
    quads, _, labels = (torch.stack(fields) for fields in zip(*scenes, strict=True))
    usable = torch.ones(3, 60, dtype=torch.bool)
    usable[1, 40:] = False
    usable[2] = False
    found = greedy_kept(quads, labels, usable, 0.3)
    rows = [own.nonzero().flatten().tolist() for own in found]
    assert rows[0] == greedy_loop(quads[0], labels[0], 0.3)
    assert rows[1] == greedy_loop(quads[1, :40], labels[1, :40], 0.3)
    assert rows[2] == []


def test_a_quad_that_is_removed_removes_nothing() -> None:
    quads = torch.stack([rectangle(4 * k, 5, 10, 10, 0) for k in range(5)])  # each overlaps the next by 0.43
    kept = greedy_kept(quads[None], torch.zeros(1, 5), torch.ones(1, 5, dtype=torch.bool), 0.4)
    assert kept[0].tolist() == [True, False, True, False, True]


def test_best_first_fills_up_and_leaves_out_what_is_not_finite() -> None:
    quads = torch.rand(2, 4, 4, 2)
    quads[0, 1, 2, 0], quads[1, 0] = math.nan, math.inf
    scores = torch.tensor([[0.3, 0.9, 0.5, 0.0], [0.8, 0.1, 0.2, 0.7]])
    labels = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    best, found, names = best_first(quads, scores, labels, 6)
    torch.testing.assert_close(
        found, torch.tensor([[0.5, 0.3, 0, 0, 0, 0], [0.7, 0.2, 0.1, 0, 0, 0]]), rtol=0, atol=0
    )
    assert names.tolist() == [[3, 1, 0, 0, 0, 0], [8, 7, 6, 0, 0, 0]]
    torch.testing.assert_close(best[1, :3], quads[1, [3, 2, 1]])
    assert not best[:, 3:].any()
    assert best_first(quads, scores, labels, 1)[1].tolist() == [[0.5], [pytest.approx(0.7)]]


def test_front_rows_stand_first() -> None:
    kept = torch.tensor([[False, True, False, True, True], [False] * 5])
    places, there = front_rows(kept, 4)
    assert places[0, :3].tolist() == [1, 3, 4]
    assert there.tolist() == [[True, True, True, False], [False] * 4]
