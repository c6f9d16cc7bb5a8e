"""The confusion matrix, by hand."""

import numpy as np

from evalR.scoring.confusion import confusion_matrix
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import judge
from tests.evalR.small_scenes import scene, square


def table(scored: Scored, least: tuple[float, float] = (0.0, 0.0)) -> list[list[int]]:
    verdicts = judge(scored.matches, 0.5)
    return confusion_matrix(scored, verdicts, 0.5, np.array(least)).tolist()


def test_every_place() -> None:
    found = [
        (square(0), 0, 0.9),  # right
        (square(40), 1, 0.8),  # an a taken for a b
        (square(41), 1, 0.7),  # once more: background
        (square(80), 0, 0.6),  # nothing there
    ]
    truth = [(square(0), 0), (square(40), 0), (square(120), 1)]
    assert table(scene(found, truth)) == [[1, 1, 0], [0, 0, 1], [1, 1, 0]]


def test_low_scores_do_not_appear() -> None:
    found = [(square(0), 0, 0.9), (square(40), 1, 0.2)]
    assert table(scene(found, [(square(0), 0), (square(40), 1)]), (0.5, 0.5)) == [
        [1, 0, 0],
        [0, 0, 1],
        [0, 0, 0],
    ]
    assert table(scene(found, []), (np.nan, 0.0)) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_difficult_objects_do_not_appear() -> None:
    found = [(square(0), 0, 0.9), (square(0), 1, 0.8)]
    assert table(scene(found, [(square(0), 0)], difficult=(0,))) == [[0, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_across_classes_the_closest_are_paired() -> None:
    found = [(square(2), 1, 0.9), (square(0), 1, 0.8)]
    assert table(scene(found, [(square(0), 0)])) == [[0, 1, 0], [0, 0, 0], [0, 1, 0]]
    scored = scene(found, [(square(0), 0), (square(2.5), 0)])
    assert table(scored) == [[0, 2, 0], [0, 0, 0], [0, 0, 0]]


def test_nothing() -> None:
    assert table(scene([], [])) == [[0, 0, 0]] * 3
