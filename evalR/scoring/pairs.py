"""Overlapping pairs of detections and ground truths, with their IoU: found once, used by every figure."""

from typing import NamedTuple

import numpy as np
import torch

from evalR.scoring.columns import Bools, Found, Truth
from utils.arrays import F64, I64
from utils.kernels import kernel
from utils.quads.iou import aligned_quad_iou
from utils.quads.parts import BOTTOM, LEFT, RIGHT, TOP, to_boxes

AT_ONCE = 1 << 18  # pairs; some 150 MB while their quads are laid side by side


class Pairs(NamedTuple):
    """P overlapping pairs, by detection and then by ground truth; of any two classes."""

    found: I64  # (P,) row of the detection
    truth: I64  # (P,) row of the ground truth
    iou: F64  # (P,) above 0

    def take(self, which: Bools) -> "Pairs":
        """Return the pairs of a mask."""
        return Pairs(self.found[which], self.truth[which], self.iou[which])


def find_pairs(found: Found, truth: Truth) -> Pairs:
    """Return all overlapping pairs of a detection and a ground truth of its image, with their IoU.

    IoU of quads: of the shapes as they are, self-crossing ones by their signed area, as in DOTA_devkit.  Of
    boxes: with the devkit's pixels, in which a box from 10 to 19 is 10 wide.
    """
    quads = found.shapes.ndim == 3
    boxes = [np.ascontiguousarray(to_boxes(c.shapes) if quads else c.shapes) for c in (found, truth)]
    images = 1 + max(found.images.max(initial=-1), truth.images.max(initial=-1))
    starts = [np.searchsorted(c.images, np.arange(images + 1)) for c in (found, truth)]
    rows, columns = meeting_boxes(boxes[0], starts[0], boxes[1], starts[1], 0.0 if quads else 1.0)
    iou = np.zeros(len(rows))
    measure = _quad_iou if quads else _pixel_iou
    for first in range(0, len(rows), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        iou[part] = measure(found.shapes[rows[part]], truth.shapes[columns[part]])
    return Pairs(rows, columns, iou).take(iou > 0)


def _quad_iou(a: F64, b: F64) -> F64:
    iou: F64 = aligned_quad_iou(torch.from_numpy(a), torch.from_numpy(b), crossing="signed").numpy()
    return iou


def _pixel_iou(a: F64, b: F64) -> F64:
    """Return the IoU of boxes row by row, each one pixel wider and higher than its corners are apart."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.maximum(high - low + 1, 0).prod(axis=1)
    area_a, area_b = ((c[:, 2:] - c[:, :2] + 1).prod(axis=1) for c in (a, b))
    return np.asarray(shared / (area_a + area_b - shared))


@kernel
def meeting_boxes(a: F64, starts_a: I64, b: F64, starts_b: I64, margin: float) -> tuple[I64, I64]:
    """Return the rows of boxes `a` and `b` of the same image that are less than `margin` px apart.

    Args:
        starts_a: (images + 1,) where the boxes of each image begin.
    """
    rows, columns = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    for fill in (False, True):  # count, then write
        count = 0
        for image in range(len(starts_a) - 1):
            for i in range(starts_a[image], starts_a[image + 1]):
                left, top = a[i, LEFT] - margin, a[i, TOP] - margin
                right, bottom = a[i, RIGHT] + margin, a[i, BOTTOM] + margin
                for j in range(starts_b[image], starts_b[image + 1]):
                    beside = (right > b[j, LEFT]) & (b[j, RIGHT] > left)
                    if beside & (bottom > b[j, TOP]) & (b[j, BOTTOM] > top):
                        if fill:
                            rows[count], columns[count] = i, j
                        count += 1
        if not fill:
            rows, columns = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    return rows, columns
