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


def _sides_of_triples() -> tuple[list[list[float]], list[list[float]]]:
    """Return what counts the points to the right of each pair: a matrix (28, 56) of right turns, and (28, 1).

    A point whose number lies between those of the pair is to the right where the triple turns left.
    """
    rows = [[0.0] * len(TRIPLES) for _ in PAIRS]
    between = [[0.0] for _ in PAIRS]
    for place, (u, v, w) in enumerate(TRIPLES):
        rows[PAIRS.index((u, v))][place] = rows[PAIRS.index((v, w))][place] = 1.0
        rows[PAIRS.index((u, w))][place] = -1.0
        between[PAIRS.index((u, w))][0] += 1.0
    return rows, between


RIGHT, BETWEEN = _sides_of_triples()
FIRSTS, LASTS = zip(*PAIRS, strict=True)
PAIRS_OF_TRIPLES = tuple(
    zip(
        *((PAIRS.index((u, v)), PAIRS.index((v, w)), PAIRS.index((u, w))) for u, v, w in TRIPLES), strict=True
    )
)
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
    uv, vw, uw = (cross[on_device(rows, cross)] for rows in PAIRS_OF_TRIPLES)
    turns_right = (uv + vw > uw).float()  # (56, K)
    matrix, between = (on_device(table, cross, torch.float32) for table in (RIGHT, BETWEEN))
    count = matrix @ turns_right + between
    return (count == OTHERS).to(cross.dtype) - (count == 0).to(cross.dtype)
