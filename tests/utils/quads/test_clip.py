"""Intersection areas against shapely."""

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from tests.utils.quads.random_quads import convex_quads
from utils.quads.clip import convex_intersection_areas

SQUARE = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]]

DIAMOND = torch.tensor([[[5.0, -5], [15, 5], [5, 15], [-5, 5]]], dtype=torch.float64)


def moved(dx: float, dy: float = 0.0, size: float = 1.0) -> Tensor:
    return torch.tensor([SQUARE], dtype=torch.float64) * size + torch.tensor([dx, dy])


@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("seed", range(5))
def test_random_pairs_agree_with_shapely(seed: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = (convex_quads(rng, 400) + offset for _ in range(2))
    shared = shapely.intersection(shapely.polygons(a.numpy()), shapely.polygons(b.numpy()))
    expected = shapely.area(shared)
    assert (expected > 0).mean() > 0.15
    assert (expected == 0).any()
    np.testing.assert_allclose(convex_intersection_areas(a, b), expected, rtol=1e-7, atol=1e-6)
    narrow = convex_intersection_areas((a - offset).float(), (b - offset).float())
    assert narrow.dtype == torch.float32
    np.testing.assert_allclose(narrow, expected, rtol=1e-3, atol=2e-2)


def test_a_quad_shares_all_of_itself() -> None:
    quads = convex_quads(np.random.default_rng(9), 200)
    expected = shapely.area(shapely.polygons(quads.numpy()))
    for turn in range(4):
        np.testing.assert_allclose(convex_intersection_areas(quads, quads.roll(turn, 1)), expected, rtol=1e-7)


@pytest.mark.parametrize(
    ("other", "area"),
    [
        (moved(0), 100),
        (moved(5, 5), 25),
        (moved(10), 0),  # one edge touches
        (moved(10, 10), 0),  # one corner touches
        (moved(2, 3, 0.4), 16),  # contained
        (moved(-5, -5, 2), 100),  # containing
        (moved(50), 0),
        (moved(3, 3, 0), 0),  # a point inside
        (DIAMOND, 100),  # corners on edges
    ],
)
def test_by_hand(other: Tensor, area: float) -> None:
    square = moved(0)
    assert convex_intersection_areas(square, other).item() == pytest.approx(area, abs=1e-9)
    assert convex_intersection_areas(other, square).item() == pytest.approx(area, abs=1e-9)


def test_no_rows() -> None:
    empty = torch.zeros(0, 4, 2)
    assert convex_intersection_areas(empty, empty).shape == (0,)
