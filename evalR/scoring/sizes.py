"""AP by the size of the objects, as COCO and AI-TOD count it.  Source: spec 8.3.

Not the matching of DOTA: per threshold, detections in the order of their scores take the free ground truth
that they overlap most.  Ground truth outside the range of areas is ignored, and so are detections on it, and
those on nothing whose own area is outside.  The recall is read at 101 points.  A difficult ground truth may
be found any number of times, as COCO's crowds may.  Both ends of a range belong to it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalR.scoring.average_precision import average_precision_101, precision_recall
from evalR.scoring.columns import Bools, Found, shape_areas
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import FALSE, I8, NEITHER, TRUE, of_one_class
from utils.arrays import F64, I64
from utils.kernels import kernel

MAX_DETECTIONS = 1500  # of an image and class, those of the highest scores; AI-TOD's, COCO has 100
ROUNDING = 1e-10  # an IoU of 1 meets a threshold of 1


class Range(NamedTuple):
    """Areas in square pixels, both ends included."""

    least: float
    most: float


WHOLE = Range(0.0, 1e10)
COCO = {"all": WHOLE, "small": Range(0, 32**2), "medium": Range(32**2, 96**2), "large": Range(96**2, 1e10)}
AI_TOD = {
    "very_tiny": Range(0, 8**2),
    "tiny": Range(8**2, 16**2),
    "small": Range(16**2, 32**2),
    "medium": Range(32**2, 1e10),
}
TABLES = {"coco": COCO, "ai_tod": AI_TOD}


class SizeResult(NamedTuple):
    """What was found of one range; C classes, T thresholds."""

    ap: F64  # (C, T), NaN without ground truth of that size
    recall: F64  # (C, T) the highest reached, NaN likewise
    objects: I64  # (C,) ground truths that count


def score_sizes(scored: Scored, ranges: Sequence[Range]) -> list[SizeResult]:
    """Return AP and recall for each range of areas, over the thresholds of the result."""
    found, truth = scored.found, scored.truth
    rows = best_of_images(found, MAX_DETECTIONS)
    pairs = scored.pairs.take(of_one_class(found, truth, scored.pairs))
    first_pairs = np.searchsorted(pairs.found, np.arange(len(found.labels) + 1))
    areas, found_areas = shape_areas(truth.shapes), shape_areas(found.shapes)
    thresholds = np.minimum(np.array(scored.result.thresholds), 1 - ROUNDING)
    results = []
    for least, most in ranges:
        ignored = truth.difficult | (areas < least) | (areas > most)
        outside = (found_areas < least) | (found_areas > most)
        verdicts = np.full((len(thresholds), len(found.labels)), NEITHER, np.int8)
        kinds = (ignored, truth.difficult, outside)
        take_free(rows, (first_pairs, pairs.truth, pairs.iou), kinds, thresholds, verdicts)
        counted = np.bincount(truth.labels[~ignored], minlength=len(scored.classes))
        results.append(_to_result(verdicts[:, scored.matches.order], scored.matches.starts, counted))
    return results


def best_of_images(found: Found, most: int) -> I64:
    """Return the rows of the `most` highest scores of each image and class, in that order."""
    order = np.lexsort((-found.scores, found.labels, found.images))
    images, labels = found.images[order], found.labels[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (images[1:] != images[:-1]) | (labels[1:] != labels[:-1])
    first = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    return order[np.arange(len(order)) - first < most]


def _to_result(verdicts: I8, starts: I64, counted: I64) -> SizeResult:
    """Return the figures of verdicts (T, D) by class and falling score; `starts`: where the classes begin."""
    ap, best = (np.full((len(counted), len(verdicts)), np.nan) for _ in range(2))
    for label in np.flatnonzero(counted).tolist():
        own = verdicts[:, starts[label] : starts[label + 1]]
        for column, row in enumerate(own):
            precision, recall = precision_recall(row == TRUE, row == FALSE, int(counted[label]))
            ap[label, column] = average_precision_101(recall, precision)
            best[label, column] = recall.max(initial=0.0)
    return SizeResult(ap, best, counted)


@kernel
def take_free(
    rows: I64, pairs: tuple[I64, I64, F64], kinds: tuple[Bools, Bools, Bools], thresholds: F64, verdicts: I8
) -> None:
    """Match detections greedily to free ground truths; write TRUE, FALSE or NEITHER to `verdicts` (T, D).

    Args:
        rows: the detections, highest score first within an image and class.
        pairs: (D + 1,) where the pairs of each detection begin; ground truths and IoUs of the pairs.
        kinds: ground truths (G,) that are ignored, taken only where no counted one is free; those of them
            that are never taken up; detections (D,) that do not count when on nothing.
    """
    (first_pairs, truths, ious), (ignored, crowd, outside) = pairs, kinds
    for column in range(len(thresholds)):
        taken = np.zeros(len(ignored), dtype=np.bool_)
        for found in rows:
            best, best_iou = -1, thresholds[column]
            for k in range(first_pairs[found], first_pairs[found + 1]):
                truth = truths[k]
                if (taken[truth] and not crowd[truth]) or ious[k] < thresholds[column]:
                    continue
                if best >= 0 and (
                    ignored[truth] > ignored[best] or (ignored[truth] == ignored[best] and ious[k] < best_iou)
                ):
                    continue
                best, best_iou = truth, ious[k]
            if best < 0:
                verdicts[column, found] = NEITHER if outside[found] else FALSE
            else:
                taken[best] = True
                verdicts[column, found] = NEITHER if ignored[best] else TRUE
