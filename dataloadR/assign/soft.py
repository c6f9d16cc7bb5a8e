"""Soft dynamic assignment: the cells of least cost, which learn their overlap as the target.

Source: RTMDet (arXiv:2212.07784), section 3.3; spec 11.6.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.owners import Credit, targets_of_pairs
from dataloadR.assign.pairs import (
    CellPairs,
    Guesses,
    Survey,
    center_distances,
    guessed_logits,
    guessed_overlaps,
    pairs_inside,
    survey,
)
from dataloadR.assign.shapes import Pyramid
from dataloadR.assign.simota import OVERLAP_GAIN, least_costs
from utils.records import LevelTargets, Objects

COUNTED = 13  # largest overlaps whose sum is the number of cells
FLOOR = 1e-7  # of the overlap in its logarithm
NEAR = 3.0  # cells from the centre at which the distance costs 1; ten times as much with each more
FARTHEST = 300.0  # in that power, lest it overflow


def soft_targets(
    objects: Objects, pyramid: Pyramid, guesses: Guesses, config: AssignConfig
) -> list[LevelTargets]:
    """Return the targets of every level; objectness and heat: the overlap of what a cell predicts."""
    known = survey(objects, pyramid, config)
    members = known.takes_part.unsqueeze(-1).expand(-1, len(known.levels))
    pairs = pairs_inside(known, members)
    overlap = guessed_overlaps(known, pairs, guesses)
    cost = soft_costs(known, pairs, guesses, overlap)
    owns = least_costs(known, pairs, cost, overlap, COUNTED)
    return targets_of_pairs(known, pairs, owns, Credit(overlap, overlap, torch.ones_like(overlap)), -cost)


def soft_costs(known: Survey, pairs: CellPairs, guesses: Guesses, overlap: Tensor) -> Tensor:
    """Return the costs (K,) float64: the class against the overlap, the overlap, the distance."""
    logits, own = guesses.class_logits.double(), guessed_logits(known, pairs, guesses)
    none_true = (logits.sigmoid().square() * F.softplus(logits)).sum(dim=-1)
    score = own.sigmoid()
    classes = none_true[pairs.cell] - score.square() * F.softplus(own)
    classes += (overlap - score).square() * (F.softplus(own) - overlap * own)
    cells_away = (center_distances(known, pairs) / pairs.strides).double()
    prior = 10.0 ** (cells_away - NEAR).clamp(max=FARTHEST)
    return classes - OVERLAP_GAIN * (overlap + FLOOR).log() + prior
