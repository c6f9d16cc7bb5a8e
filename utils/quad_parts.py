"""Quads in convex pieces: what the exact operators work on, in machine code for the CPU.

A concave quad becomes two triangles, a self-crossing one its hull or two triangles of opposite sign.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
# Areas below this share of (coordinate x size) are rounding, not shape: some 50 float64 steps.
FLAT = 1e-14


class ConvexParts(NamedTuple):
    """Quads in convex pieces, counter-clockwise in mathematical axes (positive shoelace)."""

    vertices: F64  # (N, 2, 4, 2) pixels
    sizes: I64  # (N, 2) vertices of each part: 0 (no part), 3 or 4
    signs: I64  # (N, 2) -1 where a part counts negative
    areas: F64  # (N,) square pixels, 0 for a degenerate quad
    boxes: F64  # (N, 4) x_min, y_min, x_max, y_max


@njit(cache=True, nogil=True)
def _twice_area(quad: F64, p: int, q: int, r: int) -> float:
    """Return twice the signed area of the triangle of three vertices, relative to the first."""
    return float(
        (quad[q, 0] - quad[p, 0]) * (quad[r, 1] - quad[p, 1])
        - (quad[q, 1] - quad[p, 1]) * (quad[r, 0] - quad[p, 0])
    )


@njit(cache=True, nogil=True)
def _store(parts: ConvexParts, row: int, part: int, quad: F64, order: tuple[int, ...], sign: int) -> None:
    """Write the vertices of `quad` named by `order` as a part, turned to positive area."""
    size = len(order)
    area = _twice_area(quad, order[0], order[1], order[2])
    if size == 4:
        area += _twice_area(quad, order[0], order[2], order[3])
    for k in range(size):
        source = order[k] if area >= 0 else order[size - 1 - k]
        parts.vertices[row, part, k, 0] = quad[source, 0]
        parts.vertices[row, part, k, 1] = quad[source, 1]
    parts.sizes[row, part] = size
    parts.signs[row, part] = sign
    parts.areas[row] += 0.5 * sign * abs(area)


@njit(cache=True, nogil=True)
def _split(parts: ConvexParts, row: int, quad: F64, signed: bool) -> None:
    """Split one quad; the signs of its four corner triangles decide (see `to_convex_parts`)."""
    t012, t023 = _twice_area(quad, 0, 1, 2), _twice_area(quad, 0, 2, 3)
    t123, t130 = _twice_area(quad, 1, 2, 3), _twice_area(quad, 1, 3, 0)
    inside_02, inside_13 = t012 * t023 >= 0, t123 * t130 >= 0
    if inside_02 and inside_13:
        _store(parts, row, 0, quad, (0, 1, 2, 3), 1)
    elif inside_02:
        _store(parts, row, 0, quad, (0, 1, 2), 1)
        _store(parts, row, 1, quad, (0, 2, 3), 1)
    elif inside_13:
        _store(parts, row, 0, quad, (1, 2, 3), 1)
        _store(parts, row, 1, quad, (1, 3, 0), 1)
    elif signed:
        sign = 1 if abs(t012) >= abs(t023) else -1  # the larger triangle counts positive
        _store(parts, row, 0, quad, (0, 1, 2), sign)
        _store(parts, row, 1, quad, (0, 2, 3), -sign)
    elif t012 * t123 > 0:
        _store(parts, row, 0, quad, (0, 2, 1, 3), 1)
    else:
        _store(parts, row, 0, quad, (0, 1, 3, 2), 1)


@njit(cache=True, nogil=True)
def to_boxes(quads: F64) -> F64:
    """Return the horizontal boxes (N, 4) of quads (N, 4, 2): x_min, y_min, x_max, y_max."""
    boxes = np.empty((len(quads), 4))
    for row in range(len(quads)):
        x_min = x_max = quads[row, 0, 0]
        y_min = y_max = quads[row, 0, 1]
        for k in range(1, 4):
            x, y = quads[row, k, 0], quads[row, k, 1]
            x_min, x_max = min(x_min, x), max(x_max, x)
            y_min, y_max = min(y_min, y), max(y_max, y)
        boxes[row, 0], boxes[row, 1], boxes[row, 2], boxes[row, 3] = x_min, y_min, x_max, y_max
    return boxes


@njit(cache=True, nogil=True)
def to_convex_parts(quads: F64, signed: bool) -> ConvexParts:
    """Return the convex parts, areas and horizontal boxes of (N, 4, 2) finite quads, any vertex direction.

    A diagonal runs inside when the triangles on its two sides turn the same way.  Both diagonals inside:
    convex.  One: concave, split along it.  None: two edges cross and are the diagonals of the hull.

    Args:
        signed: self-crossing quads become two triangles of opposite sign, as a signed area has it.
    """
    count = len(quads)
    parts = ConvexParts(
        np.zeros((count, 2, 4, 2)),
        np.zeros((count, 2), dtype=np.int64),
        np.ones((count, 2), dtype=np.int64),
        np.zeros(count),
        to_boxes(quads),
    )
    for row in range(count):
        _split(parts, row, quads[row], signed)
        box = parts.boxes[row]
        size = box[2] - box[0] + box[3] - box[1]
        farthest = max(abs(box[0]), abs(box[2])) + max(abs(box[1]), abs(box[3]))
        if parts.areas[row] <= FLAT * farthest * size:
            parts.areas[row] = 0.0
            parts.sizes[row] = 0
    return parts
