"""Score thresholds of the classes: those of the best F1 that a checkpoint has, and those of the settings."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cfg.predict import DEFAULT_THRESHOLD, PredictConfig
from evalR.best_f1 import best_f1, pooled_best_score
from evalR.evaluate import Scored
from evalR.matching import RIGHT_IOU, judge
from utils.errors import UserError
from utils.thresholds import OTHERS

FEW = 10  # objects; the best cut of fewer is chance, that of all classes serves them better


def best_thresholds(scored: Scored) -> dict[str, float]:
    """Return the score threshold of the best F1 at an IoU of 0.5 of each class, under `*` of all together.

    Classes with fewer than 10 objects, or never found, have none of their own; without detections none has.
    """
    verdicts = judge(scored.matches, RIGHT_IOU)
    pooled = pooled_best_score(scored.found, scored.matches, verdicts)
    if pooled is None:
        return {}
    scores = best_f1(scored.found, scored.matches, verdicts).score
    own = np.isfinite(scores) & (scored.matches.counted >= FEW)
    names = zip(scored.classes, scores.tolist(), own.tolist(), strict=True)
    return {OTHERS: _cut(pooled)} | {name: _cut(score) for name, score, known in names if known}


def _cut(score: float) -> float:
    """Return the score to four digits, rounded down: another order of the same sums must drop nothing."""
    return math.floor(score * 1e4) / 1e4


def with_thresholds(
    predict: PredictConfig, learned: Mapping[str, float] | None, classes: Sequence[str]
) -> PredictConfig:
    """Return the settings with a threshold for each class: what they say, else what a checkpoint has.

    Args:
        learned: as `best_thresholds` returns them; a class without one, nor `*`, has 0.3.

    Raises:
        UserError: a threshold of no class.
    """
    chosen = predict.score_threshold
    if isinstance(chosen, float):
        return predict
    said, known = chosen or {}, learned or {}
    unknown = [name for name in said if name not in (*classes, OTHERS)]
    if unknown:
        raise UserError(f"predict.score_threshold: {unknown[0]!r} is none of {', '.join(classes)}")
    default = {name: known.get(name, known.get(OTHERS, DEFAULT_THRESHOLD)) for name in classes}
    every = {name: said.get(name, said.get(OTHERS, default[name])) for name in classes}
    return predict.model_copy(update={"score_threshold": every})
