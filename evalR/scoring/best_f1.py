"""Best F1 of each class, and the score threshold that reaches it."""

import math
from typing import NamedTuple

import numpy as np

from evalR.scoring.average_precision import precision_recall
from evalR.scoring.columns import Found
from evalR.scoring.evaluate import Scored, class_curve
from evalR.scoring.matching import FALSE, I8, RIGHT_IOU, TRUE, Matches, judge
from utils.arrays import F64
from utils.thresholds import OTHERS

FEW = 10  # objects; the best cut of fewer is chance, that of all classes serves them better


class BestF1(NamedTuple):
    """One entry per class, (C,) each; NaN without ground truth, scores also without detections."""

    f1: F64
    precision: F64
    recall: F64
    score: F64  # detections from it on are kept


def best_f1(found: Found, matches: Matches, verdicts: I8) -> BestF1:
    """Return the highest F1 of each class and its score threshold.

    Detections of equal scores are kept or dropped together; of equal F1 the highest score is taken.
    """
    table = np.full((4, len(matches.counted)), np.nan)
    for label in np.flatnonzero(matches.counted).tolist():
        rows = matches.order[matches.starts[label] : matches.starts[label + 1]]
        precision, recall = class_curve(matches, verdicts, label)
        scores = found.scores[rows]
        f1 = _f1(precision, recall, scores)
        best = int(f1.argmax()) if len(rows) else -1
        table[:3, label] = (f1[best], precision[best], recall[best]) if len(rows) else 0.0
        table[3, label] = scores[best] if len(rows) else np.nan
    return BestF1(*table)


def pooled_best_score(found: Found, matches: Matches, verdicts: I8) -> float | None:
    """Return the score of the highest F1 of all classes together; None without detections or ground truth."""
    objects = int(matches.counted.sum())
    rows = np.argsort(-found.scores, kind="stable")
    if not objects or not len(rows):
        return None
    own, scores = verdicts[rows], found.scores[rows]
    precision, recall = precision_recall(own == TRUE, own == FALSE, objects)
    return float(scores[_f1(precision, recall, scores).argmax()])


def _f1(precision: F64, recall: F64, scores: F64) -> F64:
    """Return the F1 after each detection, -1 before one of the same score: equals cannot be cut apart."""
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-16)
    f1[:-1][scores[:-1] == scores[1:]] = -1.0
    return f1


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
