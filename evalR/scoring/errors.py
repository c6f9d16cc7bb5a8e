"""Error analysis: kinds of false detections and of missed truths, and what each costs in mAP.

Kinds and costs after TIDE (arXiv:2008.08115): the cost of a kind is what the mAP gains when it alone is
mended.
"""

from typing import NamedTuple

import numpy as np

from evalR.scoring.average_precision import average_precision, precision_recall
from evalR.scoring.columns import Bools
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import FALSE, I8, TRUE, best_of, of_one_class
from utils.arrays import I64

NEAR = 0.1  # IoU from which a false detection means a ground truth at all; TIDE's
RIGHT = -1
ERROR_KINDS = ("class", "localisation", "both", "duplicate", "background")
CLASS, LOCALISATION, BOTH, DUPLICATE, BACKGROUND = range(len(ERROR_KINDS))
MISSED = "missed"


class Errors(NamedTuple):
    """Errors at one IoU threshold."""

    kinds: I8  # (D,) place in ERROR_KINDS; RIGHT where nothing is
    meant: I64  # (D,) the ground truth that a mended detection would find; -1: none
    missed: Bools  # (G,) neither found nor meant by a detection of the kinds class and localisation


def find_errors(scored: Scored, verdicts: I8, threshold: float) -> Errors:
    """Return the kind of each error; t is the threshold, `own` the best IoU with ground truth of its class.

    duplicate: own above t, the truth is taken by a higher score.  class: above t with one of another class.
    localisation: own from 0.1 on.  both: from 0.1 on with one of another class.  background: all below 0.1.
    The first that holds counts.
    """
    found, truth, matches = scored.found, scored.truth, scored.matches
    across = scored.pairs.take(~of_one_class(found, truth, scored.pairs))
    other_iou, other_truth = best_of(across, len(found.labels))
    own = matches.best_iou
    tests = [other_iou > threshold, own >= NEAR, other_iou >= NEAR]
    kinds = np.select([own > threshold, *tests], [DUPLICATE, CLASS, LOCALISATION, BOTH], BACKGROUND)
    kinds = np.where(verdicts == FALSE, kinds, RIGHT).astype(np.int8)
    meant = np.select([kinds == CLASS, kinds == LOCALISATION], [other_truth, matches.best_truth], -1)
    missed = ~truth.difficult
    missed[matches.best_truth[verdicts == TRUE]] = False
    missed[meant[meant >= 0]] = False
    return Errors(kinds, meant, missed)


def error_costs(scored: Scored, verdicts: I8, errors: Errors) -> dict[str, float]:
    """Return the cost of each kind of error: the rise of the mAP (all-point) without it; NaN without truth.

    Of the kinds class and localisation the best detection that means a truth which nothing has found becomes
    true; the others, and all errors of other kinds, vanish.  Missed truths vanish, and a class of which
    nothing is left has AP 1.
    """
    matches, true, false = scored.matches, verdicts == TRUE, verdicts == FALSE
    before = _mean_ap(scored, matches.labels, true, false, matches.counted)
    costs = {}
    for kind, name in enumerate(ERROR_KINDS):
        wrong = errors.kinds == kind
        mended = _mended(scored, true, wrong, errors.meant)
        labels = matches.labels.copy()
        labels[mended] = scored.truth.labels[errors.meant[mended]]
        costs[name] = _mean_ap(scored, labels, true | mended, false & ~wrong, matches.counted) - before
    left = matches.counted - kind_counts(scored, errors)[-1]
    return costs | {MISSED: _mean_ap(scored, matches.labels, true, false, left) - before}


def _mended(scored: Scored, true: Bools, wrong: Bools, meant: I64) -> Bools:
    """Return which of the wrong detections become true."""
    taken = scored.truth.difficult.copy()
    taken[scored.matches.best_truth[true]] = True
    rows = np.argsort(-scored.found.scores, kind="stable")
    rows = rows[(wrong & (meant >= 0))[rows]]
    rows = rows[~taken[meant[rows]]]
    _, first = np.unique(meant[rows], return_index=True)
    mended = np.zeros(len(wrong), np.bool_)
    mended[rows[first]] = True
    return mended


def _mean_ap(scored: Scored, labels: I64, true: Bools, false: Bools, counted: I64) -> float:
    """Return the mean AP over the classes that had ground truth in the first place."""
    used = np.flatnonzero(true | false)
    rows = used[np.lexsort((-scored.found.scores[used], labels[used]))]
    starts = np.searchsorted(labels[rows], np.arange(len(counted) + 1))
    values: list[float] = []
    for label in np.flatnonzero(scored.matches.counted):
        own = rows[starts[label] : starts[label + 1]]
        precision, recall = precision_recall(true[own], false[own], max(int(counted[label]), 1))
        values.append(average_precision(recall, precision, "voc12") if counted[label] else 1.0)
    return float(np.mean(values)) if values else float("nan")


def kind_counts(scored: Scored, errors: Errors) -> I64:
    """Return how many errors of each kind and class there are, (kinds + 1, C), the missed last."""
    classes = len(scored.classes)
    rows = [
        np.bincount(scored.found.labels[errors.kinds == kind], minlength=classes)
        for kind in range(len(ERROR_KINDS))
    ]
    return np.stack([*rows, np.bincount(scored.truth.labels[errors.missed], minlength=classes)])
