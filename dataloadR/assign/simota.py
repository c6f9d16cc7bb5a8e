"""SimOTA: for each object as many cells as its predictions overlap it, those of least cost.

Source: YOLOX (arXiv:2107.08430); spec 11.5.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.groups import ranked_table, ranks_in_groups
from dataloadR.assign.owners import Credit, targets_of_pairs, winning_pairs
from dataloadR.assign.pairs import (
    CellPairs,
    Guesses,
    Survey,
    depths,
    guessed_logits,
    guessed_overlaps,
    pairs_in_boxes,
    pairs_where,
    survey,
)
from dataloadR.assign.shapes import Pyramid
from utils.records import LevelTargets, Objects

CENTER_REACH = 2.5  # strides, half the side of the square around the centre
COUNTED = 10  # largest overlaps whose sum is the number of cells
OVERLAP_GAIN = 3.0  # of the logarithm of the overlap, against the class
FLOOR = 1e-8  # of the overlap in its logarithm
BESIDE = 1e5  # cost of a cell that is not both in the object and in the square


def simota_targets(
    objects: Objects, pyramid: Pyramid, guesses: Guesses, config: AssignConfig
) -> list[LevelTargets]:
    """Return the targets of every level; heat: the overlap of what a cell predicts."""
    known = survey(objects, pyramid, config)
    pairs, is_central = central_pairs(known)
    overlap = guessed_overlaps(known, pairs, guesses)
    cost = class_costs(known, pairs, guesses) - OVERLAP_GAIN * (overlap + FLOOR).log()
    cost = cost + torch.where(is_central, 0.0, BESIDE)
    owns = least_costs(known, pairs, cost, overlap, COUNTED)
    ones = torch.ones_like(overlap)
    return targets_of_pairs(known, pairs, owns, Credit(overlap, ones, ones), -cost)


def class_costs(known: Survey, pairs: CellPairs, guesses: Guesses) -> Tensor:
    """Return the binary cross-entropy (K,) float64 of all classes, that of the object being true."""
    none_true = F.softplus(guesses.class_logits.double()).sum(dim=-1)
    return none_true[pairs.cell] - guessed_logits(known, pairs, guesses)


def least_costs(known: Survey, pairs: CellPairs, cost: Tensor, overlap: Tensor, counted: int) -> Tensor:
    """Return which pairs (K,) own their cell: of each object the k of least cost, of a cell the least cost.

    k is the whole part of the sum of the largest overlaps, so many as `counted`, at least 1.
    """
    count = len(known.takes_part)
    rank = ranks_in_groups(pairs.owner, overlap, count)
    most = ranked_table(pairs.owner, rank, overlap, (count, counted), 0.0).sum(dim=-1)
    cells = most.floor().clamp(min=1)
    wanted = ranks_in_groups(pairs.owner, -cost, count) < cells[pairs.owner]
    return winning_pairs(known, pairs, wanted, -cost)


def central_pairs(known: Survey) -> tuple[CellPairs, Tensor]:
    """Return the cells in each object or in the square around its centre, and which (K,) lie in both."""
    shapes = known.shapes
    boxes = []
    for level in known.levels:
        reach = CENTER_REACH * level.stride
        low, high = torch.unflatten(shapes.hboxes, -1, (2, 2)).unbind(-2)
        low, high = torch.minimum(low, shapes.centers - reach), torch.maximum(high, shapes.centers + reach)
        boxes.append(torch.cat([low, high], dim=-1))
    members = known.takes_part.unsqueeze(-1).expand(-1, len(boxes))
    pairs = pairs_in_boxes(boxes, members, known.objects.image_index, known.levels)
    inside = depths(shapes.quads, pairs) > 0
    away = (pairs.points - shapes.centers[pairs.owner]).abs().amax(dim=-1)
    central = away < CENTER_REACH * pairs.strides
    chosen, (both,) = pairs_where(pairs, (inside | central) & ~known.ignored[pairs.cell], inside & central)
    return chosen, both
