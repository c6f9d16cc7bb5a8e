"""Aspect ratios and directions of ground truths in bins; AP is told for each.

Length, width and direction are those of the smallest edge-aligned rectangle around the quad.
"""

import math

import numpy as np
import torch

from evalR.scoring.angles import SQUARE
from evalR.scoring.columns import Bools, Truth
from utils.arrays import F64
from utils.quads.geometry import edge_aligned_sides, quad_angles

ASPECT_RANGES = {  # long over short side, the first end included
    "1-1.5": (1.0, 1.5),
    "1.5-2": (1.5, 2.0),
    "2-3": (2.0, 3.0),
    "3-5": (3.0, 5.0),
    "5+": (5.0, math.inf),
}
STEP = 30  # degrees; the bins lie about 0, 30, .., so that objects along x are not torn into two
ANGLE_RANGES = {str(middle): (middle - STEP / 2, middle + STEP / 2) for middle in range(0, 180, STEP)}


def aspect_bins(truth: Truth) -> list[Bools]:
    """Return which ground truths (quads) are in each of ASPECT_RANGES, (G,) each; without area: the last."""
    aspects = _aspects(truth)
    return [(aspects >= least) & (aspects < most) for least, most in ASPECT_RANGES.values()]


def angle_bins(truth: Truth) -> list[Bools]:
    """Return which ground truths (quads) lie in each of ANGLE_RANGES, (G,) each; nearly square ones in none.

    The angle is that of the long side, clockwise on the screen from +x, in degrees.
    """
    degrees = np.degrees(quad_angles(torch.from_numpy(truth.shapes)).numpy())
    places = np.floor(degrees / STEP + 0.5).astype(np.int64) % len(ANGLE_RANGES)
    slanted = _aspects(truth) >= SQUARE
    return [slanted & (places == place) for place in range(len(ANGLE_RANGES))]


def _aspects(truth: Truth) -> F64:
    long, short = edge_aligned_sides(torch.from_numpy(truth.shapes)).numpy().T
    aspects = np.full(len(long), np.finfo(np.float64).max)
    np.divide(long, short, out=aspects, where=short > 0)
    return aspects
