"""Confusion matrix of the classes and the background."""

import numpy as np

from evalR.scoring.columns import Bools
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import I8, NEITHER, TRUE
from utils.arrays import F64, I64


def confusion_matrix(scored: Scored, verdicts: I8, threshold: float, least: F64) -> I64:
    """Return the confusion matrix, truth by detected class, (C + 1, C + 1); last: background.

    True detections of DOTA's matching stand on the diagonal.  What is left, detections and ground truths, is
    paired across classes by falling IoU, strictly above the threshold; the rest is background.  Detections on
    difficult ground truth of their class and difficult ground truth do not appear.

    Args:
        verdicts: (D,) what the detections are at the threshold, see `judge`.
        least: (C,) the score from which detections of each class count; NaN: none of them.
    """
    found, truth, classes = scored.found, scored.truth, len(scored.classes)
    shown = found.scores >= least[found.labels]
    true = shown & (verdicts == TRUE)
    free_found = shown & ~true & (verdicts != NEITHER)
    free_truth = ~truth.difficult
    free_truth[scored.matches.best_truth[true]] = False
    table = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(table, (found.labels[true], found.labels[true]), 1)
    rows, columns = _pair_rest(scored, free_found, free_truth, threshold)
    np.add.at(table, (truth.labels[columns], found.labels[rows]), 1)
    free_found[rows], free_truth[columns] = False, False
    table[classes, :classes] = np.bincount(found.labels[free_found], minlength=classes)
    table[:classes, classes] = np.bincount(truth.labels[free_truth], minlength=classes)
    return table


def _pair_rest(scored: Scored, found: Bools, truth: Bools, threshold: float) -> tuple[I64, I64]:
    """Return free detections and free ground truths of different classes, paired by falling IoU."""
    pairs = scored.pairs
    other = scored.found.labels[pairs.found] != scored.truth.labels[pairs.truth]
    pairs = pairs.take(other & found[pairs.found] & truth[pairs.truth] & (pairs.iou > threshold))
    rows: dict[int, int] = {}
    taken: set[int] = set()
    for k in np.argsort(-pairs.iou, kind="stable").tolist():
        row, column = int(pairs.found[k]), int(pairs.truth[k])
        if row not in rows and column not in taken:
            rows[row] = column
            taken.add(column)
    return np.array(list(rows), np.int64), np.array(list(rows.values()), np.int64)
