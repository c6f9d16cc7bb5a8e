"""Area of the convex hull of eight points with its exact gradient, vectorised over sets (spec 11.1).

A pair of points is a side of the hull where all others lie on one side of it: 28 pairs, whose sides follow
from the turns of 56 triples.  Points in a line and points on one another would make several answers right at
once; the turns are therefore those of points moved by `WOBBLE`, the area that of the points as they are.
"""

import math
from itertools import combinations

from torch import Tensor

from modelR.losses.known_gradient import with_known_gradient
from utils.selection import on_device

POINTS = 8
PAIRS = tuple(combinations(range(POINTS), 2))
TRIPLES = tuple(combinations(range(POINTS), 3))
# for each pair the triples with each other point, and whether they turn the other way
OTHERS = tuple(tuple(w for w in range(POINTS) if w not in pair) for pair in PAIRS)
TRIPLES_OF = tuple(
    tuple(TRIPLES.index(tuple(sorted((*pair, w)))) for w in others)
    for pair, others in zip(PAIRS, OTHERS, strict=True)
)
REVERSED = tuple(tuple(u < w < v for w in others) for (u, v), others in zip(PAIRS, OTHERS, strict=True))
WOBBLE = 1e-11  # in extents of the set: far above the rounding of float64, far below what a loss can show


def hull_areas(points: Tensor) -> Tensor:
    """Return the areas of the convex hulls of eight points each, (N,), with their gradient.

    Args:
        points: (N, 8, 2) float64 in extents of the set, about its middle.
    """
    return with_known_gradient(points, _hull)


def _hull(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the areas (K,) and their gradients by x and y, of points (8, K)."""
    first, last = on_device(PAIRS, x).unbind(-1)
    is_side = _hull_sides(x, y)
    begin_x, begin_y, end_x, end_y = x[first], y[first], x[last], y[last]
    area = 0.5 * (is_side * (begin_x * end_y - begin_y * end_x)).sum(dim=0)
    begins, ends = (_rows_of(rows, x) for rows in zip(*PAIRS, strict=True))
    by_x = 0.5 * (begins @ (is_side * end_y) - ends @ (is_side * begin_y))
    by_y = 0.5 * (ends @ (is_side * begin_x) - begins @ (is_side * end_x))
    return area, by_x, by_y


def _rows_of(rows: tuple[int, ...], like: Tensor) -> Tensor:
    """Return a matrix (8, 28) that adds up the pairs of each point."""
    return on_device([[float(row == point) for row in rows] for point in range(POINTS)], like, like.dtype)


def _hull_sides(x: Tensor, y: Tensor) -> Tensor:
    """Return 1 where the hull runs from the first point of a pair to the second, -1 back, else 0, (28, K)."""
    wobble = on_device(
        [(WOBBLE * math.cos(1.3 * k * k + 1), WOBBLE * math.sin(2.7 * k * k + 2)) for k in range(POINTS)],
        x,
        x.dtype,
    )
    x, y = x + wobble.narrow(1, 0, 1), y + wobble.narrow(1, 1, 1)
    u, v, w = on_device(TRIPLES, x).unbind(-1)
    x_u, y_u = x[u], y[u]
    turns_right = (x[v] - x_u) * (y[w] - y_u) > (y[v] - y_u) * (x[w] - x_u)  # (56, K)
    right = turns_right[on_device(TRIPLES_OF, x)] ^ on_device(REVERSED, x).unsqueeze(-1)  # (28, 6, K)
    return right.all(dim=1).to(x.dtype) - (~right).all(dim=1).to(x.dtype)
