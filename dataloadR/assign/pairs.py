"""Pairs of objects and cells of all levels at once, for rules that compare levels with each other.

Cells are numbered through all maps of a batch: level after level, finest first, then image, row and column.
The pairs of an object stand in the order of their cells.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.engine import ignore_map
from dataloadR.assign.shapes import Level, Pyramid, Shapes, object_shapes, on_map
from utils.quads.clip import convex_intersection_areas
from utils.quads.geometry import quad_areas
from utils.quads.iou import paired_quad_iou
from utils.records import Objects
from utils.selection import expanded_rows, on_device, rows_where


class Survey(NamedTuple):
    """What a rule assigns on: objects, maps, and what lies on them before; M objects, N cells."""

    objects: Objects
    shapes: Shapes
    levels: list[Level]
    takes_part: Tensor  # (M,) bool: the others are ignore regions
    level: Tensor  # (M,) int64 the level that suits the size
    home: Tensor  # (M,) int64 the cell there that holds the centre
    ignored: Tensor  # (N,) bool: cells of ignore regions


class CellPairs(NamedTuple):
    """K pairs of an object and a cell."""

    owner: Tensor  # (K,) int64 row in Objects
    cell: Tensor  # (K,) int64 number through all maps
    level: Tensor  # (K,) int64
    points: Tensor  # (K, 2) px, the centre of the cell
    strides: Tensor  # (K,) px per cell


class Guesses(NamedTuple):
    """What a network predicts in each of N cells, detached."""

    quads: Tensor  # (N, 4, 2) px, convex and clockwise
    class_logits: Tensor  # (N, C)


def survey(objects: Objects, pyramid: Pyramid, config: AssignConfig) -> Survey:
    """Return what is known of a batch; objects of at most `assign.min_side`, or off the map, stay out."""
    shapes = object_shapes(objects.quads)
    longest = shapes.sizes.amax(dim=-1)
    takes_part = ~objects.ignore & (longest > config.min_side) & on_map(shapes, pyramid)
    levels = pyramid.levels()
    number = torch.bucketize(longest, on_device(config.level_bounds, longest, longest.dtype))
    maps = [ignore_map(shapes, objects.image_index, ~takes_part, level) for level in levels]
    home = center_cells(shapes, objects.image_index, number, levels)
    ignored = torch.cat([ignored.flatten() for ignored in maps])
    return Survey(objects, shapes, levels, takes_part, number, home, ignored)


def first_cells(levels: Sequence[Level]) -> list[int]:
    """Return the number of the first cell of each level."""
    return list(accumulate((level.cells for level in levels), initial=0))[:-1]


def center_cells(shapes: Shapes, images: Tensor, number: Tensor, levels: Sequence[Level]) -> Tensor:
    """Return the cell (M,) that holds each centre, on the level of this number (M,); 0 off the map."""
    cells = []
    for level, first in zip(levels, first_cells(levels), strict=True):
        limit = on_device([level.columns, level.rows], images)
        place = (shapes.centers / level.stride).floor().long()
        inside = ((place >= 0) & (place < limit)).all(dim=-1)
        column, row = place.unbind(-1)
        cell = first + (images * level.rows + row) * level.columns + column
        cells.append(torch.where(inside, cell, 0))
    return torch.stack(cells, dim=-1).gather(-1, number.unsqueeze(-1)).squeeze(-1)


def pairs_in_boxes(
    boxes: Sequence[Tensor], members: Tensor, images: Tensor, levels: Sequence[Level]
) -> CellPairs:
    """Return the cells whose centre lies in a box of an object, its border included.

    Args:
        boxes: (M, 4) px of the objects for each level.
        members: (M, levels) bool: on which levels an object is looked for.
    """
    spans, box_dtype = [], boxes[0].dtype
    for box, level, member in zip(boxes, levels, members.unbind(-1), strict=True):
        low, high = torch.unflatten(box / level.stride - 0.5, -1, (2, 2)).unbind(-2)
        limit = on_device([level.columns - 1, level.rows - 1], images)
        first = low.ceil().long().clamp(min=0)
        size = (torch.minimum(high.floor().long(), limit) - first + 1).clamp(min=0)
        spans.append((first, size * member.unsqueeze(-1)))
    owners = expanded_rows([size.prod(dim=-1) for _, size in spans])
    parts = []
    for level, start, (first, size), owner in zip(levels, first_cells(levels), spans, owners, strict=True):
        counts = size.prod(dim=-1)
        within = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
        width = size.unbind(-1)[0][owner]
        first_column, first_row = first[owner].unbind(-1)
        column, row = first_column + within % width, first_row + within // width
        place = torch.stack([column, row], dim=-1)
        parts.append(level_pairs(owner, images[owner], place, level, start, box_dtype))
    return joined_pairs(parts)


def level_pairs(
    owner: Tensor, images: Tensor, place: Tensor, level: Level, start: int, dtype: torch.dtype
) -> CellPairs:
    """Return the pairs of objects (K,), their images (K,), and cells of one level.

    Args:
        place: (K, 2) column and row of the cells.
        start: number of the first cell of the level.
    """
    column, row = place.unbind(-1)
    cell = start + (images * level.rows + row) * level.columns + column
    strides = torch.full_like(owner, level.stride, dtype=dtype)
    points = (place + 0.5).to(dtype) * level.stride
    return CellPairs(owner, cell, torch.full_like(owner, level.number), points, strides)


def joined_pairs(parts: Sequence[CellPairs]) -> CellPairs:
    """Return the pairs of several levels, finest first, as one."""
    return CellPairs(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


def pairs_where(pairs: CellPairs, mask: Tensor, *others: Tensor) -> tuple[CellPairs, list[Tensor]]:
    """Return the pairs for which a mask (K,) holds, and what belongs to them of other rows (K, ...)."""
    (rows,) = rows_where([mask])
    return CellPairs(*(field[rows] for field in pairs)), [field[rows] for field in others]


def pairs_inside(known: Survey, members: Tensor) -> CellPairs:
    """Return the cells whose centre lies inside an object, on the levels of `members` (M, levels).

    A centre on an edge is outside; cells of ignore regions are left out.
    """
    boxes = [known.shapes.hboxes] * len(known.levels)
    pairs = pairs_in_boxes(boxes, members, known.objects.image_index, known.levels)
    inside = depths(known.shapes.quads, pairs) > 0
    return pairs_where(pairs, inside & ~known.ignored[pairs.cell])[0]


def depths(quads: Tensor, pairs: CellPairs) -> Tensor:
    """Return how many px (K,) the centres lie inside the quads (M, 4, 2) of their objects, negative outside.

    Outside it is the distance to the farthest line through an edge.  Quads without an area have no inside.
    """
    edges = quads.roll(-1, dims=-2) - quads
    length = edges.norm(dim=-1)
    x, y = (edges / length.clamp(min=torch.finfo(quads.dtype).tiny).unsqueeze(-1)).unbind(-1)
    far = torch.where(length > 0, 0.0, torch.inf)  # an edge between equal vertices bounds nothing
    far = torch.where((quad_areas(quads) > 0).unsqueeze(-1), far, -torch.inf)
    middle = quads.mean(dim=-2)  # near it numbers are small, and exact
    from_x, from_y = (middle.unsqueeze(-2) - quads).unbind(-1)
    lines = torch.stack([x, y, x * from_y - y * from_x + far], dim=-1)  # (M, 4, 3)
    x, y, of_middle = lines[pairs.owner].unbind(-1)
    right, down = (pairs.points - middle[pairs.owner]).unsqueeze(-2).unbind(-1)
    sides: Tensor = x * down - y * right + of_middle
    return sides.amin(dim=-1)


def center_distances(known: Survey, pairs: CellPairs) -> Tensor:
    """Return the px (K,) from the centre of an object to the centre of its cell."""
    away: Tensor = (pairs.points - known.shapes.centers[pairs.owner]).norm(dim=-1)
    return away


def convex_overlaps(a: Tensor, b: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """Return the IoU of rows `i` (K,) of convex clockwise quads `a` with rows `j` of `b`, (K,) in [0, 1]."""
    if a.device.type == "cpu":
        return paired_quad_iou(a, b, i, j)
    wide_a, wide_b = a.double()[i], b.double()[j]  # no look at boxes, for which the host would have to wait
    shared = convex_intersection_areas(wide_a, wide_b)
    whole = quad_areas(wide_a) + quad_areas(wide_b) - shared
    return torch.where(shared > 0, shared / torch.where(whole > 0, whole, 1.0), 0.0).clamp(max=1).to(a.dtype)


def guessed_overlaps(known: Survey, pairs: CellPairs, guesses: Guesses) -> Tensor:
    """Return the IoU (K,) float64 of what the cells predict with their objects."""
    quads = known.shapes.quads
    return convex_overlaps(guesses.quads.to(quads.dtype), quads, pairs.cell, pairs.owner).double()


def guessed_logits(known: Survey, pairs: CellPairs, guesses: Guesses) -> Tensor:
    """Return the logit (K,) float64 that the cells predict for the class of their objects."""
    return guesses.class_logits[pairs.cell, known.objects.labels[pairs.owner]].double()
