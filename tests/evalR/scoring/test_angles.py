"""Errors of direction, by hand."""

import math

import numpy as np
import pytest

from evalR.scoring.angles import angle_errors
from evalR.scoring.matching import judge
from tests.evalR.small_scenes import scene, square


def rectangle(width: float, height: float, degrees: float) -> list[list[float]]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [width / 2, height / 2]
    return (corners @ np.array([[cos, sin], [-sin, cos]])).tolist()


@pytest.mark.parametrize(
    ("sides", "first", "second", "expected"),
    [
        ((20, 10), 0, 10, 10),
        ((20, 10), 5, -5, 10),  # across 0
        ((20, 10), 175, 185, 10),
        ((10, 10.5), 0, 44, 44),
        ((10, 10.5), 0, 80, 10),  # nearly square: a quarter turn is no error
    ],
)
def test_angles(sides: tuple[float, float], first: float, second: float, expected: float) -> None:
    scored = scene([(rectangle(*sides, first), 0, 0.9)], [(rectangle(*sides, second), 0)])
    degrees, true = angle_errors(scored, judge(scored.matches, 0.5))
    assert degrees.tolist() == pytest.approx([expected])
    assert true.tolist() == [True]


def test_only_true_detections_count() -> None:
    scored = scene([(square(50), 0, 0.9)], [(square(0), 0)])
    degrees, true = angle_errors(scored, judge(scored.matches, 0.5))
    assert degrees.shape == (0,)
    assert true.tolist() == [False]
