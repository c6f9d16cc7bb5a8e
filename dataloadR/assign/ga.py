"""GA: a Gaussian of at most two cells around each object: tiny ones learn from as many cells as large ones.

Source: Gaussian assignment for tiny objects, along the rotated object; spec 11.3.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.owners import Credit, targets_of_pairs, winning_pairs
from dataloadR.assign.pairs import (
    CellPairs,
    Survey,
    center_distances,
    first_cells,
    pairs_in_boxes,
    pairs_where,
    survey,
)
from dataloadR.assign.shapes import Level, Pyramid
from utils.quads.geometry import TIE
from utils.records import LevelTargets, Objects

MAX_SIDE = 4.0  # cells of a side that count
SIGMAS = 3.0  # from the peak to the border of the Gaussian


class Cores(NamedTuple):
    """The Gaussians of all objects, before any of them owns a cell."""

    known: Survey
    pairs: CellPairs  # an object and a cell in its reach
    heat: Tensor  # (K,) of the pairs


class HeatTargets(NamedTuple):
    """Targets of a level, and how hot its cells are for every class; an `Assigned` of `modelR.method`."""

    cells: LevelTargets
    class_heat: Tensor  # (B, H, W, C) the highest Gaussian of any object of the class, whoever owns the cell

    @property
    def owner(self) -> Tensor:
        """Row in Objects that a cell learns, (B, H, W) int64, -1 without."""
        return self.cells.owner

    @property
    def heat(self) -> Tensor:
        """The Gaussian of the owner, (B, H, W)."""
        return self.cells.heat

    @property
    def labels(self) -> Tensor:
        """Class of the owner, (B, H, W) int64."""
        return self.cells.labels

    @property
    def ignore(self) -> Tensor:
        """Cells without a class loss, (B, H, W) bool."""
        return self.cells.ignore

    @property
    def stride(self) -> int:
        """Pixels per cell."""
        return self.cells.stride


def ga_targets(objects: Objects, pyramid: Pyramid, config: AssignConfig) -> list[LevelTargets]:
    """Return the targets of every level, each object on the one of its size; of two the smaller owns a cell.

    No object is too small.  The cells of an object weigh 1 together.
    """
    return _owned_cells(core_pairs(objects, pyramid, config), config.ga_threshold)


def ga_heat_targets(
    objects: Objects, pyramid: Pyramid, config: AssignConfig, classes: int
) -> list[HeatTargets]:
    """Return `ga_targets` with the heat of every class beside them."""
    cores = core_pairs(objects, pyramid, config)
    owned = _owned_cells(cores, config.ga_threshold)
    pairs = zip(owned, class_core_heat(cores, classes), strict=True)
    return [HeatTargets(cells, heat) for cells, heat in pairs]


def core_pairs(objects: Objects, pyramid: Pyramid, config: AssignConfig) -> Cores:
    """Return the Gaussians of all objects that take part, each on the level of its size."""
    known = survey(objects, pyramid, config.model_copy(update={"min_side": -1.0}))
    members = known.level.unsqueeze(-1) == torch.arange(len(known.levels), device=known.level.device)
    members = members & known.takes_part.unsqueeze(-1)
    radius = torch.stack([core_radius(known, level, config.ga_alpha) for level in known.levels], dim=1)
    boxes = [_reach(known, level, own) for level, own in zip(known.levels, radius.unbind(1), strict=True)]
    pairs = pairs_in_boxes(boxes, members, objects.image_index, known.levels)
    pairs, _ = pairs_where(pairs, ~known.ignored[pairs.cell])
    return Cores(known, pairs, core_heat(known, pairs, radius[pairs.owner, pairs.level]))


def _owned_cells(cores: Cores, threshold: float) -> list[LevelTargets]:
    known, pairs, heat = cores
    owns = winning_pairs(known, pairs, heat >= threshold, -known.shapes.areas[pairs.owner])
    own_heat = torch.where(owns, heat, 0.0)
    whole = torch.zeros_like(known.shapes.areas).index_add_(0, pairs.owner, own_heat)
    weight = heat / whole.clamp(min=torch.finfo(heat.dtype).tiny)[pairs.owner]
    credit = Credit(heat, torch.ones_like(heat), weight)
    return targets_of_pairs(known, pairs, owns, credit, -center_distances(known, pairs))


def class_core_heat(cores: Cores, classes: int) -> list[Tensor]:
    """Return the highest Gaussian of any object of each class, (B, H, W, C) for each level."""
    known, pairs, heat = cores
    flat = heat.new_zeros(len(known.ignored) * classes)
    place = pairs.cell * classes + known.objects.labels[pairs.owner]
    cells = flat.scatter_reduce_(0, place, heat, "amax").view(-1, classes)
    return [
        cells.narrow(0, first, level.cells).view(level.batch, level.rows, level.columns, classes)
        for level, first in zip(known.levels, first_cells(known.levels), strict=True)
    ]


def core_radius(known: Survey, level: Level, alpha: float) -> Tensor:
    """Return how many cells (M, 2) a Gaussian reaches from its peak, along the long and the short side."""
    cells = (2 * known.shapes.half_sides / level.stride).clamp(max=MAX_SIDE)
    return (0.5 * alpha * cells + TIE).floor()


def _reach(known: Survey, level: Level, radius: Tensor) -> Tensor:
    """Return boxes (M, 4) px that hold the Gaussian and the cells around the peak."""
    peak = ((known.shapes.centers / level.stride).floor() + 0.5) * level.stride
    long, short = (radius.clamp(min=1) + 0.5).unbind(-1)
    x, y = known.shapes.directions.abs().unbind(-1)
    half = torch.stack([x * long + y * short, y * long + x * short], dim=-1).clamp(min=1) * level.stride
    return torch.cat([peak - half, peak + half], dim=-1)


def core_heat(known: Survey, pairs: CellPairs, radius: Tensor) -> Tensor:
    """Return the Gaussian (K,) of cells, 1 at the peak, 0 beyond three sigma; `radius` (K, 2) is in cells."""
    strides = pairs.strides.unsqueeze(-1)
    peak = (known.shapes.centers[pairs.owner] / strides).floor()
    d_column, d_row = ((pairs.points / strides).floor() - peak).unbind(-1)
    cos, sin = known.shapes.directions[pairs.owner].unbind(-1)
    along = torch.stack([cos * d_column + sin * d_row, cos * d_row - sin * d_column], dim=-1)
    border = radius + 0.5
    heat = torch.exp(-0.5 * (along * SIGMAS / border).square().sum(dim=-1))
    return torch.where((along.abs() <= border * (1 + TIE)).all(dim=-1), heat, 0.0)
