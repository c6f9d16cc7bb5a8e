"""The best cut of each class, by hand."""

import numpy as np
import pytest

from evalR.scoring.best_f1 import BestF1, best_f1
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import judge
from tests.evalR.small_scenes import scene, square


def best(scored: Scored) -> BestF1:
    return best_f1(scored.found, scored.matches, judge(scored.matches, 0.5))


def test_the_best_cut() -> None:
    # precision 1, 1/2, 2/3, 1/2 and recall 1/2, 1/2, 1, 1: the third is best
    found = [(square(0), 0, 0.9), (square(80), 0, 0.8), (square(40), 0, 0.7), (square(120), 0, 0.6)]
    values = best(scene(found, [(square(0), 0), (square(40), 0)]))
    assert [float(column[0]) for column in values] == pytest.approx([0.8, 2 / 3, 1.0, 0.7])
    assert np.isnan([column[1] for column in values]).all()  # b: no ground truth


def test_equal_scores_stay_together() -> None:
    found = [(square(0), 0, 0.9), (square(80), 0, 0.9)]
    values = best(scene(found, [(square(0), 0), (square(0), 1)]))
    assert float(values.precision[0]) == 0.5
    assert [float(column[1]) for column in values[:3]] == [0.0, 0.0, 0.0]  # b: never found
    assert np.isnan(values.score[1])
