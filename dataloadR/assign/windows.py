"""The cells around objects, laid end to end: (object, cell) pairs without a loop over objects."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dataloadR.assign.shapes import Level, Shapes, cell_edge_dists
from utils.selection import expanded_rows, on_device, rows_where


class Candidates(NamedTuple):
    """K pairs of an object and a cell."""

    owner: Tensor  # (K,) int64 row in Objects
    cell: Tensor  # (K,) int64 index into the flattened (B, H, W) map
    heat: Tensor  # (K,)
    objectness: Tensor  # (K,) 1, or the heat of a fuzzy cell
    area_weight: Tensor  # (K,)


class WindowPlaces(NamedTuple):
    """Where the windows of the R objects of a level lie, in cells as (column, row)."""

    rows: Tensor  # (R,) in Objects
    radius: Tensor  # (R, 2) to each side of the peak, before the margin of one
    peak: Tensor  # (R, 2)
    first: Tensor  # (R, 2) upper left cell on the map
    size: Tensor  # (R, 2) on the map, 0 beside it


class WindowCells(NamedTuple):
    """The cells of all windows of a level, end to end."""

    pair: Tensor  # (K,) row among the objects of the level
    column: Tensor  # (K,)
    row: Tensor  # (K,)
    along: Tensor  # (K, 2) cells from the peak, along the long and the short side of the object


def places(
    shapes: Shapes, members: Tensor, levels: Sequence[Level], caps: Sequence[int | None]
) -> list[WindowPlaces]:
    """Return where the windows of the members (M, levels) lie, level by level.

    A window reaches half the box to each side, at least one cell and at most the cap, and a margin of one.
    """
    chosen = rows_where(list(members.unbind(-1)))
    found = []
    for rows, level, cap in zip(chosen, levels, caps, strict=True):
        radius = (shapes.sizes[rows] / (2 * level.stride)).clamp(1, cap).long()
        peak = (shapes.centers[rows] / level.stride).floor().long()
        found.append(window_places(rows, radius, peak, 1, level))
    return found


def window_places(rows: Tensor, radius: Tensor, peak: Tensor, margin: int, level: Level) -> WindowPlaces:
    """Return where windows lie on the map that reach `radius` (R, 2) and a margin from their peaks."""
    limit = on_device([level.columns - 1, level.rows - 1], peak)
    first = (peak - radius - margin).clamp(min=0)
    size = (torch.minimum(peak + radius + margin, limit) - first + 1).clamp(min=0)
    return WindowPlaces(rows, radius, peak, first, size)


def windows(shapes: Shapes, places: Sequence[WindowPlaces]) -> list[WindowCells]:
    """Return the cells of all windows, level by level."""
    pairs = expanded_rows([place.size.prod(dim=-1) for place in places])
    return [_window(shapes, place, pair) for place, pair in zip(places, pairs, strict=True)]


def _window(shapes: Shapes, place: WindowPlaces, pair: Tensor) -> WindowCells:
    counts = place.size.prod(dim=-1)
    within = torch.arange(len(pair), device=pair.device) - (counts.cumsum(0) - counts)[pair]
    width = place.size.unbind(-1)[0][pair]
    first_column, first_row = place.first[pair].unbind(-1)
    column, row = first_column + within % width, first_row + within // width
    away = (torch.stack([column, row], dim=-1) - place.peak[pair]).to(shapes.directions.dtype)
    d_column, d_row = away.unbind(-1)
    cos, sin = shapes.directions[place.rows][pair].unbind(-1)
    along = torch.stack([cos * d_column + sin * d_row, cos * d_row - sin * d_column], dim=-1)
    return WindowCells(pair, column, row, along)


def half_cells(shapes: Shapes, place: WindowPlaces, level: Level) -> Tensor:
    """Return half the long and half the short side of the objects of a level (R, 2), in cells."""
    return shapes.half_sides[place.rows] / level.stride + 1e-16


def window_edge_dists(shapes: Shapes, place: WindowPlaces, window: WindowCells, level: Level) -> Tensor:
    """Return the px (K, 4) from the centres of the cells to the sides of the box of their object."""
    hboxes = shapes.hboxes[place.rows[window.pair]]
    return cell_edge_dists(hboxes, window.column, window.row, level.stride)


def window_cells(images: Tensor, place: WindowPlaces, window: WindowCells, level: Level) -> Tensor:
    """Return the flat index of the cells (K,) in the maps of a level."""
    image = images[place.rows[window.pair]]
    return (image * level.rows + window.row) * level.columns + window.column


def chosen_where(found: Sequence[tuple[Candidates, Tensor]]) -> list[Candidates]:
    """Return the candidates of each level for which its mask holds."""
    rows = rows_where([mask for _, mask in found])
    return [Candidates(*(f[chosen] for f in own)) for (own, _), chosen in zip(found, rows, strict=True)]
