"""Scores beside precision, by hand."""

import numpy as np
import pytest

from evalR.scoring.calibration import BINS, calibrate
from evalR.scoring.matching import FALSE, NEITHER, TRUE


def test_two_bins() -> None:
    scores = np.array([0.01, 0.03, 1.0, 0.99, 0.5])
    verdicts = np.array([FALSE, TRUE, TRUE, TRUE, NEITHER], np.int8)
    found = calibrate(scores, verdicts)
    assert found.counts[[0, -1]].tolist() == [2, 2]
    assert found.counts.sum() == 4
    assert found.scores[[0, -1]].tolist() == pytest.approx([0.02, 0.995])
    assert found.precision[[0, -1]].tolist() == [0.5, 1.0]
    assert found.error == pytest.approx((2 * 0.48 + 2 * 0.005) / 4)


def test_nothing_and_no_probabilities() -> None:
    found = calibrate(np.zeros(0), np.zeros(0, np.int8))
    assert found.counts.tolist() == [0] * BINS
    assert np.isnan(found.error)
    with pytest.raises(ValueError, match="expected 0 to 1, got 0 to 3"):
        calibrate(np.array([0.0, 3.0]), np.zeros(2, np.int8))
