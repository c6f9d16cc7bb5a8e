"""Non-maximum suppression (NMS) of quads by their exact overlap.

Nothing is ever offset by class or image, so classes never meet, whatever the size of the image.  CPU tensors
go through machine code over a spatial grid, near-linear in the number of quads; those of a GPU through torch
(`quad_nms_torch`), without a loop over quads.  Both give the same indices.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.quad_grid import build_grid
from utils.quad_iou import Over, check_quads, to_array
from utils.quad_kernels import Index, Shapes, overlapping_pairs, settle_owners
from utils.quad_nms_torch import greedy_keep_torch
from utils.quad_parts import F64, I64, to_boxes, to_shapes
from utils.quad_soft import soft_order
from utils.quads import clockwise_quads, is_convex, uncrossed_quads
from utils.threads import in_slices

QUADS_PER_THREAD = 2000
TINY = 1e-300  # where all scores of a group are 0, its leader stays as it is


def quad_nms(
    quads: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    iou_threshold: float,
    max_detections: int | None = None,
    over: Over = "union",
) -> Tensor:
    """Return the indices that stay, (K,) int64, highest score first, equal scores by index.

    Greedy and class by class: the best remaining quad stays and removes the others of its class whose IoU
    with it is above the threshold.  Source: spec/gghl.md 7.7 (FIX).

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
    return batched_quad_nms(quads, scores, labels, None, iou_threshold, max_detections, over)


def batched_quad_nms(  # noqa: PLR0913
    quads: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    images: Tensor | None,
    iou_threshold: float,
    max_detections: int | None = None,
    over: Over = "union",
) -> Tensor:
    """Return what `quad_nms` gives for each image, image by image, as indices into the rows of all.

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
        return greedy_keep_torch(
            quads, scores, labels, images, iou_threshold, max_detections, over == "smaller"
        )
    array, names = to_array(quads), _integers(labels)
    order, bounds = _ranked(scores, images)
    kept: list[I64] = [order[:0]] * (len(bounds) - 1)

    def suppress(first: int, last: int) -> None:
        for k in range(first, last):
            ranked = order[bounds[k] : bounds[k + 1]]
            owners = _owners(array, names, ranked, iou_threshold, over == "smaller")
            kept[k] = ranked[owners == ranked][:max_detections]

    in_slices(suppress, len(kept))
    return torch.from_numpy(np.concatenate([order[:0], *kept]))


class Pairs(NamedTuple):
    """Quads of one class that overlap, each pair once."""

    first: Tensor  # (P,) int64 rows
    second: Tensor  # (P,) int64 rows, above the first
    ious: Tensor  # (P,) float64, above 0


def overlapping_quads(quads: Tensor, labels: Tensor | None) -> Pairs:
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
    return Pairs(*(torch.from_numpy(values[once]) for values in (first, second, ious)))


class SoftKept(NamedTuple):
    """What soft-NMS leaves."""

    rows: Tensor  # (K,) int64, in the order in which they were taken: falling lowered scores
    scores: Tensor  # (K,) lowered


def soft_quad_nms(  # noqa: PLR0913
    quads: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    method: Literal["gaussian", "linear"] = "gaussian",
    *,
    sigma: float = 0.5,
    iou_threshold: float = 0.3,
    score_threshold: float = 0.001,
) -> SoftKept:
    """Lower the scores of overlapping quads of a class instead of removing them; on the CPU.

    Source: Bodla et al., Soft-NMS, ICCV 2017 (arXiv:1704.04503), equations 2 and 3.

    Args:
        quads: (N, 4, 2).
        scores: (N,), 0 to 1.
        labels: (N,) integers; None: all are one class.
        method: "gaussian" multiplies by exp(-IoU^2 / sigma), "linear" by 1 - IoU above `iou_threshold`.
        sigma: above 0.
        iou_threshold: of the linear method.
        score_threshold: what falls below is out.

    Raises:
        ValueError: as `quad_nms`, or sigma is not above 0.
    """
    _check(quads, scores, {"labels": labels}, iou_threshold)
    if not sigma > 0:
        raise ValueError(f"sigma: expected a number above 0, got {sigma}")
    placed = _in_places(to_array(quads))
    lowered = scores.detach().cpu().double().numpy()[placed.rows]
    names = _integers(labels)
    names = names[placed.rows] if len(names) else names
    pairs = overlapping_pairs(placed.shapes, placed.grid, names)
    width = sigma if method == "gaussian" else 0.0
    places = soft_order(pairs, lowered, placed.rows, width, iou_threshold, score_threshold)
    rows = torch.from_numpy(placed.rows[places]).to(quads.device)
    return SoftKept(rows, torch.from_numpy(lowered[places]).to(scores))


class Fused(NamedTuple):
    """Groups of quads, each merged into one, best leader first."""

    quads: Tensor  # (K, 4, 2) clockwise on the screen, convex where the leader is
    scores: Tensor  # (K,)
    leaders: Tensor  # (K,) int64 row of the highest score of each group


def fuse_quads(
    quads: Tensor, scores: Tensor, labels: Tensor | None, iou_threshold: float, views: int | None = None
) -> Fused:
    """Merge detections of several views of one image: each group becomes its mean, weighted by the scores.

    A group is a quad that `quad_nms` keeps and those that it removes.  Vertices are matched in the rotation
    that moves them least; a mean that is not convex gives way to the leader.  On the CPU.
    Source: after Solovyev et al., Weighted boxes fusion, 2021 (arXiv:1910.13302), with the groups of NMS.

    Args:
        quads: (N, 4, 2).
        scores: (N,), 0 or above.
        labels: (N,) integers; None: all are one class.
        iou_threshold: 0 to 1.
        views: number of views, all of which show the whole image; the score is then the mean of the group,
            times the share of the views that found it.  None: the score of the leader, as for tiles.

    Raises:
        ValueError: as `quad_nms`, or a score is negative.
    """
    _check(quads, scores, {"labels": labels}, iou_threshold)
    if (scores < 0).any():
        raise ValueError(f"scores[{int((scores < 0).nonzero()[0])}]: expected 0 or above")
    order, _ = _ranked(scores, None)
    owners = _owners(to_array(quads), _integers(labels), order, iou_threshold, False)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    ranked = torch.from_numpy(order)
    leaders, group = (torch.from_numpy(found) for found in np.unique(ranks[owners], return_inverse=True))
    shapes = clockwise_quads(uncrossed_quads(quads.detach().cpu().double()))[ranked]
    weights = scores.detach().cpu().double()[ranked]
    total = torch.zeros(len(leaders), dtype=weights.dtype).index_add(0, group, weights)
    value = weights[leaders]
    if views is not None:
        value = total / torch.bincount(group, minlength=len(leaders)).clamp(min=views)
    fused = _mean_shapes(shapes, shapes[leaders], group, weights / total.clamp(min=TINY)[group])
    return Fused(fused.to(quads), value.to(scores), ranked[leaders].to(quads.device))


def _mean_shapes(shapes: Tensor, leaders: Tensor, group: Tensor, shares: Tensor) -> Tensor:
    """Return the weighted means (K, 4, 2) of groups of clockwise quads (N, 4, 2) about their leaders."""
    turned = torch.stack([shapes.roll(turn, dims=1) for turn in range(4)], dim=1)  # (N, 4 rotations, 4, 2)
    moves = turned - leaders[group].unsqueeze(1)
    nearest = moves.square().sum(dim=(2, 3)).argmin(dim=1)
    move = moves[torch.arange(len(shapes)), nearest]
    mean = leaders + torch.zeros_like(leaders).index_add(0, group, shares[:, None, None] * move)
    return torch.where(is_convex(mean)[:, None, None], mean, leaders)


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

    shapes: Shapes
    grid: Index
    rows: I64  # (N,) which quad stands at each place


def _in_places(quads: F64) -> _Placed:
    rows, starts, grids = build_grid(to_boxes(quads))
    return _Placed(to_shapes(quads, rows, False), (starts, grids), rows)
