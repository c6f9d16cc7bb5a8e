"""Soft-NMS: the order in which it takes quads, in machine code."""

import heapq
import math

import numpy as np

from utils.arrays import F64, I64
from utils.kernels import kernel


@kernel
def _decay(iou: float, sigma: float, threshold: float) -> float:
    if sigma > 0:
        return math.exp(-iou * iou / sigma)
    return 1.0 - iou if iou > threshold else 1.0


@kernel
def soft_order(
    pairs: tuple[I64, I64, F64], scores: F64, rows: I64, sigma: float, threshold: float, least: float
) -> I64:
    """Return the quads in the order in which soft-NMS takes them; `scores` become what they had then.

    Args:
        pairs: whom each quad overlaps, see `quad_kernels.overlapping_pairs`.
        scores: (N,) lowered in place.
        rows: (N,) decide between equal scores.
        sigma: of the Gaussian decay exp(-IoU^2 / sigma); 0: linear decay by 1 - IoU.
        threshold: IoU up to which the linear decay leaves scores alone.
        least: scores that fall below it are out.
    """
    starts, others, ious = pairs
    taken = np.zeros(len(scores), dtype=np.bool_)
    order = np.empty(len(scores), dtype=np.int64)
    count = 0
    heap = [(-scores[i], rows[i], i) for i in range(len(scores))]
    heapq.heapify(heap)
    while len(heap) > 0:
        minus, row, i = heapq.heappop(heap)
        if -minus > scores[i]:  # lowered since it was pushed
            heapq.heappush(heap, (-scores[i], row, i))
            continue
        if scores[i] < least:
            break
        taken[i] = True
        order[count] = i
        count += 1
        for k in range(starts[i], starts[i + 1]):
            if not taken[others[k]]:
                scores[others[k]] *= _decay(ious[k], sigma, threshold)
    return order[:count]
