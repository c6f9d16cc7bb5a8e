"""Kernels of exact quad overlaps and suppression on the CPU, float64; compiled once, cached on disk.

Every kernel that calls another stands in this file beside it: numba does not notice that a cached kernel's
callee changed elsewhere.  Two quads share what their convex parts share, found by clipping (Sutherland and
Hodgman, 1974).  Kernels hold no lock, so `utils.threads` can run them on slices of the rows.
"""

import numpy as np
from numpy.typing import NDArray

from utils.arrays import F64, I64
from utils.kernels import kernel
from utils.quads.grid import CELL, CELLS_X, CELLS_Y, FIRST_CELL, ORIGIN_X, ORIGIN_Y
from utils.quads.parts import AREA, BOTTOM, LEFT, RIGHT, SECOND, SIGN, TOP, VERTICES

# Plain tuples: numba's cache names no class of ours, so it outlives a version of this code.
Pieces = tuple[F64, F64, F64]  # boxes, parts, second parts: see quad_parts.to_shapes
Span = tuple[int, int]
Index = tuple[I64, F64]  # starts, grids: see quad_grid.build_grid
# Clipping n vertices by one edge leaves at most 1.5 n: 4, 6, 9, 13, 19.
MAX_VERTICES = 20
SCRATCH = 5 * MAX_VERTICES  # two polygons of x and y, and a side for each vertex
ROUNDING = 1e-6  # of an IoU; bounds this close to a threshold are left to the exact computation


@kernel
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


@kernel
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


@kernel
def _part_overlap(a: F64, i: int, b: F64, j: int, scratch: F64) -> float:
    """Return the area shared by the convex parts in row `i` of `a` and row `j` of `b`."""
    # Clipped points keep float64's steps near 0, not near 1e5: shift before, never after.
    x0, y0 = a[i, VERTICES], a[i, VERTICES + 1]
    size = 4
    for k in range(size):
        scratch[k] = a[i, VERTICES + 2 * k] - x0
        scratch[MAX_VERTICES + k] = a[i, VERTICES + 2 * k + 1] - y0
    source, target = 0, 2 * MAX_VERTICES
    start_x, start_y = b[j, VERTICES + 6] - x0, b[j, VERTICES + 7] - y0
    for edge in range(4):
        end_x, end_y = b[j, VERTICES + 2 * edge] - x0, b[j, VERTICES + 2 * edge + 1] - y0
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


@kernel
def _overlap(a: F64, seconds_a: F64, i: int, b: F64, seconds_b: F64, j: int, scratch: F64) -> float:
    """Return the area shared by quad `i` of `a` and quad `j` of `b`, whose horizontal boxes meet."""
    area_a, area_b = float(a[i, AREA]), float(b[j, AREA])
    if area_a == 0 or area_b == 0:
        return 0.0
    more_a, more_b = int(a[i, SECOND]), int(b[j, SECOND])
    shared = _part_overlap(a, i, b, j, scratch)
    if more_a < 0 and more_b < 0:
        return min(shared, area_a, area_b)
    shared *= a[i, SIGN] * b[j, SIGN]
    signed = False
    if more_a >= 0:
        signed |= a[i, SIGN] * seconds_a[more_a, SIGN] < 0
        sign = seconds_a[more_a, SIGN] * b[j, SIGN]
        shared += sign * _part_overlap(seconds_a, more_a, b, j, scratch)
    if more_b >= 0:
        signed |= b[j, SIGN] * seconds_b[more_b, SIGN] < 0
        shared += a[i, SIGN] * seconds_b[more_b, SIGN] * _part_overlap(a, i, seconds_b, more_b, scratch)
    if more_a >= 0 and more_b >= 0:
        sign = seconds_a[more_a, SIGN] * seconds_b[more_b, SIGN]
        shared += sign * _part_overlap(seconds_a, more_a, seconds_b, more_b, scratch)
    # A net area of parts of opposite sign may share more than itself.
    return float(shared if signed else min(shared, area_a, area_b))


@kernel
def _ratio(shared: float, area_a: float, area_b: float, smaller: bool) -> float:
    """Return the shared area over the union or the smaller of two areas, 0 when nothing is shared."""
    whole = min(area_a, area_b) if smaller else area_a + area_b - shared
    return shared / whole if shared > 0 and whole > 0 else 0.0


@kernel
def _boxes_meet(a: F64, i: int, b: F64, j: int) -> bool:
    beside = (a[i, RIGHT] > b[j, LEFT]) & (b[j, RIGHT] > a[i, LEFT])
    return bool(beside & (a[i, BOTTOM] > b[j, TOP]) & (b[j, BOTTOM] > a[i, TOP]))


@kernel
def pairwise_ratios(
    a: Pieces, b: Pieces, out: NDArray[np.floating], first: int, last: int, smaller: bool
) -> None:
    """Write the IoU (or IoS) of rows `first` to `last` of `a` with all of `b` into zeros `out` (N, M)."""
    (boxes_a, parts_a, more_a), (boxes_b, parts_b, more_b) = a, b
    scratch = np.empty(SCRATCH)
    for i in range(first, last):
        for j in range(len(boxes_b)):
            if _boxes_meet(boxes_a, i, boxes_b, j):
                shared = _overlap(parts_a, more_a, i, parts_b, more_b, j, scratch)
                out[i, j] = _ratio(shared, parts_a[i, AREA], parts_b[j, AREA], smaller)


@kernel
def paired_areas(a: Pieces, b: Pieces, pairs: I64, out: F64, first: int, last: int) -> None:
    """Write the areas that rows of `a` and of `b` share, `pairs` (2, N), into zeros `out` (N,)."""
    (boxes_a, parts_a, more_a), (boxes_b, parts_b, more_b) = a, b
    scratch = np.empty(SCRATCH)
    for k in range(first, last):
        i, j = pairs[0, k], pairs[1, k]
        if _boxes_meet(boxes_a, i, boxes_b, j):
            out[k] = _overlap(parts_a, more_a, i, parts_b, more_b, j, scratch)


@kernel
def _may_exceed(boxes: F64, parts: F64, i: int, j: int, threshold: float, smaller: bool) -> bool:
    """Return False where boxes and areas prove the IoU (or IoS) of two quads at most the threshold."""
    width = min(boxes[i, RIGHT], boxes[j, RIGHT]) - max(boxes[i, LEFT], boxes[j, LEFT])
    height = min(boxes[i, BOTTOM], boxes[j, BOTTOM]) - max(boxes[i, TOP], boxes[j, TOP])
    if width <= 0 or height <= 0:
        return False
    area_i, area_j = parts[i, AREA], parts[j, AREA]
    most = min(width * height, area_i, area_j)
    return bool(_ratio(most, area_i, area_j, smaller) > threshold - ROUNDING)


@kernel
def _exact(parts: F64, more: F64, i: int, j: int, smaller: bool, scratch: F64) -> float:
    """Return the IoU (or IoS) of two quads whose boxes meet."""
    shared = _overlap(parts, more, i, parts, more, j, scratch)
    return float(_ratio(shared, parts[i, AREA], parts[j, AREA], smaller))


@kernel
def _cell_range(low: float, high: float, origin: float, cell: float, cells: int) -> tuple[int, int]:
    """Return the first and one past the last cell whose boxes may reach into [low, high], along one axis."""
    last = float(cells - 1)
    first = min(max((low - origin) / cell - 1, 0.0), last)
    return int(first), int(min(max((high - origin) / cell, 0.0), last)) + 1


@kernel
def _reaching(boxes: F64, index: Index, i: int, found: I64) -> int:
    """Write the places whose boxes may meet that of quad `i` to `found`, return how many there are."""
    starts, grids = index
    left, top, right, bottom = boxes[i, LEFT], boxes[i, TOP], boxes[i, RIGHT], boxes[i, BOTTOM]
    count = 0
    for k in range(len(grids)):
        cell, columns = grids[k, CELL], int(grids[k, CELLS_X])
        first_line, end_line = _cell_range(top, bottom, grids[k, ORIGIN_Y], cell, int(grids[k, CELLS_Y]))
        first, end = _cell_range(left, right, grids[k, ORIGIN_X], cell, columns)
        for line in range(first_line, end_line):
            start = int(grids[k, FIRST_CELL]) + line * columns
            for place in range(starts[start + first], starts[start + end]):
                found[count] = place
                count += 1
    return count


@kernel
def _one_class(labels: I64, i: int, j: int) -> bool:
    return bool(len(labels) == 0 or labels[i] == labels[j])


@kernel
def _take_first(found: I64, count: int, ranks: I64) -> int:
    """Return the one of lowest rank and put the last in its place."""
    first = 0
    for k in range(1, count):
        if ranks[found[k]] < ranks[found[first]]:
            first = k
    place = found[first]
    found[first] = found[count - 1]
    return int(place)


@kernel
def _best_rival(
    shapes: Pieces, i: int, found: I64, count: int, ranks: I64, threshold: float, smaller: bool, scratch: F64
) -> int:
    """Return the first by rank of `count` places whose quad overlaps quad `i` too much, or `i` if none."""
    _, parts, more = shapes
    while count > 0:
        rival = _take_first(found, count, ranks)
        count -= 1
        if _exact(parts, more, i, rival, smaller, scratch) > threshold:
            return rival
    return i


@kernel
def settle_owners(
    shapes: Pieces,
    index: Index,
    labels: I64,
    ranks: I64,
    owners: I64,
    span: Span,
    above: float,
    smaller: bool,
) -> None:
    """Decide by whom the quads of a span of places are removed: their own place for those that stay.

    The greedy order, asked from the other end: a quad goes if the best of those that precede and overlap it
    stays, and that one is settled first.  So neighbours in space are settled one after another, which is
    kind to the cache, and threads may share `owners`: whoever settles a quad writes the same.

    Args:
        labels: (N,) or none; classes, by place like all that follows.
        ranks: (N,) 0 for the highest score.
        owners: (N,) -1 at first.
    """
    boxes, parts, _ = shapes
    found, stack = np.empty(len(ranks), dtype=np.int64), np.empty(len(ranks), dtype=np.int64)
    scratch = np.empty(SCRATCH)
    for place in range(span[0], span[1]):
        stack[0] = place
        depth = 0
        while depth >= 0:
            i = stack[depth]
            if owners[i] >= 0:
                depth -= 1
                continue
            count = 0
            for j in found[: _reaching(boxes, index, i, found)]:
                if (
                    ranks[j] < ranks[i]
                    and (owners[j] < 0 or owners[j] == j)
                    and _one_class(labels, i, j)
                    and _may_exceed(boxes, parts, i, j, above, smaller)
                ):
                    found[count] = j
                    count += 1
            best = _best_rival(shapes, i, found, count, ranks, above, smaller, scratch)
            if best == i or owners[best] == best:
                owners[i] = best
                depth -= 1
            else:
                depth += 1
                stack[depth] = best


@kernel
def overlapping_pairs(shapes: Pieces, index: Index, labels: I64) -> tuple[I64, I64, F64]:
    """Return whom of its class each quad overlaps: where its rows begin (N + 1,), their places and IoUs."""
    boxes, parts, more = shapes
    scratch, found = np.empty(SCRATCH), np.empty(len(boxes), dtype=np.int64)
    starts = np.zeros(len(boxes) + 1, dtype=np.int64)
    for i in range(len(boxes)):
        starts[i + 1] = starts[i] + _reaching(boxes, index, i, found)
    others, ious = np.empty(starts[-1], dtype=np.int64), np.empty(starts[-1])
    count = 0
    for i in range(len(boxes)):
        starts[i] = count
        for j in found[: _reaching(boxes, index, i, found)]:
            if i != j and _one_class(labels, i, j) and _may_exceed(boxes, parts, i, j, 0.0, False):
                others[count], ious[count] = j, _exact(parts, more, i, j, False, scratch)
                count += 1
    starts[-1] = count
    return starts, others[:count], ious[:count]
