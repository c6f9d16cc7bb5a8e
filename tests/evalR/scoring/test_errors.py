"""Each kind of error and its cost, by hand."""

import numpy as np
import pytest

from evalR.scoring.errors import ERROR_KINDS, Errors, error_costs, find_errors, kind_counts
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import judge
from tests.evalR.small_scenes import scene, square


def errors_of(scored: Scored) -> tuple[Errors, dict[str, float]]:
    verdicts = judge(scored.matches, 0.5)
    errors = find_errors(scored, verdicts, 0.5)
    return errors, error_costs(scored, verdicts, errors)


def names(errors: Errors) -> list[str]:
    return [ERROR_KINDS[kind] if kind >= 0 else "right" for kind in errors.kinds]


@pytest.mark.parametrize(
    ("shift", "label", "kind"),
    [
        (1, 1, "class"),  # IoU 9 / 11 with the object of the other class
        (6, 0, "localisation"),  # 4 / 16
        (6, 1, "both"),
        (9, 0, "background"),  # 1 / 19, below 0.1
        (50, 1, "background"),
        (1, 0, "right"),
    ],
)
def test_kinds_of_one_detection(shift: float, label: int, kind: str) -> None:
    errors, costs = errors_of(scene([(square(shift), label, 0.9)], [(square(0), 0)]))
    assert names(errors) == [kind]
    # what means the object covers it
    assert errors.missed.tolist() == [kind in ("both", "background")]
    expected = dict.fromkeys([*ERROR_KINDS, "missed"], 0.0)
    if kind in ("class", "localisation"):
        expected[kind] = 1.0
    elif kind != "right":
        expected["missed"] = 1.0  # nothing is left to be found
    assert costs == pytest.approx(expected)


def test_a_duplicate_costs_precision() -> None:
    found = [(square(0), 0, 0.9), (square(1), 0, 0.8), (square(40), 0, 0.7)]
    errors, costs = errors_of(scene(found, [(square(0), 0), (square(40), 0)]))
    assert names(errors) == ["right", "duplicate", "right"]
    assert costs["duplicate"] == pytest.approx(1.0 - (0.5 + 0.5 * 2 / 3))
    assert sum(costs.values()) == pytest.approx(costs["duplicate"])


def test_background_costs_precision() -> None:
    errors, costs = errors_of(scene([(square(50), 0, 0.9), (square(0), 0, 0.8)], [(square(0), 0)]))
    assert names(errors) == ["background", "right"]
    assert costs["background"] == pytest.approx(0.5)


def test_what_is_found_is_not_found_again() -> None:
    # the ill-placed one means an object that the second finds: mending it takes it away
    found = [(square(6), 0, 0.9), (square(0), 0, 0.8)]
    errors, costs = errors_of(scene(found, [(square(0), 0)]))
    assert names(errors) == ["localisation", "right"]
    assert costs["localisation"] == pytest.approx(0.5)
    assert not errors.missed.any()


def test_of_two_that_mean_one_object_the_better_is_mended() -> None:
    found = [(square(6), 0, 0.9), (square(5), 0, 0.8)]
    errors, costs = errors_of(scene(found, [(square(0), 0), (square(40), 0)]))
    assert names(errors) == ["localisation", "localisation"]
    assert errors.missed.tolist() == [False, True]
    assert costs["localisation"] == pytest.approx(0.5)


def test_a_wrong_class_moves_to_the_right_one() -> None:
    found = [(square(0), 1, 0.9), (square(40), 1, 0.8)]
    errors, costs = errors_of(scene(found, [(square(0), 0), (square(40), 1)]))
    assert names(errors) == ["class", "right"]
    assert costs["class"] == pytest.approx(1.0 - 0.25)  # AP 0 and 0.5 before, 1 and 1 after


def test_difficult_objects_are_no_errors() -> None:
    found = [(square(0), 0, 0.9), (square(0), 1, 0.8)]
    errors, costs = errors_of(scene(found, [(square(0), 0), (square(40), 0)], difficult=(0,)))
    assert names(errors) == ["right", "class"]  # the devkit counts the second as false
    assert errors.missed.tolist() == [False, True]
    assert costs["class"] == 0.0


def test_counts_by_class() -> None:
    scored = scene([(square(50), 1, 0.9)], [(square(0), 0)])
    errors, _ = errors_of(scored)
    table = kind_counts(scored, errors)
    assert table[ERROR_KINDS.index("background")].tolist() == [0, 1]
    assert table[-1].tolist() == [1, 0]
    assert table.sum() == 2


def test_nothing() -> None:
    errors, costs = errors_of(scene([], []))
    assert errors.kinds.shape == errors.missed.shape == (0,)
    assert np.isnan(list(costs.values())).all()
