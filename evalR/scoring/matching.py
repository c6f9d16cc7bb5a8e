"""Matching of each detection to its best ground truth, once for all thresholds.  Source: spec 8.1."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalR.scoring.columns import Bools, Found, Truth
from evalR.scoring.pairs import Pairs
from utils.arrays import F64, I64

I8 = NDArray[np.int8]
FALSE, TRUE, NEITHER = 0, 1, -1  # what a detection is
RIGHT_IOU = 0.5  # above it a detection is right, wherever figures are of one threshold


class Matches(NamedTuple):
    """The best ground truth of each of D detections."""

    labels: I64  # (D,)
    best_iou: F64  # (D,) with the best ground truth of the same image and class, 0 without
    best_truth: I64  # (D,) its row among the ground truths, -1 without
    difficult: Bools  # (G,) ground truths that do not count
    counted: I64  # (C,) ground truths of each class that count
    order: I64  # (D,) rows by class, highest score first, equal scores by row
    starts: I64  # (C + 1,) where the classes begin in `order`


def match(found: Found, truth: Truth, pairs: Pairs, classes: int) -> Matches:
    """Match every detection to the ground truth of its image and class that it overlaps most.

    The best ground truth is chosen before anyone asks whether it is taken, so a detection never falls
    through to its second best; ties go to the first.  The devkit's horizontal pre-filter is left out: it
    only drops pairs that share nothing.
    """
    best_iou, best_truth = best_of(pairs.take(of_one_class(found, truth, pairs)), len(found.labels))
    order = np.lexsort((-found.scores, found.labels))
    starts = np.searchsorted(found.labels[order], np.arange(classes + 1))
    counted = np.bincount(truth.labels[~truth.difficult], minlength=classes)
    return Matches(found.labels, best_iou, best_truth, truth.difficult, counted, order, starts)


def of_one_class(found: Found, truth: Truth, pairs: Pairs) -> Bools:
    """Return a mask of the pairs of one class, (P,)."""
    return np.asarray(found.labels[pairs.found] == truth.labels[pairs.truth])


def best_of(pairs: Pairs, detections: int) -> tuple[F64, I64]:
    """Return the highest IoU of each detection and its ground truth, the first of equals; 0, -1 without."""
    best_iou, best_truth = np.zeros(detections), np.full(detections, -1, dtype=np.int64)
    np.maximum.at(best_iou, pairs.found, pairs.iou)
    best = np.flatnonzero(pairs.iou == best_iou[pairs.found])[::-1]  # of equals the first is written last
    best_truth[pairs.found[best]] = pairs.truth[best]
    return best_iou, best_truth


def judge(matches: Matches, threshold: float) -> I8:
    """Return true positives, false positives and ignored detections as TRUE, FALSE and NEITHER, (D,).

    A detection whose best IoU is strictly above the threshold is true when it is the first, by score, on its
    ground truth and false when a later one; on a difficult ground truth it is neither.  All others are false.
    Equal scores keep the order of the images.
    """
    verdicts = np.zeros(len(matches.labels), dtype=np.int8)
    hit = matches.best_iou > threshold
    rows = matches.order[hit[matches.order]]
    on_difficult = matches.difficult[matches.best_truth[rows]]
    verdicts[rows[on_difficult]] = NEITHER
    counted = rows[~on_difficult]
    _, first = np.unique(matches.best_truth[counted], return_index=True)
    verdicts[counted[first]] = TRUE
    return verdicts
