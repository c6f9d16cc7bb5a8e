"""Non-maximum suppression (NMS) of convex quads in numpy, for machines without torch and numba.

It keeps the same rows as `utils.quads.nms`, and knows the same owners of what it removes.  IoU is exact: the
area of the intersection is the sum of the triangles between the origin and those parts of the edges of either
quad that lie in the other one (Green's theorem), so nothing is sorted and all pairs are computed at once.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.arrays import F64, I64

PARALLEL = 1e-9  # of two edges: their cross product, where the first quad spans 1
PAIRS_AT_ONCE = 500  # 16 tests each, which stay in the cache
MOST_STRIPS = 256
BOUND_SLACK = 1e-9  # of the IoU of boxes, which is above that of quads but for rounding


class QuadGroups(NamedTuple):
    """Quads that stay, and which of them stands for each quad."""

    kept: I64  # (K,) rows, highest score first, equal scores by row
    owners: I64  # (N,) the best row that removes each, itself where none does


def paired_ious(first: F64, second: F64) -> F64:
    """Return the IoU (P,) of pairs of convex quads (P, 4, 2), clockwise on the screen; 0 without an area."""
    parts = [slice(k, k + PAIRS_AT_ONCE) for k in range(0, len(first), PAIRS_AT_ONCE)]
    return np.concatenate([np.zeros(0), *(_ious(first[part], second[part]) for part in parts)])


def _ious(first: F64, second: F64) -> F64:
    centre = first.mean(axis=1, keepdims=True)
    extent = np.ptp(first, axis=1).max(axis=1)[:, None, None]
    extent[extent == 0] = 1.0
    scaled = (((quads - centre) / extent).transpose(2, 1, 0) for quads in (first, second))
    one, other = (np.ascontiguousarray(points) for points in scaled)  # (2, 4, P)
    shared = _inner_area(one, other, True) + _inner_area(other, one, False)
    union = _areas(one) + _areas(other) - shared
    return np.divide(np.maximum(shared, 0.0), union, out=np.zeros(len(first)), where=union > 0)


def _areas(points: F64) -> F64:
    x, y = points
    return np.asarray(0.5 * (x * np.roll(y, -1, 0) - np.roll(x, -1, 0) * y).sum(axis=0), np.float64)


def _inner_area(points: F64, sides: F64, owns_shared: bool) -> F64:
    """Return what the edges of one quad that lie in another add to the area of the intersection, (P,).

    Args:
        points: (2, 4, P) x and y of the quad with the edges.
        sides: (2, 4, P) of the other.
        owns_shared: whether an edge on a side of the other counts, which it may for one of the two alone.
    """
    x, y = points[:, :, None]  # (4, 1, P) edges
    along_x, along_y = np.roll(points, -1, 1)[:, :, None] - points[:, :, None]
    side_x, side_y = sides[:, None]  # (1, 4, P)
    step_x, step_y = np.roll(sides, -1, 1)[:, None] - sides[:, None]
    turn = step_x * along_y - step_y * along_x  # (4, 4, P): above 0 the edge comes in, below it leaves
    depth = step_x * (y - side_y) - step_y * (x - side_x)  # above 0: its start is inside
    with np.errstate(divide="ignore", invalid="ignore"):
        place = depth / -turn  # where the edge meets the line, 0: at its start, 1: at its end
    start = np.where(turn > PARALLEL, place, 0.0).max(axis=1)
    end = np.where(turn < -PARALLEL, place, 1.0).min(axis=1)
    inside = np.maximum(end - start, 0.0)  # share of the edge, (4, P)
    edge, side, pair = np.nonzero(np.abs(turn) <= PARALLEL)
    off, ahead = depth[edge, side, pair], step_x[0, side, pair] * along_x[edge, 0, pair]
    ahead += step_y[0, side, pair] * along_y[edge, 0, pair]
    is_side = np.abs(step_x[0, side, pair]) + np.abs(step_y[0, side, pair]) > 0  # a triangle repeats a vertex
    counts = (off > PARALLEL) | (owns_shared & (off > -PARALLEL) & (ahead > 0)) | ~is_side
    inside[edge[~counts], pair[~counts]] = 0.0
    return np.asarray(0.5 * (inside * (x * along_y - y * along_x)[:, 0]).sum(axis=0), np.float64)


def possible_pairs(quads: F64, labels: I64, least_iou: float) -> tuple[I64, I64]:
    """Return the pairs of rows (P,), (P,) of one class whose boxes leave an IoU above `least_iou` possible.

    A sweep along x through strips of the image, all strips and classes side by side.

    Args:
        quads: (N, 4, 2).
        labels: (N,).
    """
    low, high = quads.min(axis=1), quads.max(axis=1)
    rows, strips, height = _strips(low[:, 1], high[:, 1])
    lane = labels[rows] * (int(np.ptp(strips)) + 1 if len(rows) else 1) + strips
    width = 2 * float(np.ptp(np.concatenate([low[:, 0], high[:, 0]]))) + 1 if len(quads) else 1.0
    order = np.argsort(low[rows, 0] + lane * width)
    rows, strips, shift = rows[order], strips[order], lane[order] * width
    last = np.searchsorted(low[rows, 0] + shift, high[rows, 0] + shift, side="right")
    counts = np.maximum(last - np.arange(1, len(rows) + 1), 0)  # of those that begin before it ends
    first = np.repeat(np.arange(len(rows)), counts)
    second = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts) + first + 1
    one, other = rows[first], rows[second]
    top = np.maximum(low[one, 1], low[other, 1])
    shared = np.minimum(high[one, 1], high[other, 1]) - top
    shared *= np.minimum(high[one, 0], high[other, 0]) - np.maximum(low[one, 0], low[other, 0])
    areas = _areas(quads.transpose(2, 1, 0))
    possible = shared * (1 + least_iou) + BOUND_SLACK >= least_iou * (areas[one] + areas[other])
    possible &= (shared > 0) & (np.floor(top / height) == strips[first])  # in one strip alone
    return one[possible], other[possible]


def suppress_quads(
    quads: F64, scores: NDArray[np.floating], labels: I64, iou_threshold: float, limit: int | None = None
) -> QuadGroups:
    """Greedy NMS, class by class: the best quad stays and removes what overlaps it by more than a threshold.

    Args:
        quads: (N, 4, 2) finite and convex, clockwise on the screen.
        scores: (N,).
        labels: (N,).
        iou_threshold: 0 to 1.
        limit: at most so many are kept, over all classes; None: all.
    """
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    pairs = np.sort(ranks[np.stack(possible_pairs(quads, labels, iou_threshold))], axis=0)
    owners = _settle(quads[order], pairs, iou_threshold)
    stays = owners == np.arange(len(order))
    by_row = np.empty_like(order)
    by_row[order] = order[owners]
    return QuadGroups(order[stays][:limit], by_row)


def _settle(quads: F64, pairs: I64, iou_threshold: float) -> I64:
    """Return the best row that removes each of quads (N, 4, 2), best first, itself where none does.

    In rounds: what nothing undecided may remove stays, and removes.  Pairs of two that are removed, the most
    where objects have many candidates, are never measured.

    Args:
        pairs: (2, P) rows that may overlap, the better one first.
    """
    owners, undecided = np.arange(len(quads)), np.ones(len(quads), bool)
    passed = []  # pairs in which one was decided before the better one was known to stay
    while pairs.size:
        leads = undecided.copy()
        leads[pairs[1]] = False
        measured = leads[pairs[0]]
        _remove(owners, quads, pairs[:, measured], iou_threshold)
        undecided &= ~leads & (owners == np.arange(len(quads)))
        pairs = pairs[:, ~measured]
        is_open = undecided[pairs].all(axis=0)
        passed.append(pairs[:, ~is_open])
        pairs = pairs[:, is_open]
    if passed:  # the first to stay need not be the best that removes another
        pairs = np.concatenate(passed, axis=1)
        owner = owners[pairs]
        late = (owner[0] == pairs[0]) & (owner[1] != pairs[1]) & (pairs[0] < owner[1])
        _remove(owners, quads, pairs[:, late], iou_threshold)
    return owners


def _remove(owners: I64, quads: F64, pairs: I64, iou_threshold: float) -> None:
    """Make the first of each pair the owner of the second where they overlap and it has none better."""
    better, worse = pairs[:, paired_ious(*quads[pairs]) > iou_threshold]
    np.minimum.at(owners, worse, better)


def _strips(top: F64, bottom: F64) -> tuple[I64, I64, float]:
    """Return row and strip of every strip (M,), (M,) that spans (N,) of y touch, and the strips' height."""
    height = max(2 * float((bottom - top).mean()), float(np.ptp(top)) / MOST_STRIPS, 1.0) if len(top) else 1.0
    begin, end = (np.floor(edges / height).astype(np.int64) for edges in (top, bottom))
    counts = end - begin + 1
    rows = np.repeat(np.arange(len(top)), counts)
    strips = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + begin[rows]
    return rows, strips, height
