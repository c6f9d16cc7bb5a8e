"""Gaussians along the axes of the image: label assignment of horizontal boxes (spec 10.5)."""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.engine import Rule
from dataloadR.assign.shapes import Level, Shapes
from dataloadR.assign.windows import (
    Candidates,
    chosen_where,
    window_cells,
    window_edge_dists,
    window_places,
    windows,
)
from utils.quads.geometry import hboxes_to_quads, quads_to_hboxes
from utils.records import Objects
from utils.selection import on_device, rows_where

LEAST_SIDE = 1.0  # px that width and height must exceed


def upright_objects(objects: Objects) -> Objects:
    """Return the objects as the horizontal boxes around them."""
    return objects._replace(quads=hboxes_to_quads(quads_to_hboxes(objects.quads)))


def horizontal_rule(config: AssignConfig) -> Rule:
    """Return the rule with these settings; the quads it is given are horizontal boxes."""
    return Rule(
        lambda shapes: shapes.sizes.amin(dim=-1) > LEAST_SIDE,
        partial(level_of_box, bounds=config.level_bounds),
        partial(upright_candidates, threshold=config.heat_threshold),
    )


def level_of_box(shapes: Shapes, levels: int, bounds: Sequence[float]) -> Tensor:
    """Return the one level of each object by the longest side of its box, (M, levels) bool."""
    longest = shapes.sizes.amax(dim=-1)
    number = torch.bucketize(longest, on_device(bounds, longest, longest.dtype))
    return number.unsqueeze(-1) == torch.arange(levels, device=longest.device)


def upright_candidates(
    shapes: Shapes, images: Tensor, members: Tensor, levels: Sequence[Level], threshold: float
) -> list[Candidates]:
    """Cells of whole windows with enough heat whose centre lies inside the box.

    For each level, of its `members` (M, levels).
    """
    laid = []
    for rows, level in zip(rows_where(list(members.unbind(-1))), levels, strict=True):
        radius = (shapes.sizes[rows] / (2 * level.stride)).clamp(min=1).long()  # whole cells, as spread, too
        peak = (shapes.centers[rows] / level.stride).floor().long()
        laid.append(window_places(rows, radius, peak, 0, level))
    found = []
    for level, place, window in zip(levels, laid, windows(shapes, laid), strict=True):
        radius = place.radius.to(shapes.sizes.dtype)
        away = torch.stack([window.column, window.row], dim=-1) - place.peak[window.pair]
        heat = torch.exp(-2 * (away / radius[window.pair]).square().sum(dim=-1))
        inside = window_edge_dists(shapes, place, window, level).amin(dim=-1) > 0
        weight = 2 * math.log(2) / torch.log(radius.prod(dim=-1).sqrt() + 1)
        owner, cell = place.rows[window.pair], window_cells(images, place, window, level)
        offered = Candidates(owner, cell, heat, torch.ones_like(heat), weight[window.pair])
        found.append((offered, inside & (heat > threshold)))
    return chosen_where(found)
