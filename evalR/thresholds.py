"""Score thresholds of the classes: those of the best F1 that a checkpoint has, and those of the settings."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from cfg.schema import PredictConfig
from evalR.best_f1 import best_f1, pooled_best_score
from evalR.evaluate import Scored
from evalR.matching import judge
from utils.errors import UserError

DEFAULT = 0.3  # where neither the settings nor the checkpoint say one
OTHERS = "*"  # the key of all classes that have no threshold of their own
FEW = 10  # objects; the best cut of fewer is chance, that of all classes serves them better
CUT = 0.5  # IoU from which a detection is right


def best_thresholds(scored: Scored) -> dict[str, float]:
    """Return the score of the highest F1 at an IoU of 0.5 for each class, and under `*` for all together.

    Classes with fewer than 10 objects, or never found, have none of their own; without detections none has.
    """
    verdicts = judge(scored.matches, CUT)
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


def threshold_text(thresholds: Sequence[float]) -> str:
    """Return the thresholds of the classes in words for a line or a picture."""
    low, high = min(thresholds), max(thresholds)
    return f"score >= {low:.2f}" if low == high else f"score >= {low:.2f} to {high:.2f} by class"


def with_thresholds(predict: PredictConfig, learned: Mapping[str, float] | None) -> PredictConfig:
    """Return the settings with the thresholds that a checkpoint has, unless they say some."""
    if predict.score_threshold is not None or not learned:
        return predict
    return predict.model_copy(update={"score_threshold": dict(learned)})


def thresholds_of(predict: PredictConfig, classes: Sequence[str]) -> Tensor:
    """Return the least score that is shown of each class (C,), float32.

    Raises:
        UserError: a threshold of no class.
    """
    chosen = predict.score_threshold
    if chosen is None:
        chosen = DEFAULT
    if not isinstance(chosen, dict):
        return torch.full((len(classes),), chosen)
    unknown = [name for name in chosen if name not in (*classes, OTHERS)]
    if unknown:
        raise UserError(f"predict.score_threshold: {unknown[0]!r} is none of {', '.join(classes)}")
    return torch.tensor([chosen.get(name, chosen.get(OTHERS, DEFAULT)) for name in classes])
