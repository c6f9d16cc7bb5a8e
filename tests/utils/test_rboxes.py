"""Rotated rectangles: round trips, shapely, and the conventions of other tools by hand."""

import math

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from tests.utils.quads.random_quads import convex_quads, rectangles
from utils.rboxes import (
    quads_to_rboxes,
    rboxes_from_sides,
    rboxes_to_le90,
    rboxes_to_le135,
    rboxes_to_oc,
    rboxes_to_quads,
)

DEGREE = math.pi / 180
RANGES = {
    rboxes_to_le90: (-90, 90, False),
    rboxes_to_le135: (-45, 135, False),
    rboxes_to_oc: (0, 90, True),
}  # degrees; whether the upper end belongs to it instead of the lower


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


@pytest.mark.parametrize("convert", list(RANGES), ids=lambda f: f.__name__)
def test_other_conventions_keep_the_rectangle_and_their_range(convert) -> None:
    rboxes = random_rboxes(500)
    found = convert(rboxes)
    low, high, upper_end = RANGES[convert]
    degrees = (found[:, 4] / DEGREE).round(decimals=9)
    assert ((degrees > low) & (degrees <= high) if upper_end else (degrees >= low) & (degrees < high)).all()
    if not upper_end:
        assert (found[:, 2] >= found[:, 3]).all()
    torch.testing.assert_close(rboxes_from_sides(found), rboxes)
    same = shapely.symmetric_difference(
        shapely.polygons(rboxes_to_quads(found).numpy()), shapely.polygons(rboxes_to_quads(rboxes).numpy())
    )
    np.testing.assert_allclose(shapely.area(same), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("ours", "le90", "le135", "oc"),
    [
        (0, (20, 10, 0), (20, 10, 0), (10, 20, 90)),
        (30, (20, 10, 30), (20, 10, 30), (20, 10, 30)),
        (90, (20, 10, -90), (20, 10, 90), (20, 10, 90)),
        (120, (20, 10, -60), (20, 10, 120), (10, 20, 30)),
        (135, (20, 10, -45), (20, 10, -45), (10, 20, 45)),
        (170, (20, 10, -10), (20, 10, -10), (10, 20, 80)),
    ],
)
def test_conventions_by_hand(ours: float, le90: tuple, le135: tuple, oc: tuple) -> None:
    rbox = torch.tensor([[1.0, 2.0, 20.0, 10.0, ours * DEGREE]], dtype=torch.float64)
    for convert, expected in ((rboxes_to_le90, le90), (rboxes_to_le135, le135), (rboxes_to_oc, oc)):
        *sides, angle = convert(rbox)[0, 2:].tolist()
        assert (*sides, angle / DEGREE) == pytest.approx(expected)


def test_squares_have_an_angle_below_a_quarter_turn() -> None:
    square = torch.tensor([[0.0, 0.0, 7.0, 7.0, 100 * DEGREE]], dtype=torch.float64)
    assert rboxes_from_sides(square)[0, 4].item() == pytest.approx(10 * DEGREE)
    assert quads_to_rboxes(rboxes_to_quads(square))[0, 4].item() == pytest.approx(10 * DEGREE)


def test_none_and_degenerate() -> None:
    assert quads_to_rboxes(torch.zeros(0, 4, 2)).shape == rboxes_from_sides(torch.zeros(0, 5)).shape == (0, 5)
    assert rboxes_to_quads(torch.zeros(0, 5)).shape == (0, 4, 2)
    assert quads_to_rboxes(torch.ones(1, 4, 2)).tolist() == [[1, 1, 0, 0, 0]]
