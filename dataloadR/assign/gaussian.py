"""OLA: rotated Gaussians that say how well a cell suits an object, by the rules of code, paper and GGHL pro.

Rows of `Candidates` are (object, cell) pairs of one level; the windows of all objects lie end to end.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.engine import Rule
from dataloadR.assign.shapes import Level, Shapes, has_large_box
from dataloadR.assign.windows import (
    Candidates,
    WindowCells,
    WindowPlaces,
    chosen_where,
    half_cells,
    places,
    window_cells,
    window_edge_dists,
    windows,
)
from utils.quads.geometry import TIE
from utils.selection import rows_where

MAX_WINDOW_CELLS = 4  # rule `current`: cap of the window on the finest level, one less per level (spec 2.4)
PAPER_REACH = 8  # rule `paper`: cells, largest edge distance on a level but the last (spec 2.7)


def gaussian_rule(config: AssignConfig) -> Rule:
    """Return the rule that the settings choose."""
    offer = {"current": current_candidates, "paper": paper_candidates, "pro": pro_candidates}[config.rule]
    return Rule(
        takes_part=partial(large_enough, config=config),
        levels=partial(level_members, config=config),
        offer=partial(offer, config=config),
    )


def large_enough(shapes: Shapes, config: AssignConfig) -> Tensor:
    """Return a mask of the objects (M,) that take part; the others are ignore regions (spec 2.1, 2.7)."""
    match config.rule:
        case "paper":
            return has_large_box(shapes) & (shapes.sizes.amin(dim=-1) > config.min_side)
        case "pro":
            return has_large_box(shapes)
        case _:
            return shapes.sizes.amax(dim=-1) > config.min_side


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
    caps = [MAX_WINDOW_CELLS - level.number for level in levels]
    laid = places(shapes, members, levels, caps)
    return _hot_inside(shapes, images, laid, levels, config, 1.0)


def pro_candidates(
    shapes: Shapes, images: Tensor, members: Tensor, levels: Sequence[Level], config: AssignConfig
) -> list[Candidates]:
    """Cells of whole windows with enough heat whose centre lies inside the box, weighted twice (spec 10.1).

    For each level, of its `members` (M, levels).
    """
    laid = places(shapes, members, levels, [None] * len(levels))
    return _hot_inside(shapes, images, laid, levels, config, 2.0)


def _hot_inside(
    shapes: Shapes,
    images: Tensor,
    laid: Sequence[WindowPlaces],
    levels: Sequence[Level],
    config: AssignConfig,
    gain: float,
) -> list[Candidates]:
    """Return the cells of windows that are hot and inside the box; `gain` multiplies the weight by size."""
    power = 1 - config.iou_threshold
    spreads = [half_cells(shapes, place, level) ** power for place, level in zip(laid, levels, strict=True)]
    found = []
    for level, place, (window, heat) in _heated(shapes, laid, spreads, levels, config.heat_threshold):
        inside = window_edge_dists(shapes, place, window, level).amin(dim=-1) > 0
        weight = gain * math.log(2) / torch.log(place.radius.prod(dim=-1).to(heat.dtype).sqrt() + 1)
        owner, cell = place.rows[window.pair], window_cells(images, place, window, level)
        offered = Candidates(owner, cell, heat, torch.ones_like(heat), weight[window.pair])
        found.append((offered, inside))
    return chosen_where(found)


def paper_candidates(
    shapes: Shapes, images: Tensor, members: Tensor, levels: Sequence[Level], config: AssignConfig
) -> list[Candidates]:
    """Cells of whole windows whose edge distances suit the level, the coolest 30 % fuzzy (spec 2.7).

    For each level, of its `members` (M, levels).
    """
    laid = places(shapes, members, levels, [None] * len(levels))
    spreads = [half_cells(shapes, place, level) for place, level in zip(laid, levels, strict=True)]
    found = []
    for level, place, (window, heat) in _heated(shapes, laid, spreads, levels, config.heat_threshold):
        threshold, sure = _sure_threshold(window.pair, heat, len(place.rows), 1 - config.iou_threshold)
        dists = window_edge_dists(shapes, place, window, level)
        furthest = dists.amax(dim=-1)
        low = PAPER_REACH * levels[level.number - 1].stride if level.number else 0
        high = PAPER_REACH * level.stride if level.number < len(levels) - 1 else math.inf
        suits = (dists.amin(dim=-1) > 0) & (furthest > low) & (furthest < high)
        weight = 2 * math.log(2) / torch.log(sure.to(heat.dtype).sqrt() + 1)
        objectness = torch.where(heat >= threshold[window.pair] * (1 - TIE), torch.ones_like(heat), heat)
        owner, cell = place.rows[window.pair], window_cells(images, place, window, level)
        found.append((Candidates(owner, cell, heat, objectness, weight[window.pair]), suits))
    return chosen_where(found)


def _heated(
    shapes: Shapes,
    laid: Sequence[WindowPlaces],
    spreads: Sequence[Tensor],
    levels: Sequence[Level],
    least: float,
) -> Iterator[tuple[Level, WindowPlaces, tuple[WindowCells, Tensor]]]:
    """Yield each level with the cells of its windows that are hotter than `least`, and their heat."""
    cells = windows(shapes, laid)
    heats = [_heat(*level) for level in zip(cells, spreads, strict=True)]
    hot = rows_where([heat > least for heat in heats])
    for level, place, window, heat, keep in zip(levels, laid, cells, heats, hot, strict=True):
        yield level, place, (WindowCells(*(field[keep] for field in window)), heat[keep])


def _heat(window: WindowCells, spread: Tensor) -> Tensor:
    """Return the Gaussian at the cells of a window (spec 2.3); `spread` (R, 2) is twice sigma, in cells."""
    u, v = (window.along / spread[window.pair]).unbind(-1)
    return torch.exp(-2 * (u**2 + v**2))


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
