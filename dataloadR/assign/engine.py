"""Label assignment: targets of every cell of a whole batch at once, by a competition under a `Rule`.

Every object offers itself to cells; the hottest owns a cell.  An object that no cell suits competes once more
with the cell at its centre; what then owns nothing, or is too small, or is cut too far, is an ignore region.
No loop over objects or cells.  Source: spec 2.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from dataloadR.assign.shapes import Level, Pyramid, Shapes, cell_edge_dists, object_shapes, on_map
from dataloadR.assign.windows import Candidates
from utils.records import LevelTargets, Objects
from utils.selection import on_device, rows_where

MIN_EDGE_DIST = 0.01  # strides; for objects whose only cell lies outside their box


class Rule(NamedTuple):
    """How a detector assigns: what the competition for cells needs to know of it."""

    takes_part: Callable[[Shapes], Tensor]  # (M,) bool: the other objects are ignore regions
    levels: Callable[
        [Shapes, int], Tensor
    ]  # number of levels -> (M, levels) bool: those an object is tried on
    # objects, their images (M,), members (M, levels), levels -> the cells that they bid for, level by level
    offer: Callable[[Shapes, Tensor, Tensor, Sequence[Level]], list[Candidates]]


class Winners(NamedTuple):
    """The owned cells of one level."""

    cell: Tensor  # (P,) flat index, each once
    owner: Tensor  # (P,) row in Objects
    heat: Tensor
    objectness: Tensor
    area_weight: Tensor


def build_targets(objects: Objects, pyramid: Pyramid, rule: Rule) -> list[LevelTargets]:
    """Return the targets of every level for a batch of objects, in the quads' dtype and on their device."""
    shapes = object_shapes(objects.quads)
    levels = pyramid.levels()
    takes_part = ~objects.ignore & rule.takes_part(shapes) & on_map(shapes, pyramid)
    members = rule.levels(shapes, len(levels)) & takes_part.unsqueeze(-1)
    offered = rule.offer(shapes, objects.image_index, members, levels)
    rescued = takes_part & ~_appears(offered, len(members))
    finest = members.int().argmax(dim=-1)
    centers = rows_where([rescued & (finest == level.number) for level in levels])
    everyone = []
    for level, candidates, rows in zip(levels, offered, centers, strict=True):
        rescue = _center_candidates(shapes, objects.image_index, rows, level)
        everyone.append(Candidates(*(torch.cat(pair) for pair in zip(candidates, rescue, strict=True))))
    owners_by_level = _compete(everyone, shapes.areas, levels)
    ignored = ~_appears(owners_by_level, len(members))
    maps = []
    for level, winners in zip(levels, owners_by_level, strict=True):
        ignore = ignore_map(shapes, objects.image_index, ignored, level)
        maps.append(write_maps(objects, shapes, winners, rescued, ignore, level))
    return maps


def _appears(levels: list[Candidates] | list[Winners], count: int) -> Tensor:
    """Return which objects (count,) stand in any of the lists."""
    owners = torch.cat([rows.owner for rows in levels])
    return torch.zeros(count, dtype=torch.bool, device=owners.device).index_fill_(0, owners, value=True)


def _center_candidates(shapes: Shapes, images: Tensor, rows: Tensor, level: Level) -> Candidates:
    column, row = (shapes.centers[rows] / level.stride).floor().long().unbind(-1)
    cell = (images[rows] * level.rows + row) * level.columns + column
    ones = shapes.areas.new_ones(len(rows))
    return Candidates(rows, cell, ones, ones, ones)


def _compete(offered: Sequence[Candidates], areas: Tensor, levels: Sequence[Level]) -> list[Winners]:
    """Give each cell to its hottest candidate, ties to the smaller object, then to the earlier row."""
    rank = torch.empty_like(areas, dtype=torch.long)
    rank[areas.argsort(stable=True)] = torch.arange(len(areas), device=areas.device)
    pairs = list(zip(offered, levels, strict=True))
    won = rows_where([_best_in_cell(candidates, rank, level) for candidates, level in pairs])
    winners = []
    for candidates, rows in zip(offered, won, strict=True):
        owner, cell, heat, objectness, area_weight = (field[rows] for field in candidates)
        winners.append(Winners(cell, owner, heat, objectness, area_weight))
    return winners


def _best_in_cell(candidates: Candidates, rank: Tensor, level: Level) -> Tensor:
    """Return which candidates (K,) are the hottest of their cell, and of those the first in rank."""
    cell = candidates.cell
    hottest = candidates.heat.new_zeros(level.cells).scatter_reduce_(0, cell, candidates.heat, "amax")
    leading = candidates.heat == hottest[cell]
    ranks = torch.where(leading, rank[candidates.owner], len(rank))
    smallest = torch.full((level.cells,), len(rank), dtype=torch.long, device=rank.device)
    smallest.scatter_reduce_(0, cell, ranks, "amin")
    return leading & (ranks == smallest[cell])


def ignore_map(shapes: Shapes, images: Tensor, ignored: Tensor, level: Level) -> Tensor:
    """Return (B, H, W) bool: cells whose centre an ignored object's box holds, and the cell of its centre.

    Boxes are summed as corners of a difference map, so the cost does not grow with their size; objects that
    are not ignored (M,) add nothing to it.
    """
    low, high = torch.unflatten(shapes.hboxes / level.stride - 0.5, -1, (2, 2)).unbind(-2)
    limit = on_device([level.columns, level.rows], images)
    first = torch.minimum((low.floor().long() + 1).clamp(min=0), limit)
    end = torch.maximum(torch.minimum(high.ceil().long(), limit), first)
    shape = (level.batch, level.rows + 1, level.columns + 1)
    corners = torch.zeros(shape, dtype=torch.int32, device=images.device)
    one = ignored.int()
    (left, top), (right, bottom) = first.unbind(-1), end.unbind(-1)
    for row, column, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
        corners.index_put_((images, row, column), sign * one, accumulate=True)
    covered = corners.cumsum(1).cumsum(2).narrow(1, 0, level.rows).narrow(2, 0, level.columns)
    cell = (shapes.centers / level.stride).floor().long()
    on_map = ((cell >= 0) & (cell < limit)).all(dim=-1)
    column, row = torch.minimum(cell.clamp(min=0), limit - 1).unbind(-1)
    covered.index_put_((images, row, column), (ignored & on_map).to(covered.dtype), accumulate=True)
    return covered > 0


def write_maps(
    objects: Objects, shapes: Shapes, winners: Winners, rescued: Tensor, ignore: Tensor, level: Level
) -> LevelTargets:
    """Return the targets of a level; cells of `rescued` objects (M,) may lie outside their box."""
    owner, cell = winners.owner, winners.cell
    column, row = cell % level.columns, cell // level.columns % level.rows
    hboxes = shapes.hboxes[owner]
    dists = cell_edge_dists(hboxes, column, row, level.stride)
    at_least = dists.clamp(min=MIN_EDGE_DIST * level.stride)
    dists = torch.where(rescued[owner].unsqueeze(-1), at_least, dists)

    write = partial(level.map_of, cell)
    owners = write(owner, -1)
    return LevelTargets(
        objectness=write(winners.objectness),
        ignore=ignore & (owners < 0),
        owner=owners,
        heat=write(winners.heat),
        labels=write(objects.labels[owner]),
        edge_dists=write(dists),
        hboxes=write(hboxes),
        glides=write(shapes.glides[owner]),
        area_ratio=write(shapes.area_ratio[owner]),
        mix_weight=write(objects.weights[owner].to(hboxes.dtype), 1.0),
        area_weight=write(winners.area_weight, 1.0),
        stride=level.stride,
    )
