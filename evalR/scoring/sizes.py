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


class Contenders(NamedTuple):
    """What COCO's matching looks at: D detections, G ground truths, P pairs of one image and class."""

    rows: I64  # (K,) detections, highest score first within an image and class, at most MAX_DETECTIONS each
    ranks: I64  # (D,) the place of each in its image and class by score, from 0
    pairs: tuple[I64, I64, F64]  # (D + 1,) where those of a detection begin; (P,) ground truths; (P,) IoUs
    areas: F64  # (G,) of the ground truths
    found_areas: F64  # (D,)


def find_contenders(scored: Scored) -> Contenders:
    """Return what the matching looks at, whatever the range of areas."""
    found, truth = scored.found, scored.truth
    order, places = by_rank(found)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = places
    pairs = scored.pairs.take(of_one_class(found, truth, scored.pairs))
    first_pairs = np.searchsorted(pairs.found, np.arange(len(found.labels) + 1))
    areas, found_areas = shape_areas(truth.shapes), shape_areas(found.shapes)
    rows = order[places < MAX_DETECTIONS]
    return Contenders(rows, ranks, (first_pairs, pairs.truth, pairs.iou), areas, found_areas)


class RangeVerdicts(NamedTuple):
    """Detections judged for one range of areas at T thresholds."""

    verdicts: I8  # (T, D) TRUE, FALSE or NEITHER; NEITHER beyond MAX_DETECTIONS
    overlaps: F64  # (T, D) IoU with the ground truth that was taken, 0 without
    counted: I64  # (C,) ground truths that count


def judge_range(
    scored: Scored, contenders: Contenders, area: Range, thresholds: Sequence[float]
) -> RangeVerdicts:
    """Match for one range of areas at each of the thresholds."""
    truth, shape = scored.truth, (len(thresholds), len(scored.found.labels))
    outside = [(a < area.least) | (a > area.most) for a in (contenders.areas, contenders.found_areas)]
    ignored = truth.difficult | outside[0]
    verdicts, overlaps = np.full(shape, NEITHER, np.int8), np.zeros(shape)
    kinds = (ignored, truth.difficult, outside[1])
    least = np.minimum(np.array(thresholds), 1 - ROUNDING)
    take_free(contenders.rows, contenders.pairs, kinds, least, (verdicts, overlaps))
    counted = np.bincount(truth.labels[~ignored], minlength=len(scored.classes))
    return RangeVerdicts(verdicts, overlaps, counted)


def score_sizes(scored: Scored, contenders: Contenders, ranges: Sequence[Range]) -> list[SizeResult]:
    """Return AP and recall for each range of areas, over the thresholds of the result."""
    results = []
    for area in ranges:
        judged = judge_range(scored, contenders, area, scored.result.thresholds)
        results.append(curve_figures(scored, judged))
    return results


def by_rank(found: Found) -> tuple[I64, I64]:
    """Return the rows by image, class and falling score, and the place of each in its image and class."""
    order = np.lexsort((-found.scores, found.labels, found.images))
    images, labels = found.images[order], found.labels[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (images[1:] != images[:-1]) | (labels[1:] != labels[:-1])
    first = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    return order, np.arange(len(order)) - first


def curve_figures(scored: Scored, judged: RangeVerdicts) -> SizeResult:
    """Return AP and the highest recall of each class at each threshold."""
    counted, starts = judged.counted, scored.matches.starts
    verdicts = judged.verdicts[:, scored.matches.order]
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
    rows: I64,
    pairs: tuple[I64, I64, F64],
    kinds: tuple[Bools, Bools, Bools],
    thresholds: F64,
    results: tuple[I8, F64],
) -> None:
    """Match detections greedily to free ground truths and write what became of them.

    Args:
        rows: the detections, highest score first within an image and class.
        pairs: (D + 1,) where the pairs of each detection begin; ground truths and IoUs of the pairs.
        kinds: ground truths (G,) that are ignored, taken only where no counted one is free; those of them
            that are never taken up; detections (D,) that do not count when on nothing.
        results: TRUE, FALSE or NEITHER, and the IoU with what was taken; (T, D) each, written for `rows`.
    """
    (first_pairs, truths, ious), (ignored, crowd, outside) = pairs, kinds
    verdicts, overlaps = results
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
                overlaps[column, found] = best_iou
