"""Bootstrap of AP over images: exactly that of repeated images, without repeating one.

The matching of an image does not depend on the others, so that a resample is a weight per image: how often it
was drawn.  Detections are sorted and judged once; each resample is one pass over them.
"""

from typing import NamedTuple

import numpy as np

from evalR.scoring.average_precision import Metric
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import FALSE, I8, TRUE, judge
from utils.arrays import F64, I64
from utils.kernels import kernel
from utils.progress import bar_over


class Ranking(NamedTuple):
    """D detections by class, highest score first, judged at T thresholds; G ground truths that count."""

    images: I64  # (D,)
    verdicts: I8  # (T, D)
    ends: I64  # (D,) the row after those of the same image, class and score
    starts: I64  # (C + 1,) where the classes begin
    truth_images: I64  # (G,)
    truth_labels: I64  # (G,)


def rank_detections(scored: Scored) -> Ranking:
    """Return the ranking of an evaluation: what resampling needs to know of it."""
    found, matches, counted = scored.found, scored.matches, ~scored.matches.difficult
    order = matches.order
    columns = (found.labels[order], found.scores[order], found.images[order])
    fresh = np.ones(len(order) + 1, np.bool_)
    fresh[1:-1] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    begins = np.flatnonzero(fresh)
    ends = np.repeat(begins[1:], np.diff(begins))
    verdicts = np.array([judge(matches, t)[order] for t in scored.result.thresholds], np.int8)
    truth = scored.truth
    return Ranking(columns[2], verdicts, ends, matches.starts, truth.images[counted], truth.labels[counted])


def resample(rankings: tuple[Ranking, ...], images: int, metric: Metric, draws: int, seed: int) -> F64:
    """Return the AP of each ranking in each resample of so many images, (rankings, draws, C, T).

    Every ranking sees the same resamples.  NaN: no ground truth of the class was drawn.
    """
    rng = np.random.default_rng(seed)
    table: list[list[F64]] = [[] for _ in rankings]
    for _ in bar_over(range(draws), "resample", "draw"):
        weights = (
            np.bincount(rng.integers(0, images, images), minlength=images) if images else np.zeros(0, int)
        )
        for rows, ranking in zip(table, rankings, strict=True):
            rows.append(weighted_ap(ranking, weights, metric))
    return np.array(table)


def weighted_ap(ranking: Ranking, weights: I64, metric: Metric) -> F64:
    """Return the AP (C, T) where image k stands weights[k] times, copies one after the other."""
    drawn = weights[ranking.truth_images]
    objects = np.bincount(ranking.truth_labels, drawn, len(ranking.starts) - 1).astype(np.int64)
    own = weights[ranking.images]
    return np.asarray(_ap_table(ranking, own, objects, metric == "voc07"))


@kernel
def _ap_table(ranking: Ranking, weights: I64, objects: I64, eleven: bool) -> F64:
    """Return AP (C, T); `weights`: (D,) of the detections' images, `objects`: (C,) ground truths drawn."""
    ap = np.full((len(objects), len(ranking.verdicts)), np.nan)
    for label in range(len(objects)):
        if objects[label] == 0:
            continue
        rows = (ranking.starts[label], ranking.starts[label + 1])
        for column in range(len(ranking.verdicts)):
            recall, precision = _curve(ranking.verdicts[column], weights, ranking.ends, rows, objects[label])
            ap[label, column] = _eleven_points(recall, precision) if eleven else _area(recall, precision)
    return ap


@kernel
def _curve(verdicts: I8, weights: I64, ends: I64, rows: tuple[int, int], objects: int) -> tuple[F64, F64]:
    """Return recall and precision after each true detection: nowhere else does either metric look.

    Copies of one detection come at once, for within a run of true ones the last is the best in both.
    Detections of one image and score alternate with their copies, as they do where images are repeated.
    """
    recall, precision = np.empty(objects), np.empty(objects)  # each copy of a truth is found once at most
    hits, misses, count = 0, 0, 0
    row = rows[0]
    while row < rows[1]:
        end, times, each = ends[row], 1, weights[row]
        if end > row + 1:
            times, each = each, 1
        for _ in range(times if each else 0):
            for k in range(row, end):
                if verdicts[k] == TRUE:
                    hits += each
                    recall[count], precision[count] = hits / objects, hits / (hits + misses)
                    count += 1
                elif verdicts[k] == FALSE:
                    misses += each
        row = end
    return recall[:count], precision[:count]


@kernel
def _area(recall: F64, precision: F64) -> float:
    """Return the all-point AP."""
    area, best = 0.0, 0.0
    for k in range(len(recall) - 1, -1, -1):
        best = max(best, precision[k])
        area += best * (recall[k] - (recall[k - 1] if k else 0.0))
    return area


@kernel
def _eleven_points(recall: F64, precision: F64) -> float:
    """Return the 11-point AP."""
    total, best, point = 0.0, 0.0, 10
    for k in range(len(recall) - 1, -1, -1):
        while recall[k] < point * 0.1:  # never below 0
            total += best
            point -= 1
        best = max(best, precision[k])
    return (total + best * (point + 1)) / 11
