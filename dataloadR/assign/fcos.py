"""Centre sampling of FCOS-R: every cell inside an object learns it, and how central it lies.

Source: FCOS (arXiv:1904.01355), eq. 3, along and across the rotated object; spec 10.2.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from cfg.schema import FcosConfig
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
from utils.selection import on_device

MARGIN = 1.0  # cells around the object that have some centre-ness, too


def fcos_rule(config: FcosConfig) -> Rule:
    """Return the rule with these settings."""
    return Rule(has_large_box, partial(level_of, config=config), partial(central_candidates, config=config))


def level_of(shapes: Shapes, levels: int, config: FcosConfig) -> Tensor:
    """Return the one level of each object by the longest side of its box, (M, levels) bool."""
    longest = shapes.sizes.amax(dim=-1)
    bounds = on_device(config.level_bounds, longest, longest.dtype)
    number = torch.bucketize(longest, bounds)  # a side as long as a bound belongs to the finer level
    return number.unsqueeze(-1) == torch.arange(levels, device=longest.device)


def central_candidates(
    shapes: Shapes, images: Tensor, members: Tensor, levels: Sequence[Level], config: FcosConfig
) -> list[Candidates]:
    """Cells whose centre lies inside the box, and in the object with a margin of one cell; heat: centre-ness.

    For each level, of its `members` (M, levels).
    """
    laid = places(shapes, members, levels, [None] * len(levels))
    found = []
    for level, place, window in zip(levels, laid, windows(shapes, laid), strict=True):
        heat = centerness(shapes, place, window, level)
        inside = window_edge_dists(shapes, place, window, level).amin(dim=-1) > 0
        owner, cell = place.rows[window.pair], window_cells(images, place, window, level)
        ones = torch.ones_like(heat)
        found.append((Candidates(owner, cell, heat, ones, ones), inside & (heat > config.min_centerness)))
    return chosen_where(found)


def centerness(shapes: Shapes, place: WindowPlaces, window: WindowCells, level: Level) -> Tensor:
    """Return the centre-ness (K,) of cells: 1 at the peak, 0 outside the object and its margin."""
    limit = (half_cells(shapes, place, level) + MARGIN)[window.pair]
    near, far = (limit - window.along.abs()).clamp(min=0), limit + window.along.abs()
    return (near / far).prod(dim=-1).sqrt()
