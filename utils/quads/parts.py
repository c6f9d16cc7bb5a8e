"""Convex parts of quads as rows of numbers, which the exact operators work on, in machine code for the CPU.

A concave quad becomes two triangles, a self-crossing one its hull or two triangles of opposite sign; a
triangle repeats a vertex.  Kernels take and give plain arrays alone: references are then not counted pair by
pair, and numba's cache, which outlives a version of this code, names no class of it.
"""

import numpy as np

from utils.arrays import F64, I64
from utils.kernels import kernel

# Areas below this share of (coordinate x size) are rounding, not shape: some 50 float64 steps.
FLAT = 1e-14

LEFT, TOP, RIGHT, BOTTOM = 0, 1, 2, 3  # columns of a box
# Columns of a part: area of the whole quad, 0 if degenerate; sign; row of the second part among those, or -1;
# x and y of four vertices.
AREA, SIGN, SECOND, VERTICES = 0, 1, 2, 3
COLUMNS = VERTICES + 8
# How a quad is cut: the vertices of its parts.
CONVEX, ALONG_02, ALONG_13, CROSSED, CROSSED_TOO, SIGNED = 0, 1, 2, 3, 4, 5
FIRST_PARTS = ((0, 1, 2, 3), (0, 1, 2, 2), (1, 2, 3, 3), (0, 2, 1, 3), (0, 1, 3, 2), (0, 1, 2, 2))
SECOND_PARTS = ((0, 0, 0, 0), (0, 2, 3, 3), (1, 3, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0), (0, 2, 3, 3))


@kernel
def _twice_area(quad: F64, p: int, q: int, r: int) -> float:
    """Return twice the signed area of the triangle of three vertices, relative to the first."""
    return float(
        (quad[q, 0] - quad[p, 0]) * (quad[r, 1] - quad[p, 1])
        - (quad[q, 1] - quad[p, 1]) * (quad[r, 0] - quad[p, 0])
    )


@kernel
def _cut(quad: F64, signed: bool) -> int:
    """Return how a quad is cut; the signs of its four corner triangles decide (see `to_shapes`)."""
    t012, t023 = _twice_area(quad, 0, 1, 2), _twice_area(quad, 0, 2, 3)
    t123, t130 = _twice_area(quad, 1, 2, 3), _twice_area(quad, 1, 3, 0)
    if t012 * t023 >= 0:
        return CONVEX if t123 * t130 >= 0 else ALONG_02
    if t123 * t130 >= 0:
        return ALONG_13
    if signed:
        return SIGNED
    return CROSSED if t012 * t123 > 0 else CROSSED_TOO


@kernel
def _write_part(part: F64, quad: F64, order: tuple[int, int, int, int]) -> float:
    """Write the vertices named by `order` as a part of positive shoelace, return its area."""
    twice = _twice_area(quad, order[0], order[1], order[2]) + _twice_area(quad, order[0], order[2], order[3])
    part[SIGN], part[SECOND] = 1.0, -1.0
    for k in range(4):
        source = order[k] if twice >= 0 else order[3 - k]
        part[VERTICES + 2 * k], part[VERTICES + 2 * k + 1] = quad[source, 0], quad[source, 1]
    return 0.5 * abs(twice)


@kernel
def _write_second(part: F64, second: F64, row: int, quad: F64, cut: int) -> None:
    """Write the second part of a quad; of a signed one, the larger triangle counts positive."""
    part[SECOND] = row
    area = _write_part(second, quad, SECOND_PARTS[cut])
    if cut != SIGNED:
        part[AREA] += area
        return
    larger = part[AREA] >= area
    part[SIGN], second[SIGN] = (1.0, -1.0) if larger else (-1.0, 1.0)
    part[AREA] = abs(part[AREA] - area)


@kernel
def _box_of(quad: F64) -> tuple[float, float, float, float]:
    x_min = x_max = quad[0, 0]
    y_min = y_max = quad[0, 1]
    for k in range(1, 4):
        x, y = quad[k, 0], quad[k, 1]
        x_min, x_max = min(x_min, x), max(x_max, x)
        y_min, y_max = min(y_min, y), max(y_max, y)
    return x_min, y_min, x_max, y_max


@kernel
def to_boxes(quads: F64) -> F64:
    """Return the horizontal boxes (N, 4) of quads (N, 4, 2): x_min, y_min, x_max, y_max."""
    boxes = np.empty((len(quads), 4))
    for i in range(len(quads)):
        boxes[i, LEFT], boxes[i, TOP], boxes[i, RIGHT], boxes[i, BOTTOM] = _box_of(quads[i])
    return boxes


@kernel
def to_shapes(quads: F64, order: I64, signed: bool) -> tuple[F64, F64, F64]:
    """Return chosen ones of (N, 4, 2) finite quads, any vertex direction, in convex parts.

    Returns boxes (K, 4), first parts (K, COLUMNS) and the second parts of those that need one (M, COLUMNS).

    A diagonal runs inside when the triangles on its two sides turn the same way.  Both diagonals inside:
    convex.  One: concave, cut along it.  None: two edges cross and are the diagonals of the hull.

    Args:
        order: (K,) the rows wanted, in this order.
        signed: self-crossing quads become two triangles of opposite sign, as a signed area has it.
    """
    cuts = np.empty(len(quads), dtype=np.int8)
    count = 0
    for i in range(len(quads)):
        cuts[i] = _cut(quads[i], signed)
        count += cuts[i] in (ALONG_02, ALONG_13, SIGNED)
    boxes = np.empty((len(order), 4))
    parts, seconds = np.empty((len(order), COLUMNS)), np.empty((count, COLUMNS))
    row = 0
    for i in range(len(order)):
        quad, cut = quads[order[i]], cuts[order[i]]
        parts[i, AREA] = _write_part(parts[i], quad, FIRST_PARTS[cut])
        if cut in (ALONG_02, ALONG_13, SIGNED):
            _write_second(parts[i], seconds[row], row, quad, cut)
            row += 1
        left, top, right, bottom = _box_of(quad)
        boxes[i, LEFT], boxes[i, TOP], boxes[i, RIGHT], boxes[i, BOTTOM] = left, top, right, bottom
        farthest = max(abs(left), abs(right)) + max(abs(top), abs(bottom))
        if parts[i, AREA] <= FLAT * farthest * (right - left + bottom - top):
            parts[i, AREA] = 0.0
    return boxes, parts, seconds
