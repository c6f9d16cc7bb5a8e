"""What pictures say about the scores of the detections that they show."""

import numpy as np
import pytest

from utils.thresholds import Threshold, least_scores, threshold_text


@pytest.mark.parametrize(
    ("threshold", "text"),
    [
        (0.3, "score >= 0.30"),
        (0, "score >= 0.00"),
        (0.125, "score >= 0.125"),
        ({"ship": 0.42, "plane": 0.71, "car": 0.5}, "score >= 0.42-0.71, by class"),
        ({"ship": 0.42, "plane": 0.4203}, "score >= 0.42"),
        ({}, "all scores"),
        ("the best of each class", "the best of each class"),
    ],
)
def test_words(threshold: Threshold, text: str) -> None:
    assert threshold_text(threshold) == text


def test_one_for_each_class() -> None:
    classes = ["ship", "plane", "car"]
    assert least_scores(0.3, classes).tolist() == [0.3, 0.3, 0.3]
    assert least_scores({"plane": 0.7, "ship": 0.2}, classes).tolist() == [0.2, 0.7, 0.0]
    assert least_scores("applied already", classes).tolist() == [0, 0, 0]
    assert np.array_equal(least_scores(0.3, []), [])
