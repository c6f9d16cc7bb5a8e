"""AP by aspect ratio and by angle of the truth: the bins by hand, the figures against a fresh evaluation."""

import math

import numpy as np
import pytest

from evalR.scoring.columns import Truth
from evalR.scoring.evaluate import score, score_cuts
from evalR.scoring.shapes_of_truth import ANGLE_RANGES, ASPECT_RANGES, angle_bins, aspect_bins
from tests.evalR.small_scenes import CLASSES, scene, square


def rectangle(long: float, short: float, degrees: float) -> list[list[float]]:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    return [
        [50 + x * long / 2 * c - y * short / 2 * s, 50 + x * long / 2 * s + y * short / 2 * c]
        for x, y in corners
    ]


def truth_of(quads: list) -> Truth:
    zeros = np.zeros(len(quads), np.int64)
    return Truth(zeros, zeros, zeros.astype(bool), np.array(quads, float).reshape(-1, 4, 2))


@pytest.mark.parametrize(
    ("long", "name"), [(10, "1-1.5"), (15.1, "1.5-2"), (20.1, "2-3"), (49, "3-5"), (51, "5+"), (9e5, "5+")]
)
def test_aspects(long: float, name: str) -> None:
    bins = aspect_bins(truth_of([rectangle(long, 10, 20)]))
    assert [key for key, inside in zip(ASPECT_RANGES, bins, strict=True) if inside[0]] == [name]


@pytest.mark.parametrize(
    ("degrees", "name"), [(0, "0"), (14, "0"), (166, "0"), (179.9, "0"), (16, "30"), (90, "90"), (150, "150")]
)
def test_angles(degrees: float, name: str) -> None:
    bins = angle_bins(truth_of([rectangle(30, 10, degrees)]))
    assert [key for key, inside in zip(ANGLE_RANGES, bins, strict=True) if inside[0]] == [name]


def test_squares_have_no_angle_and_no_area_no_crash() -> None:
    truth = truth_of([square(0), [[5, 5]] * 4])
    assert not any(inside[0] for inside in angle_bins(truth))
    assert [int(inside.sum()) for inside in aspect_bins(truth)] == [1, 0, 0, 0, 1]
    assert [len(inside) for inside in (*angle_bins(truth_of([])), *aspect_bins(truth_of([])))] == [0] * 11


def test_cuts_equal_a_fresh_evaluation() -> None:
    rng = np.random.default_rng(0)
    truth = [(square(*rng.uniform(0, 60, 2)), int(rng.integers(2))) for _ in range(30)]
    found = [(square(*rng.uniform(0, 60, 2)), int(rng.integers(2)), rng.uniform()) for _ in range(60)]
    found += [(quad, label, rng.uniform()) for quad, label in truth for _ in range(2)]
    scored = scene(found, truth, (3, 4))
    cuts = [rng.uniform(size=30) < share for share in (0.0, 0.3, 1.0)]
    for inside, result in zip(cuts, score_cuts(scored, cuts), strict=True):
        fresh = scored.truth._replace(difficult=scored.truth.difficult | ~inside)
        expected = score(scored.found, fresh, CLASSES).result
        np.testing.assert_array_equal(result.ground_truths, expected.ground_truths)
        for metric, ap in expected.ap.items():
            np.testing.assert_array_equal(result.ap[metric], ap)


def test_nothing_at_all() -> None:
    (result,) = score_cuts(scene([], []), [np.zeros(0, bool)])
    assert np.isnan(result.ap["voc12"]).all()
    (result,) = score_cuts(scene([(square(0), 0, 0.5)], []), [np.zeros(0, bool)])
    assert result.ground_truths.tolist() == [0, 0]
