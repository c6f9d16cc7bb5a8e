"""Box voting in numpy: what suppression removes moves the quads that stay, as `utils.quads.fusion` says."""

import numpy as np
from numpy.typing import NDArray

from evalR.runtime.suppression import QuadGroups, paired_ious
from utils.arrays import F64, I64

TURNS = (np.arange(4)[:, None] + np.arange(4)) % 4  # the vertices of a quad from each of its four


def vote(quads: F64, scores: F64, groups: QuadGroups, least_iou: float) -> tuple[F64, F64]:
    """Return the quads that stay (K, 4, 2), moved by votes, and the support of each (K,).

    The voters of a quad are itself and those it removed whose IoU with it is above a threshold, weighted by
    the squares of their scores; support is the sum of score times IoU over the others.

    Args:
        quads: (N, 4, 2), all of one vertex direction.
        scores: (N,).
        groups: of `suppress_quads` for these quads.
        least_iou: 0 to 1.
    """
    kept, owners = groups
    place = np.full(len(quads), -1)
    place[kept] = np.arange(len(kept))
    rows = np.flatnonzero((place[owners] >= 0) & (place < 0))
    ious = paired_ious(quads[rows], quads[owners[rows]])
    rows, ious = rows[ious > least_iou], ious[ious > least_iou]
    support = np.bincount(place[owners[rows]], scores[rows] * ious, len(kept)).astype(np.float64)
    voters = np.concatenate([kept, rows])
    return _mean_quads(quads[voters], quads[kept], place[owners[voters]], scores[voters] ** 2), support


def _mean_quads(quads: F64, leaders: F64, group: I64, weights: F64) -> F64:
    """Return the weighted means of groups of quads, vertices matched in the rotation that moves least."""
    moves = quads[:, TURNS] - leaders[group][:, None]  # (N, 4 rotations, 4, 2)
    nearest = np.square(moves).sum(axis=(2, 3)).argmin(axis=1)
    moves = moves[np.arange(len(quads)), nearest].reshape(-1, 8)
    total = np.maximum(np.bincount(group, weights, len(leaders)), np.finfo(np.float64).tiny)
    weighted = moves * (weights / total[group])[:, None]
    shifts = [np.bincount(group, column, len(leaders)) for column in weighted.T]
    mean = leaders + np.stack(shifts, axis=1).reshape(-1, 4, 2)
    return np.where(_are_convex(mean)[:, None, None], mean, leaders)


def _are_convex(quads: F64) -> NDArray[np.bool_]:
    edges = np.roll(quads, -1, axis=1) - quads
    following = np.roll(edges, -1, axis=1)
    turns = edges[..., 0] * following[..., 1] - edges[..., 1] * following[..., 0]
    return np.asarray((turns >= 0).all(axis=1) | (turns <= 0).all(axis=1))
