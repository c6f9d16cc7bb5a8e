"""Rotated rectangles of label formats in float64 numpy; angles clockwise on the screen, in radians.

Each format says where it is read or written how its own angle becomes this one; the geometry is utils/rboxes.
"""

from typing import NamedTuple

import numpy as np
import torch

from utils.arrays import F64
from utils.quads.geometry import quad_areas
from utils.rboxes import quads_to_rboxes, rboxes_to_quads

SAME_AREA = 0.999  # a quad that fills this share of its rectangle is one


class Rectangles(NamedTuple):
    """N rotated rectangles."""

    centres: F64  # (N, 2) x, y in pixels
    sizes: F64  # (N, 2) width along the angle, height across it, pixels
    radians: F64  # (N,) from +x to the width, clockwise on the screen


def rectangle_quads(centres: F64, sizes: F64, radians: F64) -> F64:
    """Return rectangles as quads (N, 4, 2), clockwise from the corner that is upper left at angle 0."""
    boxes = np.concatenate([centres, sizes, radians[:, None]], axis=1)
    return np.asarray(rboxes_to_quads(torch.from_numpy(boxes)).numpy(), np.float64)


def enclosing_rectangles(quads: F64) -> Rectangles:
    """Return the smallest rectangles around quads (N, 4, 2); the width is the long side.

    Angles are in [0, pi), those of squares in [0, pi / 2).
    """
    boxes = quads_to_rboxes(torch.from_numpy(quads)).numpy()
    centres, sizes, radians = np.split(boxes, [2, 4], axis=1)
    return Rectangles(centres, sizes, radians[:, 0])


def count_other_quads(quads: F64, rectangles: Rectangles) -> int:
    """Return how many quads do not fill the rectangles around them, and change when those are stored."""
    areas = quad_areas(torch.from_numpy(quads)).numpy()
    return int((areas < SAME_AREA * rectangles.sizes.prod(axis=1)).sum())
