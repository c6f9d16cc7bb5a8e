"""Rectangles by hand, and back again over all angles and sizes."""

import math

import numpy as np
import pytest
import shapely

from dataloadR.formats.rectangles import count_other_quads, enclosing_rectangles, rectangle_quads


def test_corners_by_hand() -> None:
    """40 x 20 about (50, 60), upright and turned by a quarter: the width points down."""
    centres, sizes = np.array([[50.0, 60.0]] * 2), np.array([[40.0, 20.0]] * 2)
    upright, turned = rectangle_quads(centres, sizes, np.array([0.0, math.pi / 2]))
    np.testing.assert_allclose(upright, [[30, 50], [70, 50], [70, 70], [30, 70]], atol=1e-12)
    np.testing.assert_allclose(turned, [[60, 40], [60, 80], [40, 80], [40, 40]], atol=1e-12)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e5])
def test_rectangles_come_back(scale: float) -> None:
    rng = np.random.default_rng(0)
    centres = rng.uniform(-10, 10, (400, 2)) * scale
    sizes = rng.uniform(0.001, 1, (400, 2)) * scale
    quads = rectangle_quads(centres, sizes, rng.uniform(-7, 7, 400))
    rectangles = enclosing_rectangles(quads)
    a, b = shapely.polygons(quads), shapely.polygons(rectangle_quads(*rectangles))
    assert (shapely.area(shapely.intersection(a, b)) / shapely.area(shapely.union(a, b))).min() > 0.9999
    assert (rectangles.sizes[:, 0] >= rectangles.sizes[:, 1]).all()
    assert ((rectangles.radians >= 0) & (rectangles.radians < math.pi)).all()
    assert count_other_quads(quads, rectangles) == 0


def test_other_quads_are_counted() -> None:
    quads = np.array([[[0, 0], [10, 0], [10, 10], [0, 10]], [[0, 0], [10, 0], [9, 10], [0, 10]]], np.float64)
    assert count_other_quads(quads, enclosing_rectangles(quads)) == 1


def test_no_quads() -> None:
    none = np.zeros((0, 4, 2))
    rectangles = enclosing_rectangles(none)
    assert rectangle_quads(*rectangles).shape == (0, 4, 2)
    assert count_other_quads(none, rectangles) == 0
