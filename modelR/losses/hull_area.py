"""Area of the convex hull of eight points with its exact gradient, vectorised over sets (spec 4.8).

A pair of points is a side of the hull where all others lie on one side of it: 28 pairs, whose sides follow
from the turns of 56 triples.  Points in a line and points on one another would make several answers right at
once, so all are moved by `WOBBLE` first.
"""

import math
from itertools import combinations

import torch
from torch import Tensor

from modelR.losses.shared_area import Areas
from utils.selection import on_device

POINTS = 8
PAIRS = tuple(combinations(range(POINTS), 2))
TRIPLES = tuple(combinations(range(POINTS), 3))
WOBBLE = 1e-11  # in extents of the set: far above the rounding of float64, far below what a loss can show
OTHERS = POINTS - 2


def _tables() -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Return what turns cross products of pairs into turns of triples, and those into points to the right.

    The turn of u, v, w is the sum of the cross products of u, v and v, w less that of u, w.  A point whose
    number lies between those of a pair is to the right of the pair where its triple turns left.

    Returns:
        A matrix (56, 28), one (28, 56) for the triples that turn right, and (28, 1) what is added to it.
    """
    turns = [[0.0] * len(PAIRS) for _ in TRIPLES]
    right = [[0.0] * len(TRIPLES) for _ in PAIRS]
    between = [[0.0] for _ in PAIRS]
    for place, (u, v, w) in enumerate(TRIPLES):
        for pair, sign in (((u, v), 1.0), ((v, w), 1.0), ((u, w), -1.0)):
            turns[place][PAIRS.index(pair)] = right[PAIRS.index(pair)][place] = sign
        between[PAIRS.index((u, w))][0] += 1.0
    return turns, right, between


TURNS, RIGHT, BETWEEN = _tables()
FIRSTS, LASTS = zip(*PAIRS, strict=True)
BEGINS, ENDS = ([[float(row == p) for row in rows] for p in range(POINTS)] for rows in (FIRSTS, LASTS))
MOVES = tuple([[WOBBLE * wave(k * k + 1.0)] for k in range(POINTS)] for wave in (math.sin, math.cos))


def hull_areas(x: Tensor, y: Tensor) -> Areas:
    """Return the areas of the convex hulls of eight points each.

    Args:
        x: (8, K) float64 in extents of the set, about its middle.
        y: likewise.
    """
    x, y = (own + on_device(move, own, own.dtype) for own, move in zip((x, y), MOVES, strict=True))
    first, last = on_device(FIRSTS, x), on_device(LASTS, x)
    begin_x, begin_y, end_x, end_y = x[first], y[first], x[last], y[last]
    cross = begin_x * end_y - begin_y * end_x  # (28, K)
    is_side = _hull_sides(cross)
    begins, ends = on_device(BEGINS, x, x.dtype), on_device(ENDS, x, x.dtype)
    by_x = begins @ (is_side * end_y) - ends @ (is_side * begin_y)
    by_y = ends @ (is_side * begin_x) - begins @ (is_side * end_x)
    return Areas(0.5 * (is_side * cross).sum(dim=0), 0.5 * by_x, 0.5 * by_y)


def _hull_sides(cross: Tensor) -> Tensor:
    """Return 1 where the hull runs from the first point of a pair to the second, -1 back, else 0, (28, K)."""
    turns, right, between = (
        on_device(table, cross, kind)
        for table, kind in ((TURNS, cross.dtype), (RIGHT, torch.float32), (BETWEEN, torch.float32))
    )
    count = right @ (turns @ cross > 0).float() + between
    return (count == OTHERS).to(cross.dtype) - (count == 0).to(cross.dtype)
