"""Machine code for exact quad overlaps and suppression on the CPU, float64; compiled once, cached on disk.

Every kernel that calls another stands in this file beside it: numba does not notice that a cached kernel's
callee changed elsewhere.  Two quads share what their convex parts share, found by clipping (Sutherland and
Hodgman, 1974).  Kernels hold no lock, so `utils.threads` can run them on slices of the rows.
"""

import heapq
import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from utils.quad_grid import F64, I64, Grid
from utils.quad_parts import ConvexParts

# Clipping n vertices by one edge leaves at most 1.5 n: 4, 6, 9, 13, 19.
MAX_VERTICES = 20
ROUNDING = 1e-6  # of an IoU; bounds this close to a threshold are left to the exact computation


@njit(cache=True, nogil=True)
def _new_scratch() -> F64:
    """Return the working memory of `_part_overlap`: two polygons of x and y, and a side for each vertex."""
    return np.empty(5 * MAX_VERTICES)


@njit(cache=True, nogil=True)
def _clip(scratch: F64, source: int, target: int, size: int) -> int:
    """Write the polygon at `source` without its vertices of negative side to `target`; return its size."""
    count, before = 0, size - 1
    for k in range(size):
        side, side_before = scratch[4 * MAX_VERTICES + k], scratch[4 * MAX_VERTICES + before]
        x, y = scratch[source + k], scratch[source + MAX_VERTICES + k]
        if (side >= 0) != (side_before >= 0):
            share = side_before / (side_before - side)
            x_before, y_before = scratch[source + before], scratch[source + MAX_VERTICES + before]
            scratch[target + count] = x_before + share * (x - x_before)
            scratch[target + MAX_VERTICES + count] = y_before + share * (y - y_before)
            count += 1
        if side >= 0:
            scratch[target + count] = x
            scratch[target + MAX_VERTICES + count] = y
            count += 1
        before = k
    return count


@njit(cache=True, nogil=True)
def _polygon_area(scratch: F64, source: int, size: int) -> float:
    """Return the area of the polygon at `source`, relative to its first vertex."""
    area = 0.0
    x0, y0 = scratch[source], scratch[source + MAX_VERTICES]
    x, y = scratch[source + 1] - x0, scratch[source + MAX_VERTICES + 1] - y0
    for k in range(2, size):
        x_next, y_next = scratch[source + k] - x0, scratch[source + MAX_VERTICES + k] - y0
        area += x * y_next - y * x_next
        x, y = x_next, y_next
    return max(0.5 * area, 0.0)


@njit(cache=True, nogil=True)
def _part_overlap(a: ConvexParts, i: int, m: int, b: ConvexParts, j: int, n: int, scratch: F64) -> float:
    """Return the area shared by part `m` of quad `i` of `a` and part `n` of quad `j` of `b`."""
    size, size_b = a.sizes[i, m], b.sizes[j, n]
    # Clipped points keep float64's steps near 0, not near 1e5: shift before, never after.
    x0, y0 = a.boxes[i, 0], a.boxes[i, 1]
    for k in range(size):
        scratch[k] = a.vertices[i, m, k, 0] - x0
        scratch[MAX_VERTICES + k] = a.vertices[i, m, k, 1] - y0
    source, target = 0, 2 * MAX_VERTICES
    start_x, start_y = b.vertices[j, n, size_b - 1, 0] - x0, b.vertices[j, n, size_b - 1, 1] - y0
    for edge in range(size_b):
        end_x, end_y = b.vertices[j, n, edge, 0] - x0, b.vertices[j, n, edge, 1] - y0
        dx, dy = end_x - start_x, end_y - start_y
        outside = 0
        for k in range(size):
            x, y = scratch[source + k], scratch[source + MAX_VERTICES + k]
            side = dx * (y - start_y) - dy * (x - start_x)
            scratch[4 * MAX_VERTICES + k] = side
            outside += side < 0
        if outside == size:
            return 0.0
        if outside:
            size = _clip(scratch, source, target, size)
            source, target = target, source
        start_x, start_y = end_x, end_y
    return _polygon_area(scratch, source, size)


@njit(cache=True, nogil=True)
def _overlap(a: ConvexParts, i: int, b: ConvexParts, j: int, scratch: F64) -> float:
    """Return the area shared by quad `i` of `a` and quad `j` of `b`, whose horizontal boxes meet."""
    if a.areas[i] == 0 or b.areas[j] == 0:
        return 0.0
    area = 0.0
    signs = 4
    for m in range(2):
        signs += a.signs[i, m] + b.signs[j, m] - 2
        for n in range(2):
            if a.sizes[i, m] and b.sizes[j, n]:
                area += a.signs[i, m] * b.signs[j, n] * _part_overlap(a, i, m, b, j, n, scratch)
    # A net area of parts of opposite sign may share more than itself.
    return min(area, a.areas[i], b.areas[j]) if signs == 4 else area


@njit(cache=True, nogil=True)
def _boxes_meet(a: ConvexParts, i: int, b: ConvexParts, j: int) -> bool:
    return bool(
        a.boxes[i, 2] > b.boxes[j, 0]
        and b.boxes[j, 2] > a.boxes[i, 0]
        and a.boxes[i, 3] > b.boxes[j, 1]
        and b.boxes[j, 3] > a.boxes[i, 1]
    )


@njit(cache=True, nogil=True)
def _ratio(shared: float, area_a: float, area_b: float, smaller: bool) -> float:
    """Return the shared area over the union or the smaller of two areas, 0 when nothing is shared."""
    whole = min(area_a, area_b) if smaller else area_a + area_b - shared
    return shared / whole if shared > 0 and whole > 0 else 0.0


@njit(cache=True, nogil=True)
def pairwise_ratios(
    a: ConvexParts, b: ConvexParts, out: NDArray[np.floating], first: int, last: int, smaller: bool
) -> None:
    """Write the IoU (or IoS) of rows `first` to `last` of `a` with all of `b` into zeros `out` (N, M)."""
    scratch = _new_scratch()
    for i in range(first, last):
        for j in range(len(b.areas)):
            if _boxes_meet(a, i, b, j):
                shared = _overlap(a, i, b, j, scratch)
                out[i, j] = _ratio(shared, a.areas[i], b.areas[j], smaller)


@njit(cache=True, nogil=True)
def aligned_overlaps(a: ConvexParts, b: ConvexParts, out: F64, first: int, last: int) -> None:
    """Write the areas shared row by row into zeros `out` (N,)."""
    scratch = _new_scratch()
    for i in range(first, last):
        if _boxes_meet(a, i, b, i):
            out[i] = _overlap(a, i, b, i, scratch)


@njit(cache=True, nogil=True)
def _pair_ratio(parts: ConvexParts, i: int, j: int, above: float, smaller: bool, scratch: F64) -> float:
    """Return the IoU (or IoS) of two quads, or 0 where boxes and areas prove it at most `above`."""
    width = min(parts.boxes[i, 2], parts.boxes[j, 2]) - max(parts.boxes[i, 0], parts.boxes[j, 0])
    height = min(parts.boxes[i, 3], parts.boxes[j, 3]) - max(parts.boxes[i, 1], parts.boxes[j, 1])
    if width <= 0 or height <= 0:
        return 0.0
    area_i, area_j = parts.areas[i], parts.areas[j]
    most = min(width * height, area_i, area_j)
    if _ratio(most, area_i, area_j, smaller) <= above - ROUNDING:
        return 0.0
    return _ratio(_overlap(parts, i, parts, j, scratch), area_i, area_j, smaller)


@njit(cache=True, nogil=True)
def _cell_range(low: float, high: float, origin: float, cell: float, cells: int) -> tuple[int, int]:
    """Return the first and one past the last cell whose boxes may reach into [low, high], along one axis."""
    last = float(cells - 1)
    first = min(max((low - origin) / cell - 1, 0.0), last)
    return int(first), int(min(max((high - origin) / cell, 0.0), last)) + 1


@njit(cache=True, nogil=True)
def _reaching(parts: ConvexParts, grid: Grid, i: int, found: I64) -> int:
    """Write the places whose boxes may meet that of quad `i` to `found`, return how many there are."""
    box = parts.boxes[i]
    count = 0
    for k in range(len(grid.cell)):
        first_line, end_line = _cell_range(box[1], box[3], grid.top[k], grid.cell[k], grid.lines[k])
        first, end = _cell_range(box[0], box[2], grid.left[k], grid.cell[k], grid.columns[k])
        for line in range(first_line, end_line):
            start = grid.first_cell[k] + line * grid.columns[k]
            for place in range(grid.starts[start + first], grid.starts[start + end]):
                found[count] = place
                count += 1
    return count


@njit(cache=True, nogil=True)
def greedy_owners(
    parts: ConvexParts, labels: I64, ranked: I64, grid: Grid, threshold: float, smaller: bool, limit: int
) -> I64:
    """Return by whom each quad is removed, (N,): its own place for one that stays, -1 where none asked.

    All arguments and the result stand in the places of the grid.

    Args:
        ranked: (N,) places, highest score first.
        limit: stop when so many stay.
    """
    owners, found = np.full(len(ranked), -1, dtype=np.int64), np.empty(len(ranked), dtype=np.int64)
    scratch = _new_scratch()
    kept = 0
    for i in ranked:
        if owners[i] >= 0:
            continue
        if kept == limit:
            break
        owners[i] = i
        kept += 1
        for j in found[: _reaching(parts, grid, i, found)]:
            if (
                owners[j] < 0
                and labels[j] == labels[i]
                and _pair_ratio(parts, i, j, threshold, smaller, scratch) > threshold
            ):
                owners[j] = i
    return owners


@njit(cache=True, nogil=True)
def soft_scores(
    parts: ConvexParts, labels: I64, scores: F64, grid: Grid, sigma: float, threshold: float, least: float
) -> tuple[I64, F64]:
    """Return the places in the order in which soft-NMS takes them, and their scores then.

    Args:
        scores: (N,) in the places of the grid; lowered in place.
        sigma: of the Gaussian decay exp(-IoU^2 / sigma); 0: linear decay by 1 - IoU.
        threshold: IoU up to which the linear decay leaves scores alone.
        least: scores that fall below it are out.
    """
    scratch = _new_scratch()
    taken = np.zeros(len(scores), dtype=np.bool_)
    order, found = np.empty(len(scores), dtype=np.int64), np.empty(len(scores), dtype=np.int64)
    count = 0
    heap = [(-scores[i], grid.rows[i], i) for i in range(len(scores))]
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
        for j in found[: _reaching(parts, grid, i, found)]:
            if taken[j] or labels[j] != labels[i]:
                continue
            iou = _pair_ratio(parts, i, j, 0.0, False, scratch)
            if sigma > 0:
                scores[j] *= math.exp(-iou * iou / sigma)
            elif iou > threshold:
                scores[j] *= 1 - iou
    return order[:count], scores
