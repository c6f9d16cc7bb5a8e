"""Rotated rectangles: round trips and shapely."""

import math

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from tests.utils.quads.random_quads import convex_quads, rectangles
from utils.rboxes import quads_to_rboxes, rboxes_to_quads

DEGREE = math.pi / 180


def random_rboxes(count: int) -> Tensor:
    rng = np.random.default_rng(0)
    long = rng.uniform(5, 100, count)
    angle = np.concatenate([np.arange(0, 180, 15), rng.uniform(0, 180, count - 12)]) * DEGREE
    columns = [rng.uniform(-500, 500, count), rng.uniform(-500, 500, count), long, long * 0.6, angle]
    return torch.from_numpy(np.stack(columns, axis=-1))


def test_rectangles_come_back() -> None:
    rboxes = random_rboxes(500)
    quads = rboxes_to_quads(rboxes)
    torch.testing.assert_close(rboxes_to_quads(quads_to_rboxes(quads)).sort(dim=1)[0], quads.sort(dim=1)[0])
    torch.testing.assert_close(quads_to_rboxes(quads)[:, :4], rboxes[:, :4])
    gap = (quads_to_rboxes(quads)[:, 4] - rboxes[:, 4]).abs()
    assert torch.minimum(gap, math.pi - gap).max() < 1e-9


def test_angles_are_those_of_the_long_side() -> None:
    quads, theta = rectangles(np.random.default_rng(1), 300)
    angle = quads_to_rboxes(quads)[:, 4].numpy()
    gap = np.abs(angle - theta)
    assert np.minimum(gap, np.pi - gap).max() < 1e-9
    assert ((angle >= 0) & (angle < np.pi)).all()
    downwards = torch.tensor([[[0.0, 0.0], [30.0, 30.0], [20.0, 40.0], [-10.0, 10.0]]])
    assert quads_to_rboxes(downwards)[0, 4].item() == pytest.approx(math.pi / 4)  # clockwise: y points down


def test_the_rectangle_of_any_quad_is_the_smallest() -> None:
    quads = convex_quads(np.random.default_rng(2), 300)
    rboxes = quads_to_rboxes(quads)
    around = shapely.minimum_rotated_rectangle(shapely.multipoints(quads.numpy()))
    np.testing.assert_allclose(rboxes[:, 2] * rboxes[:, 3], shapely.area(around), rtol=1e-6)
    assert (rboxes[:, 2] >= rboxes[:, 3]).all()


def test_squares_have_an_angle_below_a_quarter_turn() -> None:
    square = torch.tensor([[0.0, 0.0, 7.0, 7.0, 100 * DEGREE]], dtype=torch.float64)
    assert quads_to_rboxes(rboxes_to_quads(square))[0, 4].item() == pytest.approx(10 * DEGREE)


def test_none_and_degenerate() -> None:
    assert quads_to_rboxes(torch.zeros(0, 4, 2)).shape == (0, 5)
    assert rboxes_to_quads(torch.zeros(0, 5)).shape == (0, 4, 2)
    assert quads_to_rboxes(torch.ones(1, 4, 2)).tolist() == [[1, 1, 0, 0, 0]]
