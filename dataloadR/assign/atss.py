"""ATSS: cells whose anchor overlaps an object more than usual among the cells nearest to it.

An anchor lies along the object and has its aspect, so that slender and small ones differ, too.
Source: ATSS (arXiv:1912.02424); spec 11.2.
"""

import torch
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.owners import Credit, targets_of_pairs, winning_pairs
from dataloadR.assign.pairs import (
    CellPairs,
    Survey,
    center_distances,
    convex_overlaps,
    depths,
    first_cells,
    joined_pairs,
    level_pairs,
    pairs_where,
    survey,
)
from dataloadR.assign.shapes import Level, Pyramid, Shapes
from utils.records import LevelTargets, Objects
from utils.selection import on_device

NEAREST = 9  # cells of each level that an object looks at
ANCHOR = 4.0  # strides, side of a square anchor
MAX_ASPECT = 4.0  # of an anchor
ROUNDING = 1e-6  # by which an overlap may miss the threshold
NEARER = 1e-3  # overlap that a cell less of distance is worth to an object without a cell


def atss_targets(objects: Objects, pyramid: Pyramid, config: AssignConfig) -> list[LevelTargets]:
    """Return the targets of every level; heat: how central a cell lies in the box."""
    known = survey(objects, pyramid, config)
    pairs = nearest_pairs(known)
    overlap = anchor_overlaps(known.shapes, pairs)
    threshold = overlap_thresholds(pairs.owner, overlap, len(known.takes_part))
    positive = overlap >= threshold[pairs.owner] - ROUNDING
    positive &= depths(known.shapes.quads, pairs) > 0
    allowed = known.takes_part[pairs.owner] & ~known.ignored[pairs.cell]
    pairs, (overlap, positive) = pairs_where(pairs, allowed, overlap, positive)
    owns = winning_pairs(known, pairs, positive, overlap)
    ones = torch.ones_like(overlap)
    credit = Credit(box_centerness(known.shapes, pairs), ones, ones)
    metric = overlap - NEARER * center_distances(known, pairs) / pairs.strides
    return targets_of_pairs(known, pairs, owns, credit, metric)


def nearest_pairs(known: Survey) -> CellPairs:
    """Return the cells of each level that are nearest to the centre of an object."""
    parts = []
    for level, start in zip(known.levels, first_cells(known.levels), strict=True):
        place = nearest_places(known.shapes.centers, level)
        owner = torch.arange(len(place), device=place.device).unsqueeze(-1).expand(place.shape[:-1]).flatten()
        images = known.objects.image_index[owner]
        parts.append(
            level_pairs(owner, images, place.flatten(0, 1), level, start, known.shapes.centers.dtype)
        )
    return joined_pairs(parts)


def nearest_places(centers: Tensor, level: Level) -> Tensor:
    """Return column and row of the cells (M, n, 2) of a level nearest to centres (M, 2), n = 9 or all.

    Ties go to the earlier cell; the cells stand in their order.  The nine lie in a window of seven cells that
    the borders move, but for maps of one or two rows or columns.
    """
    reach = 9 if min(level.rows, level.columns) < 3 else 7
    size = (min(reach, level.columns), min(reach, level.rows))
    limit = on_device([level.columns - size[0], level.rows - size[1]], centers)
    peak = (centers / level.stride).floor().long()
    first = torch.minimum((peak - reach // 2).clamp(min=0), limit)
    within = torch.arange(size[0] * size[1], device=centers.device)
    offsets = torch.stack([within % size[0], within // size[0]], dim=-1)
    places = first.unsqueeze(1) + offsets
    away = (places + 0.5) * level.stride - centers.unsqueeze(1)
    order = away.square().sum(dim=-1).argsort(dim=-1, stable=True)
    order = order.narrow(-1, 0, min(NEAREST, order.shape[-1])).sort(dim=-1).values
    return places.gather(1, order.unsqueeze(-1).expand(-1, -1, 2))


def anchor_overlaps(shapes: Shapes, pairs: CellPairs) -> Tensor:
    """Return the IoU (K,) of the anchors of cells with their objects."""
    long, short = shapes.half_sides.unbind(-1)
    tiny = torch.finfo(long.dtype).tiny
    stretch = (long / short.clamp(min=tiny)).clamp(1, MAX_ASPECT).sqrt()
    x, y = shapes.directions.unbind(-1)
    along = (torch.stack([x, y], dim=-1) * stretch.unsqueeze(-1))[pairs.owner]
    across = (torch.stack([-y, x], dim=-1) / stretch.unsqueeze(-1))[pairs.owner]
    corners = torch.stack([-along - across, along - across, along + across, across - along], dim=-2)
    half = 0.5 * ANCHOR * pairs.strides
    anchors = pairs.points.unsqueeze(-2) + half[:, None, None] * corners
    rows = torch.arange(len(pairs.owner), device=pairs.owner.device)
    return convex_overlaps(anchors, shapes.quads, rows, pairs.owner)


def overlap_thresholds(owner: Tensor, overlap: Tensor, count: int) -> Tensor:
    """Return mean plus standard deviation, over N, of the overlaps (K,) of each object, (M,)."""
    one = torch.ones_like(overlap)
    pairs = _sums(owner, one, count).clamp(min=1)
    mean = _sums(owner, overlap, count) / pairs
    variance = _sums(owner, (overlap - mean[owner]).square(), count) / pairs
    return mean + variance.sqrt()


def _sums(owner: Tensor, values: Tensor, count: int) -> Tensor:
    """Return the sum of values (K,) for each object (M,); each has as many."""
    return values.new_zeros(count).index_add_(0, owner, values)


def box_centerness(shapes: Shapes, pairs: CellPairs) -> Tensor:
    """Return how central cells lie in the box of their object (K,): 1 in its centre, 0 on its border.

    Source: FCOS (arXiv:1904.01355), eq. 3.
    """
    low, high = torch.unflatten(shapes.hboxes[pairs.owner], -1, (2, 2)).unbind(-2)
    first, second = (pairs.points - low).clamp(min=0), (high - pairs.points).clamp(min=0)
    tiny = torch.finfo(first.dtype).tiny
    near, far = torch.minimum(first, second), torch.maximum(first, second).clamp(min=tiny)
    return (near / far).prod(dim=-1).sqrt()
