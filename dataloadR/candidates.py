"""Candidate cells of the label assignment (OLA), and the Gaussian heat there: its two rules.

Rows of `Candidates` are (object, cell) pairs of one level; the windows of all objects lie end to end.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cfg.schema import AssignConfig
from utils.glides import NEARLY_HORIZONTAL, approximate_quads, quads_to_glides
from utils.quads import TIE, long_side_directions, quad_areas, quads_to_hboxes
from utils.selection import expanded_rows, on_device, rows_where

MAX_WINDOW_CELLS = 4  # rule `current`: cap of the window on the finest level, one less per level (spec 2.4)
PAPER_RANGES = (0.0, 64.0, 128.0, math.inf)  # rule `paper`: px, largest edge distance per level (spec 2.7)
PAPER_LONG_SIDE, PAPER_BOX_AREA = 10.0, 80.0  # rule `paper`: px and px^2, one of them must be exceeded


class Shapes(NamedTuple):
    """Shapes of the objects, which the assignment derives from each quad once; M objects."""

    hboxes: Tensor  # (M, 4) px, of the original quad
    sizes: Tensor  # (M, 2) px, width and height of the box
    centers: Tensor  # (M, 2) px, mean of the vertices of the approximated quad
    directions: Tensor  # (M, 2) unit vector along the long side
    half_sides: Tensor  # (M, 2) px, half the long and half the short side
    glides: Tensor  # (M, 4), zero where area_ratio says horizontal
    area_ratio: Tensor  # (M,)
    areas: Tensor  # (M,) px^2


class Level(NamedTuple):
    """One pyramid level of a batch."""

    number: int  # 0 is the finest
    stride: int  # px per cell
    batch: int
    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Cells of all maps of the batch."""
        return self.batch * self.rows * self.columns


class Candidates(NamedTuple):
    """K pairs of an object and a cell."""

    owner: Tensor  # (K,) int64 row in Objects
    cell: Tensor  # (K,) int64 index into the flattened (B, H, W) map
    heat: Tensor  # (K,)
    objectness: Tensor  # (K,) 1, or the heat of a fuzzy cell
    area_weight: Tensor  # (K,)


class _Place(NamedTuple):
    """Where the windows of the R objects of a level lie, in cells as (column, row)."""

    rows: Tensor  # (R,) in Objects
    radius: Tensor  # (R, 2) to each side of the peak, before the margin of one
    peak: Tensor  # (R, 2)
    first: Tensor  # (R, 2) upper left cell on the map
    size: Tensor  # (R, 2) on the map, 0 beside it


class _Window(NamedTuple):
    """The cells of all windows of a level, end to end."""

    pair: Tensor  # (K,) row among the objects of the level
    column: Tensor  # (K,)
    row: Tensor  # (K,)


def object_shapes(quads: Tensor) -> Shapes:
    """Derive box, glides, ratio, angle and sides from quads (M, 4, 2) (spec 1.2, 1.3, 2.1)."""
    snapped = approximate_quads(quads)
    hboxes = quads_to_hboxes(quads)
    sizes = hboxes[:, 2:] - hboxes[:, :2]
    areas = quad_areas(snapped)
    tiny = torch.finfo(quads.dtype).tiny
    ratio = (areas / sizes.prod(dim=-1).clamp(min=tiny)).clamp(max=1)
    edges = (snapped.roll(-1, dims=-2) - snapped).norm(dim=-1)  # p1p2, p2p3, p3p4, p4p1
    sides = 0.5 * (edges + edges.roll(-2, dims=-1)).narrow(-1, 0, 2)
    horizontal = (ratio > NEARLY_HORIZONTAL).unsqueeze(-1)
    return Shapes(
        hboxes=hboxes,
        sizes=sizes,
        centers=snapped.mean(dim=-2),
        directions=long_side_directions(snapped),
        half_sides=0.5 * torch.stack([sides.amax(dim=-1), sides.amin(dim=-1)], dim=-1),
        glides=torch.where(horizontal, 0.0, quads_to_glides(snapped)),
        area_ratio=ratio,
        areas=areas,
    )


def large_enough(shapes: Shapes, config: AssignConfig) -> Tensor:
    """Return a mask of the objects (M,) that take part; the others are ignore regions (spec 2.1, 2.7)."""
    width, height = shapes.sizes.unbind(-1)
    longest = torch.maximum(width, height)
    if config.rule == "current":
        return longest > config.min_side
    large = (longest > PAPER_LONG_SIDE) | (width * height > PAPER_BOX_AREA)
    return large & (torch.minimum(width, height) > config.min_side)


def level_members(shapes: Shapes, levels: int, config: AssignConfig) -> Tensor:
    """Return the pyramid levels that an object is assigned to, (M, levels) bool (spec 2.2, 2.7)."""
    longest = shapes.sizes.amax(dim=-1)
    if config.rule == "paper":
        return torch.ones(len(longest), levels, dtype=torch.bool, device=longest.device)
    members = []
    for k in range(levels):
        above = longest > config.level_bounds[k - 1] if k > 0 else torch.ones_like(longest, dtype=torch.bool)
        last = k == levels - 1
        members.append(above if last else above & (longest <= config.level_overlap * config.level_bounds[k]))
    return torch.stack(members, dim=-1)


def current_candidates(
    shapes: Shapes, images: Tensor, members: Tensor, levels: Sequence[Level], config: AssignConfig
) -> list[Candidates]:
    """Cells of capped windows with enough heat whose centre lies inside the box (spec 2.3 to 2.5).

    For each level, of its `members` (M, levels).
    """
    power = 1 - config.iou_threshold
    places = _places(shapes, members, levels, [MAX_WINDOW_CELLS - level.number for level in levels])
    spreads = [
        _half_cells(shapes, place, level) ** power for place, level in zip(places, levels, strict=True)
    ]
    found = []
    for level, place, (window, heat) in _heated(shapes, places, spreads, levels, config.heat_threshold):
        owner = place.rows[window.pair]
        inside = _edge_dists(shapes, owner, window, level).amin(dim=-1) > 0
        weight = math.log(2) / torch.log(place.radius.prod(dim=-1).to(heat.dtype).sqrt() + 1)
        cell = _flat_cells(images[owner], window, level)
        offered = Candidates(owner, cell, heat, torch.ones_like(heat), weight[window.pair])
        found.append((offered, inside))
    return _chosen(found)


def paper_candidates(
    shapes: Shapes, images: Tensor, members: Tensor, levels: Sequence[Level], config: AssignConfig
) -> list[Candidates]:
    """Cells of whole windows whose edge distances suit the level, the coolest 30 % fuzzy (spec 2.7).

    For each level, of its `members` (M, levels).
    """
    places = _places(shapes, members, levels, [None] * len(levels))
    spreads = [_half_cells(shapes, place, level) for place, level in zip(places, levels, strict=True)]
    found = []
    for level, place, (window, heat) in _heated(shapes, places, spreads, levels, config.heat_threshold):
        threshold, sure = _sure_threshold(window.pair, heat, len(place.rows), 1 - config.iou_threshold)
        owner = place.rows[window.pair]
        dists = _edge_dists(shapes, owner, window, level)
        furthest = dists.amax(dim=-1)
        low, high = PAPER_RANGES[level.number], PAPER_RANGES[level.number + 1]
        suits = (dists.amin(dim=-1) > 0) & (furthest > low) & (furthest < high)
        weight = 2 * math.log(2) / torch.log(sure.to(heat.dtype).sqrt() + 1)
        objectness = torch.where(heat >= threshold[window.pair] * (1 - TIE), torch.ones_like(heat), heat)
        cell = _flat_cells(images[owner], window, level)
        found.append((Candidates(owner, cell, heat, objectness, weight[window.pair]), suits))
    return _chosen(found)


def _chosen(found: Sequence[tuple[Candidates, Tensor]]) -> list[Candidates]:
    """Return the candidates of each level for which its mask holds."""
    rows = rows_where([mask for _, mask in found])
    return [Candidates(*(f[chosen] for f in own)) for (own, _), chosen in zip(found, rows, strict=True)]


def _half_cells(shapes: Shapes, place: _Place, level: Level) -> Tensor:
    return shapes.half_sides[place.rows] / level.stride + 1e-16


def _places(
    shapes: Shapes, members: Tensor, levels: Sequence[Level], caps: Sequence[int | None]
) -> list[_Place]:
    """Return where the windows of the members (M, levels) lie, level by level.

    A window reaches half the box to each side, at least one cell and at most the cap, and a margin of one.
    """
    chosen = rows_where(list(members.unbind(-1)))
    places = []
    for rows, level, cap in zip(chosen, levels, caps, strict=True):
        radius = (shapes.sizes[rows] / (2 * level.stride)).clamp(1, cap).long()
        peak = (shapes.centers[rows] / level.stride).floor().long()
        limit = on_device([level.columns - 1, level.rows - 1], peak)
        first = (peak - radius - 1).clamp(min=0)
        size = (torch.minimum(peak + radius + 1, limit) - first + 1).clamp(min=0)
        places.append(_Place(rows, radius, peak, first, size))
    return places


def _heated(
    shapes: Shapes,
    places: Sequence[_Place],
    spreads: Sequence[Tensor],
    levels: Sequence[Level],
    least: float,
) -> Iterator[tuple[Level, _Place, tuple[_Window, Tensor]]]:
    """Yield each level with the cells of its windows that are hotter than `least`, and their heat."""
    pairs = expanded_rows([place.size.prod(dim=-1) for place in places])
    windows = [_heated_window(shapes, *level) for level in zip(places, pairs, spreads, strict=True)]
    hot = rows_where([heat > least for _, heat in windows])
    for level, place, (window, heat), keep in zip(levels, places, windows, hot, strict=True):
        yield level, place, (_Window(*(field[keep] for field in window)), heat[keep])


def _heated_window(shapes: Shapes, place: _Place, pair: Tensor, spread: Tensor) -> tuple[_Window, Tensor]:
    """Lay out the windows of the chosen objects and evaluate their Gaussians (spec 2.3).

    `pair` (K,) names the window of each cell; `spread` (R, 2) is twice sigma, in cells.
    """
    counts = place.size.prod(dim=-1)
    within = torch.arange(len(pair), device=pair.device) - (counts.cumsum(0) - counts)[pair]
    width = place.size.unbind(-1)[0][pair]
    first_column, first_row = place.first[pair].unbind(-1)
    column, row = first_column + within % width, first_row + within // width
    d_column, d_row = (torch.stack([column, row], dim=-1) - place.peak[pair]).to(spread.dtype).unbind(-1)
    cos, sin = shapes.directions[place.rows][pair].unbind(-1)
    long, short = spread[pair].unbind(-1)
    u, v = cos * d_column + sin * d_row, cos * d_row - sin * d_column
    heat = torch.exp(-2 * ((u / long) ** 2 + (v / short) ** 2))
    return _Window(pair, column, row), heat


def _edge_dists(shapes: Shapes, owner: Tensor, window: _Window, level: Level) -> Tensor:
    return cell_edge_dists(shapes.hboxes[owner], window.column, window.row, level.stride)


def cell_edge_dists(hboxes: Tensor, column: Tensor, row: Tensor, stride: int) -> Tensor:
    """Return the px (K, 4) from cell centres to the top, right, bottom and left sides of boxes (K, 4)."""
    x_min, y_min, x_max, y_max = hboxes.unbind(-1)
    x, y = (column + 0.5) * stride, (row + 0.5) * stride
    return torch.stack([y - y_min, x_max - x, y_max - y, x - x_min], dim=-1)


def _flat_cells(image: Tensor, window: _Window, level: Level) -> Tensor:
    return (image * level.rows + window.row) * level.columns + window.column


def _sure_threshold(pair: Tensor, heat: Tensor, pairs: int, share: float) -> tuple[Tensor, Tensor]:
    """Return the heat of each object's N-th hottest cell and N = ceil(share * candidates), (pairs,) each.

    Objects without candidates get 0 and 1.
    """
    counts = torch.zeros(pairs, dtype=torch.long, device=pair.device)
    counts.index_add_(0, pair, torch.ones_like(pair))  # bincount asks for the largest
    sure = (counts.double() * share - 1e-9).ceil().long().clamp(min=1)
    order = (-heat).argsort(stable=True)
    order = order[pair[order].argsort(stable=True)]  # by object, hottest first
    last = (counts.cumsum(0) - counts) + sure - 1
    hottest_first = torch.cat([heat[order], heat.new_zeros(1)])
    threshold = hottest_first[torch.where(counts > 0, last, len(order))]
    return threshold, sure
