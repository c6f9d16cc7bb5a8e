"""COCO's and AI-TOD's figures over all sizes: AP25, average recall (AR), optimal LRP.  Source: spec 8.3.

The matching is that of `sizes`, in which the detections of an image and class come by falling score: what one
of them takes does not depend on those after it.  So one matching serves every number of detections.

LRP (localisation recall precision; Oksuz et al., ECCV 2018, arXiv:1807.01696) is an error from 0 to 1 of the
detections from a score on: with TP, FP and FN at an IoU of 0.5,

    LRP = (sum over the true ones of (1 - IoU) / (1 - 0.5) + FP + FN) / (TP + FP + FN)

and its optimum is that of the best score of each class.
"""

from typing import NamedTuple

import numpy as np

from evalR.scoring.columns import Bools
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import FALSE, RIGHT_IOU, TRUE
from evalR.scoring.sizes import (
    MAX_DETECTIONS,
    WHOLE,
    Contenders,
    RangeVerdicts,
    curve_figures,
    judge_range,
)
from utils.arrays import F64

LIMITS = (1, 100, MAX_DETECTIONS)  # detections of an image and class
LOW_IOU = 0.25  # of AP25, which AI-TOD's tool names and never computes


class OptimalLrp(NamedTuple):
    """The least LRP of each class, (C,) each.

    NaN without ground truth.  Where no cut leaves a true detection, none is kept: LRP and false negatives are
    1, the others NaN.
    """

    total: F64
    localisation: F64  # mean of 1 - IoU of the true ones
    false_positives: F64  # share of the detections, 1 - precision
    false_negatives: F64  # share of the objects, 1 - recall
    score: F64  # detections from it on are kept


class CocoFigures(NamedTuple):
    """Figures of C classes, NaN without ground truth."""

    ap25: F64  # (C,)
    recalls: F64  # (len(LIMITS), C) the highest recall, its mean over the thresholds of the result
    lrp: OptimalLrp


def score_coco(scored: Scored, contenders: Contenders) -> CocoFigures:
    """Return the figures over objects of all sizes."""
    judged = judge_range(scored, contenders, WHOLE, [LOW_IOU, RIGHT_IOU])
    every = judge_range(scored, contenders, WHOLE, scored.result.thresholds)
    return CocoFigures(
        curve_figures(scored, judged).ap[:, 0],
        np.stack([_recall(scored, every, contenders.ranks < limit) for limit in LIMITS]),
        _optimal_lrp(scored, judged, 1),
    )


def _recall(scored: Scored, judged: RangeVerdicts, kept: Bools) -> F64:
    """Return the recall of some of the detections, its mean over the thresholds, (C,)."""
    classes, labels = len(scored.classes), scored.found.labels
    hits = np.array([np.bincount(labels[(row == TRUE) & kept], minlength=classes) for row in judged.verdicts])
    objects = np.where(judged.counted > 0, judged.counted, np.nan)
    return np.asarray(hits.mean(axis=0) / objects)


def _optimal_lrp(scored: Scored, judged: RangeVerdicts, column: int) -> OptimalLrp:
    table = np.full((len(OptimalLrp._fields), len(scored.classes)), np.nan)
    starts = scored.matches.starts
    for label in np.flatnonzero(judged.counted).tolist():
        rows = scored.matches.order[starts[label] : starts[label + 1]]
        verdicts, overlaps = judged.verdicts[column, rows], judged.overlaps[column, rows]
        ranking = (scored.found.scores[rows], verdicts == TRUE, verdicts == FALSE)
        table[:, label] = least_lrp(ranking, overlaps, int(judged.counted[label]))
    return OptimalLrp(*table)


def least_lrp(
    ranking: tuple[F64, Bools, Bools], overlaps: F64, objects: int
) -> tuple[float, float, float, float, float]:
    """Return the fields of `OptimalLrp` for one class.

    Detections of equal scores are kept or dropped together; of equal LRP the highest score is taken.

    Args:
        ranking: scores, highest first; which detections are true, and which false; (D,) each.
        overlaps: (D,) IoU of the true ones.
        objects: how many could be found, at least 1.
    """
    scores, true, false = ranking
    hits, misses = np.cumsum(true), np.cumsum(false)
    lost = np.cumsum(np.where(true, 1 - overlaps, 0.0))
    total = (lost / (1 - RIGHT_IOU) + misses + objects - hits) / (objects + misses)
    total[:-1][scores[:-1] == scores[1:]] = np.inf
    best = int(total.argmin()) if len(total) else 0
    if not len(total) or not hits[best]:
        return 1.0, np.nan, np.nan, 1.0, np.nan
    kept = hits[best]
    wrong = misses[best] / (kept + misses[best])
    return float(total[best]), lost[best] / kept, wrong, 1 - kept / objects, float(scores[best])
