"""Machine code for exact quad overlaps on the CPU, float64; compiled at the first call, then cached on disk.

All kernels stand in this one file: numba does not notice that a cached kernel's callee changed elsewhere.
A quad becomes one or two convex parts (a concave one two triangles, a self-crossing one its hull or two
triangles of opposite sign), and two quads share what their parts share, found by clipping (Sutherland and
Hodgman, 1974).
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
# Areas below this share of (coordinate x size) are rounding, not shape: some 50 float64 steps.
FLAT = 1e-14
# Clipping n vertices by one edge leaves at most 1.5 n: 4, 6, 9, 13, 19.
MAX_VERTICES = 20


class ConvexParts(NamedTuple):
    """Quads in convex pieces, counter-clockwise in mathematical axes (positive shoelace)."""

    vertices: F64  # (N, 2, 4, 2) pixels
    sizes: I64  # (N, 2) vertices of each part: 0 (no part), 3 or 4
    signs: I64  # (N, 2) -1 where a part counts negative
    areas: F64  # (N,) square pixels, 0 for a degenerate quad
    boxes: F64  # (N, 4) x_min, y_min, x_max, y_max


@njit(cache=True)
def _twice_area(p: F64, q: F64, r: F64) -> float:
    """Return twice the signed area of a triangle, relative to its first vertex."""
    return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))


@njit(cache=True)
def _store(parts: ConvexParts, row: int, part: int, quad: F64, order: tuple[int, ...], sign: int) -> None:
    """Write the vertices of `quad` named by `order` as a part, turned to positive area."""
    size = len(order)
    area = _twice_area(quad[order[0]], quad[order[1]], quad[order[2]])
    if size == 4:
        area += _twice_area(quad[order[0]], quad[order[2]], quad[order[3]])
    for k in range(size):
        source = order[k] if area >= 0 else order[size - 1 - k]
        parts.vertices[row, part, k, 0] = quad[source, 0]
        parts.vertices[row, part, k, 1] = quad[source, 1]
    parts.sizes[row, part] = size
    parts.signs[row, part] = sign
    parts.areas[row] += 0.5 * sign * abs(area)


@njit(cache=True)
def _split(parts: ConvexParts, row: int, quad: F64, signed: bool) -> None:
    """Split one quad; the signs of its four corner triangles decide (see `to_convex_parts`)."""
    t012 = _twice_area(quad[0], quad[1], quad[2])
    t023 = _twice_area(quad[0], quad[2], quad[3])
    t123 = _twice_area(quad[1], quad[2], quad[3])
    t130 = _twice_area(quad[1], quad[3], quad[0])
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


@njit(cache=True)
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
        np.zeros((count, 4)),
    )
    for row in range(count):
        x_min = x_max = quads[row, 0, 0]
        y_min = y_max = quads[row, 0, 1]
        for k in range(1, 4):
            x, y = quads[row, k]
            x_min, x_max = min(x_min, x), max(x_max, x)
            y_min, y_max = min(y_min, y), max(y_max, y)
        box = parts.boxes[row]
        box[0], box[1], box[2], box[3] = x_min, y_min, x_max, y_max
        _split(parts, row, quads[row], signed)
        size = x_max - x_min + y_max - y_min
        farthest = max(abs(x_min), abs(x_max)) + max(abs(y_min), abs(y_max))
        if parts.areas[row] <= FLAT * farthest * size:
            parts.areas[row] = 0.0
            parts.sizes[row] = 0
    return parts


@njit(cache=True)
def _clip(polygon: F64, size: int, start: F64, end: F64, out: F64) -> int:
    """Write the part of the polygon to the left of an edge to `out`, return its number of vertices."""
    count = 0
    before = polygon[size - 1]
    side_before = _twice_area(start, end, before)
    for k in range(size):
        vertex = polygon[k]
        side = _twice_area(start, end, vertex)
        if (side >= 0) != (side_before >= 0):
            share = side_before / (side_before - side)
            out[count, 0] = before[0] + share * (vertex[0] - before[0])
            out[count, 1] = before[1] + share * (vertex[1] - before[1])
            count += 1
        if side >= 0:
            out[count, 0] = vertex[0]
            out[count, 1] = vertex[1]
            count += 1
        before, side_before = vertex, side
    return count


@njit(cache=True)
def _shift(part: F64, size: int, origin: F64, out: F64) -> None:
    for k in range(size):
        out[k, 0] = part[k, 0] - origin[0]
        out[k, 1] = part[k, 1] - origin[1]


@njit(cache=True)
def _convex_overlap(size: int, b: F64, size_b: int, scratch: F64) -> float:
    """Return the area shared by two convex polygons; the first stands in `scratch[0]` and is used up."""
    now, after = scratch[0], scratch[1]
    for k in range(size_b):
        size = _clip(now, size, b[k], b[(k + 1) % size_b], after)
        if size < 3:
            return 0.0
        now, after = after, now
    area = 0.0
    for k in range(1, size - 1):
        area += _twice_area(now[0], now[k], now[k + 1])
    return max(0.5 * area, 0.0)


@njit(cache=True)
def new_scratch() -> F64:
    """Return the working memory of `overlap`: two polygons to clip, one to clip with."""
    return np.empty((3, MAX_VERTICES, 2))


@njit(cache=True)
def overlap(a: ConvexParts, i: int, b: ConvexParts, j: int, scratch: F64) -> float:
    """Return the area shared by quad `i` of `a` and quad `j` of `b`, 0 at once when their boxes are apart."""
    box_a, box_b = a.boxes[i], b.boxes[j]
    if box_a[2] <= box_b[0] or box_b[2] <= box_a[0] or box_a[3] <= box_b[1] or box_b[3] <= box_a[1]:
        return 0.0
    # Clipped points keep float64's steps near 0, not near 1e5: shift before, never after.
    origin = box_a[:2]
    area = 0.0
    for n in range(2):
        _shift(b.vertices[j, n], b.sizes[j, n], origin, scratch[2])
        for m in range(2):
            if a.sizes[i, m] and b.sizes[j, n]:
                _shift(a.vertices[i, m], a.sizes[i, m], origin, scratch[0])
                shared = _convex_overlap(a.sizes[i, m], scratch[2], b.sizes[j, n], scratch)
                area += a.signs[i, m] * b.signs[j, n] * shared
    if (
        a.signs[i, 0] + a.signs[i, 1] + b.signs[j, 0] + b.signs[j, 1] == 4
    ):  # else a net area may share more than itself
        area = min(area, a.areas[i], b.areas[j])
    return float(area)


@njit(cache=True)
def iou_of(shared: float, area_a: float, area_b: float) -> float:
    """Return intersection over union, 0 when nothing is shared."""
    union = area_a + area_b - shared
    return shared / union if shared > 0 and union > 0 else 0.0


@njit(cache=True)
def pairwise_iou(a: ConvexParts, b: ConvexParts) -> F64:
    """Return the IoU of every quad of `a` with every quad of `b`, (N, M)."""
    scratch = new_scratch()
    iou = np.zeros((len(a.areas), len(b.areas)))
    for i in range(len(a.areas)):
        for j in range(len(b.areas)):
            iou[i, j] = iou_of(overlap(a, i, b, j, scratch), a.areas[i], b.areas[j])
    return iou


@njit(cache=True)
def aligned_overlaps(a: ConvexParts, b: ConvexParts) -> F64:
    """Return the areas shared row by row, (N,)."""
    scratch = new_scratch()
    shared = np.zeros(len(a.areas))
    for i in range(len(a.areas)):
        shared[i] = overlap(a, i, b, i, scratch)
    return shared


@njit(cache=True)
def _may_exceed(parts: ConvexParts, i: int, j: int, threshold: float) -> bool:
    """Return False when the horizontal boxes and the areas already prove IoU <= threshold."""
    box_i, box_j = parts.boxes[i], parts.boxes[j]
    height = min(box_i[3], box_j[3]) - max(box_i[1], box_j[1])
    width = min(box_i[2], box_j[2]) - max(box_i[0], box_j[0])
    if height <= 0 or width <= 0:
        return False
    area_i, area_j = parts.areas[i], parts.areas[j]
    most = min(width * height, area_i, area_j)
    # The margin leaves what lies within rounding of the threshold to the exact computation.
    return iou_of(most, area_i, area_j) > threshold - 1e-6


@njit(cache=True)
def greedy_keep(parts: ConvexParts, by_left: I64, threshold: float) -> NDArray[np.bool_]:
    """Return which quads of one class stay, (N,); rows stand by falling score.

    Args:
        by_left: (N,) rows by rising x_min; only a strip of it can reach a kept quad.
    """
    count = len(parts.areas)
    keep = np.ones(count, dtype=np.bool_)
    scratch = new_scratch()
    lefts = parts.boxes[by_left, 0]
    widest = (parts.boxes[:, 2] - parts.boxes[:, 0]).max() if count else 0.0
    for i in range(count):
        if not keep[i]:
            continue
        first = np.searchsorted(lefts, parts.boxes[i, 0] - widest)
        last = np.searchsorted(lefts, parts.boxes[i, 2], side="right")
        for j in by_left[first:last]:
            if j > i and keep[j] and _may_exceed(parts, i, j, threshold):
                shared = overlap(parts, i, parts, j, scratch)
                keep[j] = iou_of(shared, parts.areas[i], parts.areas[j]) <= threshold
    return keep
