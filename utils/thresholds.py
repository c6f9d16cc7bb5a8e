"""Score thresholds: in words, and one per class."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from utils.errors import UserError

OTHERS = "*"  # the key of all classes that have no threshold of their own
Threshold = float | Mapping[str, float] | str  # of all classes, by class name, or in words already


def threshold_text(threshold: Threshold) -> str:
    """Return what a picture says about the detections that it shows.

    >>> threshold_text(0.3)
    'score >= 0.30'
    >>> threshold_text({"ship": 0.42, "plane": 0.71})
    'score >= 0.42-0.71, by class'
    """
    if isinstance(threshold, str):
        return threshold
    if not isinstance(threshold, Mapping):
        return f"score >= {_number(threshold)}"
    if not threshold:
        return "all scores"
    low, high = (f"{value:.2f}" for value in (min(threshold.values()), max(threshold.values())))
    return f"score >= {low}" if low == high else f"score >= {low}-{high}, by class"


def _number(value: float) -> str:
    """Return a number with two decimals, or with three where two would say another one."""
    return f"{value:.2f}" if abs(value - round(value, 2)) < 5e-4 else f"{value:.3f}"


def thresholds_by_class(
    said: float | Mapping[str, float] | None,
    learned: Mapping[str, float] | None,
    classes: Sequence[str],
    default: float,
) -> float | dict[str, float]:
    """Return one threshold where one is said for all, else one for each class: as said, else as learned.

    Args:
        said: by the settings (`predict.score_threshold`).
        learned: those of the best F1, by class and under `*`; a class without one, nor `*`, has the default.

    Raises:
        UserError: a threshold of no class.
    """
    if isinstance(said, int | float):
        return said
    chosen, known = said or {}, learned or {}
    unknown = [name for name in chosen if name not in (*classes, OTHERS)]
    if unknown:
        raise UserError(f"predict.score_threshold: {unknown[0]!r} is none of {', '.join(classes)}")
    by_default = {name: known.get(name, known.get(OTHERS, default)) for name in classes}
    return {name: chosen.get(name, chosen.get(OTHERS, by_default[name])) for name in classes}


def reaches(
    scores: NDArray[np.floating], labels: NDArray[np.int64], least: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return which scores (K,) are at least the threshold (C,) of their class.

    In the type of the scores: 0.3 in float32 is a little more than in float64.
    """
    return np.asarray(scores >= least.astype(scores.dtype)[labels])


def least_scores(threshold: Threshold, classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the threshold of each class (C,), that of `*` where it has none of its own.

    0 where none is known, or it has been applied already.
    """
    if isinstance(threshold, str):
        return np.zeros(len(classes))
    if isinstance(threshold, Mapping):
        others = threshold.get(OTHERS, 0.0)
        return np.array([threshold.get(name, others) for name in classes], np.float64)
    return np.full(len(classes), threshold, np.float64)
