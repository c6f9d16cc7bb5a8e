"""AP against hand-made curves and a slow integral."""

import numpy as np
import pytest

from evalR.scoring.average_precision import METRICS, average_precision, precision_recall


def test_curve_by_hand() -> None:
    true = np.array([True, False, False, True])
    false = np.array([False, True, False, False])  # the third is neither
    precision, recall = precision_recall(true, false, 4)
    np.testing.assert_allclose(precision, [1, 1 / 2, 1 / 2, 2 / 3])
    np.testing.assert_allclose(recall, [1 / 4, 1 / 4, 1 / 4, 2 / 4])
    assert average_precision(recall, precision, "voc12") == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    # Recall 0, .1, .2 reach precision 1; .3, .4, .5 reach 2/3.
    assert average_precision(recall, precision, "voc07") == pytest.approx((3 + 3 * 2 / 3) / 11)


def test_first_detection_on_difficult_divides_by_nothing() -> None:
    precision, _ = precision_recall(np.array([False]), np.array([False]), 1)
    assert precision.tolist() == [0.0]


@pytest.mark.parametrize("seed", range(3))
def test_all_points_is_the_integral_of_the_best_precision(seed: int) -> None:
    true = np.random.default_rng(seed).random(50) < 0.6
    precision, recall = precision_recall(true, ~true, 60)
    levels = (np.arange(6000) + 0.5) / 6000
    slow = np.mean(
        [max([p for p, r in zip(precision, recall, strict=True) if r >= x], default=0) for x in levels]
    )
    assert average_precision(recall, precision, "voc12") == pytest.approx(slow, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_limits(metric: str) -> None:
    none = np.zeros(0, dtype=bool)
    precision, recall = precision_recall(none, none, 3)
    assert average_precision(recall, precision, metric) == 0.0
    precision, recall = precision_recall(np.ones(3, dtype=bool), np.zeros(3, dtype=bool), 3)
    assert average_precision(recall, precision, metric) == pytest.approx(1.0)


def test_unknown_metric_is_named() -> None:
    with pytest.raises(ValueError, match="expected one of voc07, voc12, got 'coco'"):
        average_precision(np.zeros(1), np.zeros(1), "coco")
