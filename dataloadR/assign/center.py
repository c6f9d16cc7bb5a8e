"""Centres as key points: one cell for each object, and a class heat that falls off around it.

Source: CenterNet (arXiv:1904.07850) with the ellipses of TTFNet (arXiv:1909.00700); spec 10.3.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from dataloadR.assign.engine import ignore_map
from dataloadR.assign.shapes import Level, Pyramid, Shapes, object_shapes
from dataloadR.assign.windows import window_cells, window_places, windows
from utils.records import Objects
from utils.selection import on_device, rows_where

SPREAD = 0.1155  # sigma of the class heat, as a share of the box: sqrt(1/2) * (1 - sqrt(0.7))
REACH = 3.0  # sigma


class CenterTargets(NamedTuple):
    """What a level of centres shall learn; cells without an owner are zero unless said otherwise."""

    class_heat: Tensor  # (B, H, W, C) exactly 1 at the centre of an object of the class
    ignore: Tensor  # (B, H, W) bool: no class loss
    owner: Tensor  # (B, H, W) int64 row in Objects, -1 without
    heat: Tensor  # (B, H, W) 1 where a cell has an owner
    labels: Tensor  # (B, H, W) int64 class of the owner
    hboxes: Tensor  # (B, H, W, 4) pixels
    offsets: Tensor  # (B, H, W, 2) x, y of the centre of the box in its cell, in [0, 1)
    glides: Tensor  # (B, H, W, 4) in [0, 1], 0 where area_ratio > 0.9
    area_ratio: Tensor  # (B, H, W) in [0, 1]
    mix_weight: Tensor  # (B, H, W) the owner's share in a mixup, 1 without an owner
    stride: int  # pixels per cell


def center_targets(objects: Objects, pyramid: Pyramid, classes: int, min_side: float) -> list[CenterTargets]:
    """Return the targets of the levels, each with all objects; of two in one cell the smaller owns it.

    Objects whose sides do not both exceed `min_side` pixels, and those without a cell, are ignore regions.
    """
    shapes = object_shapes(objects.quads)
    centers = 0.5 * (shapes.hboxes[:, :2] + shapes.hboxes[:, 2:])
    limit = on_device([pyramid.width, pyramid.height], centers, centers.dtype)
    inside = ((centers >= 0) & (centers < limit)).all(dim=-1)
    takes_part = ~objects.ignore & (shapes.sizes.amin(dim=-1) > min_side) & inside
    return [
        _level_targets(objects, shapes, centers, takes_part, level, classes) for level in pyramid.levels()
    ]


def _level_targets(
    objects: Objects, shapes: Shapes, centers: Tensor, takes_part: Tensor, level: Level, classes: int
) -> CenterTargets:
    (rows,) = rows_where([takes_part])
    column, row = (centers[rows] / level.stride).floor().long().unbind(-1)
    cell = (objects.image_index[rows] * level.rows + row) * level.columns + column
    order = shapes.areas[rows].argsort(descending=True, stable=True)
    flat = torch.full((level.cells,), -1, dtype=torch.long, device=rows.device)
    flat = _last_of_cell(flat, cell[order], rows[order])
    owns = flat[cell] == rows
    owner = rows[owns]
    write = partial(level.map_of, cell[owns])
    owners = write(owner, -1)
    hboxes = shapes.hboxes[owner]
    unseen = torch.ones_like(takes_part).index_fill_(0, owner, value=False)
    heat = class_heat(objects, shapes, centers, rows, level, classes)
    return CenterTargets(
        class_heat=heat,
        ignore=ignore_map(shapes, objects.image_index, unseen & ~takes_part, level) & (owners < 0),
        owner=owners,
        heat=write(torch.ones_like(shapes.areas[owner])),
        labels=write(objects.labels[owner]),
        hboxes=write(hboxes),
        offsets=write((centers[owner] / level.stride).frac()),
        glides=write(shapes.glides[owner]),
        area_ratio=write(shapes.area_ratio[owner]),
        mix_weight=write(objects.weights[owner].to(hboxes.dtype), 1.0),
        stride=level.stride,
    )


def _last_of_cell(flat: Tensor, cell: Tensor, rows: Tensor) -> Tensor:
    """Return the map with the last of the rows in each cell: plain writing has no order."""
    place = torch.arange(len(cell), device=cell.device)
    last = torch.full_like(flat, -1).scatter_reduce_(0, cell, place, "amax")
    taken = torch.cat([rows, flat.new_full((1,), -1)])  # where nothing was written: -1 is its last
    return taken[last]


def class_heat(
    objects: Objects, shapes: Shapes, centers: Tensor, rows: Tensor, level: Level, classes: int
) -> Tensor:
    """Return the largest Gaussian of any object of each class, (B, H, W, C), drawn to three sigma."""
    cells = shapes.sizes[rows] / level.stride
    sigma = SPREAD * cells
    radius = (REACH * sigma).ceil().long()
    peak = (centers[rows] / level.stride).floor().long()
    place = window_places(rows, radius, peak, 0, level)
    (window,) = windows(shapes, [place])
    away = torch.stack([window.column, window.row], dim=-1) - peak[window.pair]
    heat = torch.exp(-0.5 * (away / sigma[window.pair]).square().sum(dim=-1))
    cell, label = window_cells(objects.image_index, place, window, level), objects.labels[rows][window.pair]
    flat = heat.new_zeros(level.cells * classes)
    flat.scatter_reduce_(0, cell * classes + label, heat, "amax")
    return flat.view(level.batch, level.rows, level.columns, classes)
