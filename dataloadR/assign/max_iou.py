"""Matching of anchors by their overlap with objects, each object keeping the anchor that suits it best.

Source: Faster R-CNN (arXiv:1506.01497), RetinaNet (arXiv:1708.02002), YOLOv3 (arXiv:1804.02767); spec 12.2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dataloadR.assign.anchors import AnchorSides
from dataloadR.assign.engine import ignore_map
from dataloadR.assign.groups import highest_in_groups
from dataloadR.assign.owners import rescue_cells, winning_pairs
from dataloadR.assign.pairs import CellPairs, Survey, first_cells, pairs_in_boxes
from dataloadR.assign.shapes import Level, Pyramid, Shapes, object_shapes, on_map
from utils.hboxes import aligned_iou
from utils.records import Objects
from utils.selection import on_device, rows_where

STEP = 1e-6  # of the overlap: smaller differences are rounding, and decide nothing
SLACK = 1e-3  # px by which the search for anchors reaches farther than it must
OVER = 2.0  # what the best anchor of an object bids on top: more than any overlap


class Limits(NamedTuple):
    """Overlaps (IoU) between an anchor and an object."""

    positive: float  # from here on the anchor learns the object; above 1: only best anchors do
    negative: float  # below this with all objects it is background; between both it learns nothing


class TrueBoxes(NamedTuple):
    """What there is to learn of M objects."""

    hboxes: Tensor  # (M, 4) pixels
    glides: Tensor  # (M, 4) in [0, 1], 0 where area_ratio > 0.9
    area_ratio: Tensor  # (M,) in [0, 1]
    labels: Tensor  # (M,) int64
    mix_weight: Tensor  # (M,) share in a mixup


class AnchorTargets(NamedTuple):
    """What the anchors of a level shall learn; fields without `anchor_` are of the best of a cell."""

    anchor_owner: Tensor  # (B, H, W, A) int64 row in Objects, -1 without
    anchor_ignore: Tensor  # (B, H, W, A) bool: no owner, and no background either
    owner: Tensor  # (B, H, W) int64
    heat: Tensor  # (B, H, W) overlap of anchor and owner, 0 without
    labels: Tensor  # (B, H, W) int64 class of the owner
    ignore: Tensor  # (B, H, W) bool: no owner, and not all anchors are background
    truth: TrueBoxes  # of the objects of the batch
    stride: int  # pixels per cell


class AnchorPairs(NamedTuple):
    """K pairs of an object and an anchor; anchors are numbered cell by cell through all maps."""

    owner: Tensor  # (K,) int64 row in Objects
    anchor: Tensor  # (K,) int64
    overlap: Tensor  # (K,) IoU


class _Known(NamedTuple):
    """What is matched: M objects, and A anchors in each cell of the levels."""

    objects: Objects
    shapes: Shapes
    takes_part: Tensor  # (M,) bool: the others are ignore regions
    levels: list[Level]
    sides: Tensor  # (levels, A, 2) px of the anchors
    cells: Tensor  # (M, levels) int64 the cell nearest to the centre of the box, numbered through all maps

    @property
    def anchors(self) -> int:
        """Anchors of a cell."""
        return self.sides.shape[1]

    @property
    def total(self) -> int:
        """Anchors of all maps."""
        return self.anchors * sum(level.cells for level in self.levels)


def anchor_targets(
    objects: Objects, pyramid: Pyramid, sides: Sequence[AnchorSides], limits: Limits, min_side: float
) -> list[AnchorTargets]:
    """Return the targets of every level, by the overlap of anchors with the horizontal boxes of quads.

    An anchor learns the object that it overlaps most, from `limits.positive` on.  The best anchor of an
    object learns it in any case; of several objects with one best anchor the one that fits better has it, and
    the others get the best that is free.

    Args:
        objects: those of at most `min_side` px, or off the map, are ignore regions.
        pyramid: the levels.
        sides: px of the anchors of a cell of each level, as many on each.
        limits: overlaps that decide.
        min_side: px.
    """
    shapes, levels = object_shapes(objects.quads), pyramid.levels()
    large = shapes.sizes.amax(dim=-1) > min_side
    takes_part = ~objects.ignore & large & on_map(shapes, pyramid)
    table = on_device(sides, shapes.sizes, shapes.sizes.dtype)
    cells = nearest_cells(shapes, objects.image_index, levels)
    known = _Known(objects, shapes, takes_part, levels, table, cells)
    close, best = _nearest_anchors(known)
    near = _overlapping(known, limits.negative)
    pairs = AnchorPairs(*(torch.cat(fields) for fields in zip(close, near, strict=True)))
    is_best = torch.cat([best, torch.zeros_like(near.owner, dtype=torch.bool)])
    owns = _owning(known, pairs, is_best, limits.positive)
    return _written(known, pairs, owns, limits.negative)


def nearest_cells(shapes: Shapes, images: Tensor, levels: Sequence[Level]) -> Tensor:
    """Return the cell (M, levels), numbered through all maps, whose centre is nearest to that of the box."""
    centers = 0.5 * (shapes.hboxes[:, :2] + shapes.hboxes[:, 2:])
    found = []
    for level, first in zip(levels, first_cells(levels), strict=True):
        limit = on_device([level.columns - 1, level.rows - 1], images)
        place = torch.minimum((centers / level.stride).floor().long().clamp(min=0), limit)
        column, row = place.unbind(-1)
        found.append(first + (images * level.rows + row) * level.columns + column)
    return torch.stack(found, dim=-1)


def _nearest_anchors(known: _Known) -> tuple[AnchorPairs, Tensor]:
    """Return the pairs of each object with the anchors of its nearest cells, and which are the best (K,).

    Overlap falls with distance, so the best of all is among these; ties go to the finer level, then to the
    earlier anchor.
    """
    points = []
    firsts = first_cells(known.levels)
    for level, first, own in zip(known.levels, firsts, known.cells.unbind(-1), strict=True):
        column, row = (own - first) % level.columns, (own - first) // level.columns % level.rows
        points.append((torch.stack([column, row], dim=-1) + 0.5).to(known.sides.dtype) * level.stride)
    centers, half = torch.stack(points, dim=1).unsqueeze(2), 0.5 * known.sides
    boxes = torch.cat([centers - half, centers + half], dim=-1).flatten(1, 2)  # (M, levels * A, 4)
    true = known.shapes.hboxes.unsqueeze(1).expand_as(boxes)
    overlap = aligned_iou(boxes.flatten(0, 1), true.flatten(0, 1)).view(boxes.shape[:2])
    overlap = torch.where(known.takes_part.unsqueeze(-1), overlap, 0.0)
    number = torch.arange(overlap.shape[1], device=overlap.device)
    best = number == _steps(overlap).argmax(dim=1, keepdim=True)
    first_anchors = (known.cells * known.anchors).repeat_interleave(known.anchors, dim=1)
    owner = torch.arange(len(overlap), device=overlap.device).unsqueeze(-1).expand_as(overlap)
    pairs = AnchorPairs(
        owner.flatten(), (first_anchors + number % known.anchors).flatten(), overlap.flatten()
    )
    return pairs, (best & known.takes_part.unsqueeze(-1)).flatten()


def _overlapping(known: _Known, least: float) -> AnchorPairs:
    """Return the other pairs of an object that takes part and an anchor that overlaps it enough."""
    low, high = torch.unflatten(known.shapes.hboxes, -1, (2, 2)).unbind(-2)
    middle, size = 0.5 * (low + high).unsqueeze(1), (high - low).unsqueeze(1)
    boxes, members = [], []
    for own in known.sides.unbind(0):
        areas = own.prod(dim=-1) + size.prod(dim=-1)
        needed = (least / (1 + least) * areas).unsqueeze(-1)  # what both must share, (M, A, 1)
        most = torch.minimum(own, size)  # (M, A, 2) sides that they share if their centres agree
        across = most.flip(-1).clamp(min=torch.finfo(most.dtype).tiny)
        reach = 0.5 * (own + size) - needed / across + SLACK
        boxes.append(torch.cat([middle - reach, middle + reach], dim=-1).flatten(0, 1))
        enough = most.prod(dim=-1) >= needed.squeeze(-1) * (1 - STEP)
        members.append((enough & known.takes_part.unsqueeze(-1)).flatten())
    images = known.objects.image_index.unsqueeze(-1).expand(-1, known.anchors).flatten()
    found = pairs_in_boxes(boxes, torch.stack(members, dim=-1), images, known.levels)
    owner, shape = found.owner // known.anchors, found.owner % known.anchors
    half = 0.5 * known.sides[found.level, shape]
    anchors = torch.cat([found.points - half, found.points + half], dim=-1)
    overlap = aligned_iou(anchors, known.shapes.hboxes[owner])
    (rows,) = rows_where([(overlap >= least) & (found.cell != known.cells[owner, found.level])])
    return AnchorPairs(owner[rows], (found.cell * known.anchors + shape)[rows], overlap[rows])


def _steps(overlap: Tensor) -> Tensor:
    """Return overlaps in steps (int64) that rounding does not reach."""
    return (overlap / STEP).round().long()


def _owning(known: _Known, pairs: AnchorPairs, is_best: Tensor, positive: float) -> Tensor:
    """Return which pairs (K,) are an anchor and the object that it learns.

    As other rules find the owners of cells (spec 11.1): to them each anchor is a cell.
    """
    home = torch.zeros_like(known.objects.image_index)
    home.scatter_reduce_(0, pairs.owner, torch.where(is_best, pairs.anchor, 0), "amax")
    free = torch.zeros(known.total, dtype=torch.bool, device=home.device)
    survey = Survey(known.objects, known.shapes, known.levels, known.takes_part, home, home, free)
    unread = pairs.owner  # places of cells
    as_cells = CellPairs(pairs.owner, pairs.anchor, unread, unread, unread)
    steps = _steps(pairs.overlap).double()
    wanted = is_best | (pairs.overlap >= positive)
    owns = winning_pairs(survey, as_cells, wanted, steps + is_best * (OVER / STEP))
    rescued = rescue_cells(survey, as_cells, owns, steps)
    return owns | (rescued[pairs.owner] == pairs.anchor)


def _written(known: _Known, pairs: AnchorPairs, owns: Tensor, negative: float) -> list[AnchorTargets]:
    """Return the targets of all levels from the pairs that own each other."""
    (rows,) = rows_where([owns])
    owner, anchor = pairs.owner[rows], pairs.anchor[rows]
    owners = torch.full((known.total,), -1, dtype=torch.long, device=owner.device)
    owners = owners.index_put((anchor,), owner)
    heat = known.shapes.areas.new_zeros(known.total).index_put((anchor,), pairs.overlap[rows])
    unsure = highest_in_groups(pairs.anchor, pairs.overlap, known.total, 0.0) >= negative
    unseen = torch.ones_like(known.takes_part).index_fill_(0, owner, value=False)
    shapes, objects = known.shapes, known.objects
    weights = objects.weights.to(shapes.hboxes.dtype)
    truth = TrueBoxes(shapes.hboxes, shapes.glides, shapes.area_ratio, objects.labels, weights)
    sizes = [level.cells * known.anchors for level in known.levels]
    fields = (torch.split(values, sizes) for values in (owners, heat, unsure))
    maps = []
    for level, *flat in zip(known.levels, *fields, strict=True):
        own, fits, between = (
            values.view(level.batch, level.rows, level.columns, known.anchors) for values in flat
        )
        region = ignore_map(shapes, objects.image_index, unseen, level).unsqueeze(-1)
        maps.append(_of_level(own, fits, (between | region) & (own < 0), truth, level.stride))
    return maps


def _of_level(own: Tensor, fits: Tensor, ignore: Tensor, truth: TrueBoxes, stride: int) -> AnchorTargets:
    best = torch.where(own >= 0, fits, -1.0).argmax(dim=-1, keepdim=True)
    owner, heat = (values.gather(-1, best).squeeze(-1) for values in (own, fits))
    labels = torch.cat([truth.labels, truth.labels.new_zeros(1)])[owner]  # where nobody owns: the last
    return AnchorTargets(
        anchor_owner=own,
        anchor_ignore=ignore,
        owner=owner,
        heat=heat,
        labels=labels,
        ignore=(owner < 0) & ignore.any(dim=-1),
        truth=truth,
        stride=stride,
    )
