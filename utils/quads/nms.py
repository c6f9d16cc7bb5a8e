"""Non-maximum suppression (NMS) of quads by their exact overlap.

Nothing is ever offset by class or image, so classes never meet, whatever the size of the image.  CPU tensors
go through machine code over a spatial grid, near-linear in the number of quads; those of a GPU through torch
(`quad_nms_torch`), without a loop over quads.  Both give the same indices.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.arrays import F64, I64
from utils.quads.grid import build_grid
from utils.quads.iou import Over, check_quads, to_array
from utils.quads.kernels import Index, Pieces, overlapping_pairs, settle_owners
from utils.quads.nms_torch import greedy_groups_torch
from utils.quads.parts import to_boxes, to_shapes
from utils.threads import in_slices

QUADS_PER_THREAD = 2000


def quad_nms(
    quads: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    iou_threshold: float,
    max_detections: int | None = None,
    over: Over = "union",
) -> Tensor:
    """Return the indices that NMS keeps, (K,) int64, highest score first, equal scores by index.

    Greedy and class by class: the best remaining quad stays and removes the others of its class whose IoU
    with it is above the threshold.  Source: spec 7.7.

    Args:
        quads: (N, 4, 2) pixels, any vertex direction.
        scores: (N,).
        labels: (N,) integers; None: all are one class.
        iou_threshold: 0 to 1.
        max_detections: at most so many are returned, over all classes; None: all.
        over: "smaller" compares the share of the smaller quad instead of the IoU.

    Raises:
        ValueError: lengths differ, or a score or a coordinate is NaN or infinite; names the first such row.
    """
    return batched_quad_groups(quads, scores, labels, None, iou_threshold, max_detections, over).kept


class Groups(NamedTuple):
    """Suppression groups: quads that stay, and which of them stands for each quad."""

    kept: Tensor  # (K,) int64 rows, image by image, highest score first
    owners: Tensor  # (N,) int64, the best row that removes each, itself where none does; beyond a limit, too


def batched_quad_groups(  # noqa: PLR0913
    quads: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    images: Tensor | None,
    iou_threshold: float,
    max_detections: int | None = None,
    over: Over = "union",
) -> Groups:
    """Suppress image by image as `quad_nms`; return what is kept, and what stands for the rest.

    Args:
        quads: (N, 4, 2) candidates of all images, in any order.
        scores: (N,).
        labels: (N,) integers; None: all are one class.
        images: (N,) integers, the image of each row; None: all are of one.
        iou_threshold: 0 to 1.
        max_detections: at most so many per image.
        over: as in `quad_nms`.

    Raises:
        ValueError: as `quad_nms`.
    """
    _check(quads, scores, {"labels": labels, "images": images}, iou_threshold)
    if quads.is_cuda:
        return Groups(
            *greedy_groups_torch(
                quads, scores, labels, images, iou_threshold, max_detections, over == "smaller"
            )
        )
    array, names = to_array(quads), _integers(labels)
    order, bounds = _ranked(scores, images)
    owners = np.empty_like(order)
    kept: list[I64] = [order[:0]] * (len(bounds) - 1)

    def suppress(first: int, last: int) -> None:
        for k in range(first, last):
            ranked = order[bounds[k] : bounds[k + 1]]
            owners[ranked] = _owners(array, names, ranked, iou_threshold, over == "smaller")
            kept[k] = ranked[owners[ranked] == ranked][:max_detections]

    in_slices(suppress, len(kept))
    return Groups(torch.from_numpy(np.concatenate([order[:0], *kept])), torch.from_numpy(owners))


class OverlapPairs(NamedTuple):
    """Quads of one class that overlap, each pair once."""

    first: Tensor  # (P,) int64 rows
    second: Tensor  # (P,) int64 rows, above the first
    ious: Tensor  # (P,) float64, above 0


def overlapping_quads(quads: Tensor, labels: Tensor | None) -> OverlapPairs:
    """Return which quads (N, 4, 2) overlap within their class (N,), in near-linear time; on the CPU.

    Raises:
        ValueError: as `quad_nms`.
    """
    _check(quads, quads.new_zeros(len(quads)), {"labels": labels}, 0.0)
    placed, names = _in_places(to_array(quads)), _integers(labels)
    starts, places, ious = overlapping_pairs(
        placed.shapes, placed.grid, names[placed.rows] if len(names) else names
    )
    first = placed.rows[np.repeat(np.arange(len(placed.rows)), np.diff(starts))]
    second = placed.rows[places]
    once = first < second
    return OverlapPairs(*(torch.from_numpy(values[once]) for values in (first, second, ious)))


def _check(quads: Tensor, scores: Tensor, names: dict[str, Tensor | None], iou_threshold: float) -> None:
    check_quads(quads, "quads")
    for name, values in {"scores": scores, **names}.items():
        if values is not None and tuple(values.shape) != (len(quads),):
            raise ValueError(
                f"{name}: expected shape ({len(quads)},) as there are quads, got {tuple(values.shape)}"
            )
    if not scores.sum().isfinite() and not scores.isfinite().all():
        row = int(scores.isfinite().logical_not().nonzero()[0])
        raise ValueError(f"scores[{row}]: expected a finite number, got {float(scores[row])}")
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold: expected 0 to 1, got {iou_threshold}")


def _integers(values: Tensor | None) -> I64:
    """Return classes or images as an array, an empty one if there are none."""
    return np.zeros(0, dtype=np.int64) if values is None else values.detach().cpu().long().numpy()


def _ranked(scores: Tensor, images: Tensor | None) -> tuple[I64, I64]:
    """Return the rows by image, highest score first and equal ones by row, and where each image begins."""
    minus = -scores.detach().cpu().double().numpy()
    if images is None:
        order = np.argsort(minus)  # ten times as fast as a stable sort, and the same without equal scores
        if (np.diff(minus[order]) == 0).any():
            order = np.argsort(minus, kind="stable")
        return order, np.array([0, len(minus)])
    names = _integers(images)
    order = np.lexsort((minus, names))
    inner = np.flatnonzero(np.diff(names[order])) + 1
    return order, np.array([0, *inner, len(minus)])


def _owners(quads: F64, labels: I64, ranked: I64, threshold: float, smaller: bool) -> I64:
    """Return by which row each of the `ranked` rows is removed, itself if it stays."""
    rows = np.sort(ranked) if len(ranked) < len(quads) else None  # all rows: nothing to gather
    placed = _in_places(quads if rows is None else quads[rows])
    sources = placed.rows if rows is None else rows[placed.rows]
    ranks = np.empty(len(quads), dtype=np.int64)
    ranks[ranked] = np.arange(len(ranked))
    names = labels[sources] if len(labels) else labels
    owners = np.full(len(sources), -1, dtype=np.int64)
    known = (placed.shapes, placed.grid, names, ranks[sources], owners)

    def settle(first: int, last: int) -> None:
        settle_owners(*known, (first, last), float(threshold), smaller)

    in_slices(settle, len(sources), QUADS_PER_THREAD)
    removed_by = np.empty(len(quads), dtype=np.int64)
    removed_by[sources] = sources[owners]
    return removed_by[ranked]


class _Placed(NamedTuple):
    """Quads in the places of a grid; see `quad_grid.build_grid`."""

    shapes: Pieces
    grid: Index
    rows: I64  # (N,) which quad stands at each place


def _in_places(quads: F64) -> _Placed:
    rows, starts, grids = build_grid(to_boxes(quads))
    return _Placed(to_shapes(quads, rows, False), (starts, grids), rows)
