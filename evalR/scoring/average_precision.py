"""Average precision (AP) of Pascal VOC, with the numbers of DOTA_devkit.  Source: spec 8.2."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from utils.arrays import F64

Metric = Literal["voc07", "voc12"]
METRICS: tuple[Metric, ...] = ("voc07", "voc12")


def precision_recall(
    true: NDArray[np.bool_], false: NDArray[np.bool_], ground_truths: int
) -> tuple[F64, F64]:
    """Return precision and recall after each detection, (D,) each.

    Args:
        true: (D,) true positives, highest score first.
        false: (D,) false positives; neither true nor false: not counted.
        ground_truths: how many could be found, at least 1.
    """
    hits, misses = np.cumsum(true), np.cumsum(false)
    return hits / np.maximum(hits + misses, 1), hits / ground_truths


def average_precision(recall: F64, precision: F64, metric: Metric) -> float:
    """Return the AP in [0, 1] of a curve of rising recall; without detections it is 0.

    voc07: the mean of the best precision at a recall of at least 0, 0.1, ..., 1.
    voc12: the area under the precision made monotone from the right.

    Raises:
        ValueError: the metric is neither.
    """
    if metric == "voc07":
        # i * 0.1, not i / 10: the devkit asks for a recall of 0.30000000000000004, and 3 of 10 miss it.
        return sum(float(precision[recall >= i * 0.1].max(initial=0.0)) for i in range(11)) / 11
    if metric == "voc12":
        recall = np.concatenate([[0.0], recall])
        best_to_come = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(recall) * best_to_come))
    raise ValueError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")


def average_precision_101(recall: F64, precision: F64) -> float:
    """Return COCO's AP in [0, 1]: the mean of the best precision at a recall of at least 0, 0.01, ..., 1."""
    return float(precision_at_101(recall, precision).sum() / 101)


def precision_at_101(recall: F64, precision: F64) -> F64:
    """Return the best precision at a recall of at least 0, 0.01, ..., 1; (101,), 0 beyond."""
    best_to_come = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
    return np.append(best_to_come, 0.0)[places]
