"""Fusion of overlapping quads: the mean of views, and votes among the candidates of an object."""

from typing import NamedTuple

import torch
from torch import Tensor

from utils.quads.geometry import clockwise_quads, is_convex, uncrossed_quads
from utils.quads.iou import aligned_quad_iou
from utils.quads.nms import Groups, batched_quad_groups
from utils.selection import rows_where

TINY = 1e-300  # where all scores of a group are 0, its leader stays as it is


class Voted(NamedTuple):
    """Votes of the groups on the quads that stay."""

    quads: Tensor  # (K, 4, 2) the means of the groups, in the vertex order of the quads that stay
    support: Tensor  # (K,) sum of score times IoU over the others of each group


def vote_quads(quads: Tensor, scores: Tensor, groups: Groups, iou_threshold: float) -> Voted:
    """Box voting: let the candidates that were suppressed move the quads that stay.

    The voters of a quad are itself and those it removed whose IoU with it is above the threshold, weighted
    by the squares of their scores.  Vertices are matched in the rotation that moves them least; a mean that
    is not convex gives way to the quad itself.
    Source: box voting of Gidaris and Komodakis, ICCV 2015 (arXiv:1505.01749); squares, groups and support
    are ours.

    Args:
        quads: (N, 4, 2), all of one vertex direction.
        scores: (N,), 0 or above.
        groups: of `quad_nms.batched_quad_groups` for these quads.
        iou_threshold: 0 to 1.
    """
    kept, owners = groups
    place = torch.full_like(owners, -1).index_copy_(0, kept, torch.arange(len(kept), device=kept.device))
    rows = ((place[owners] >= 0) & (place < 0)).nonzero().squeeze(1)
    ious = aligned_quad_iou(quads[rows], quads[owners[rows]]).double()
    (near,) = rows_where([ious > iou_threshold])
    rows, ious = rows[near], ious[near]
    values = scores.double()
    support = values.new_zeros(len(kept)).index_add(0, place[owners[rows]], values[rows] * ious)
    voters = torch.cat([kept, rows])
    mean = _mean_shapes(
        quads[voters].double(), quads[kept].double(), place[owners[voters]], values[voters] ** 2
    )
    return Voted(mean.to(quads), support.to(scores))


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
    if (scores < 0).any():
        raise ValueError(f"scores[{int((scores < 0).nonzero()[0])}]: expected 0 or above")
    leaders, owners = (rows.cpu() for rows in batched_quad_groups(quads, scores, labels, None, iou_threshold))
    place = torch.empty_like(owners).index_copy_(0, leaders, torch.arange(len(leaders)))
    group = place[owners]
    shapes = clockwise_quads(uncrossed_quads(quads.detach().cpu().double()))
    weights = scores.detach().cpu().double()
    value = weights[leaders]
    if views is not None:
        total = torch.zeros_like(value).index_add(0, group, weights)
        value = total / torch.bincount(group, minlength=len(leaders)).clamp(min=views)
    fused = _mean_shapes(shapes, shapes[leaders], group, weights)
    return Fused(fused.to(quads), value.to(scores), leaders.to(quads.device))


def _mean_shapes(shapes: Tensor, leaders: Tensor, group: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted means (K, 4, 2) of groups of quads (N, 4, 2) about their leaders."""
    turned = torch.stack([shapes.roll(turn, dims=1) for turn in range(4)], dim=1)  # (N, 4 rotations, 4, 2)
    moves = turned - leaders[group].unsqueeze(1)
    nearest = moves.square().sum(dim=(2, 3)).argmin(dim=1)
    move = moves[torch.arange(len(shapes), device=shapes.device), nearest]
    total = weights.new_zeros(len(leaders)).index_add(0, group, weights).clamp(min=TINY)
    shares = (weights / total[group])[:, None, None]
    mean = leaders + torch.zeros_like(leaders).index_add(0, group, shares * move)
    return torch.where(is_convex(mean)[:, None, None], mean, leaders)
