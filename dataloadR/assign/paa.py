"""PAA: of the cells whose anchor suits an object, those that a mixture of two Gaussians finds good.

Source: PAA (arXiv:2007.08103); spec 11.7.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.atss import ANCHOR, anchor_overlaps
from dataloadR.assign.groups import highest_in_groups, ranked_table, ranks_in_groups
from dataloadR.assign.owners import Credit, targets_of_pairs, winning_pairs
from dataloadR.assign.pairs import (
    CellPairs,
    Guesses,
    Survey,
    guessed_overlaps,
    pairs_inside,
    pairs_where,
    survey,
)
from dataloadR.assign.shapes import Pyramid
from dataloadR.assign.simota import class_costs
from utils.records import LevelTargets, Objects
from utils.selection import on_device, rows_where

LEAST_OVERLAP = 0.1  # of an anchor with its object, where there is one
ROUNDING = 1e-6
PER_LEVEL = 9  # cells of least cost that an object looks at on each level
MAX_ITERATIONS, AT_ONCE = 100, 20  # in all, and until settled rows are left out
GAIN = 1e-3  # of the mean log-likelihood; below it the mixture is settled
LEAST_VARIANCE = 1e-6  # added to each


class Mixture(NamedTuple):
    """Two Gaussians for each of M rows."""

    means: Tensor  # (M, 2)
    variances: Tensor  # (M, 2)
    weights: Tensor  # (M, 2)
    likelihood: Tensor  # (M, 1) mean of the logarithms, before the last step


def paa_targets(
    objects: Objects, pyramid: Pyramid, guesses: Guesses, config: AssignConfig
) -> list[LevelTargets]:
    """Return the targets of every level; heat: the overlap of what a cell predicts."""
    known = survey(objects, pyramid, config)
    pairs, anchored = anchored_pairs(known)
    overlap = guessed_overlaps(known, pairs, guesses)
    cost = class_costs(known, pairs, guesses) + (1 - overlap)
    offered = winning_pairs(known, pairs, torch.ones_like(pairs.owner, dtype=torch.bool), anchored)
    owns = separated(known, pairs, offered, cost)
    ones = torch.ones_like(overlap)
    return targets_of_pairs(known, pairs, owns, Credit(overlap, ones, ones), -cost)


def anchored_pairs(known: Survey) -> tuple[CellPairs, Tensor]:
    """Return the cells inside each object whose anchor overlaps it enough, and these overlaps (K,).

    Looked at are the levels whose anchors have at least a tenth of the object's area and at most ten times
    as much, or the nearest to that.
    """
    areas = known.shapes.areas.unsqueeze(-1)
    strides = on_device([level.stride for level in known.levels], areas, areas.dtype)
    anchors = (ANCHOR * strides).square()
    share = torch.minimum(areas, anchors) / torch.maximum(areas, anchors)
    members = (share >= LEAST_OVERLAP) | (share == share.amax(dim=-1, keepdim=True))
    pairs = pairs_inside(known, members & known.takes_part.unsqueeze(-1))
    overlap = anchor_overlaps(known.shapes, pairs)
    best = highest_in_groups(pairs.owner, overlap, len(known.takes_part), 0.0)
    least = (best - ROUNDING).clamp(max=LEAST_OVERLAP)
    chosen, (own,) = pairs_where(pairs, overlap >= least[pairs.owner], overlap)
    return chosen, own


def separated(known: Survey, pairs: CellPairs, offered: Tensor, cost: Tensor) -> Tensor:
    """Return which of the pairs that are offered (K,) are good, by the costs of all that an object has."""
    count, levels = len(known.takes_part), len(known.levels)
    group = pairs.owner * levels + pairs.level
    rank = ranks_in_groups(group, torch.where(offered, -cost, -torch.inf), count * levels)
    looked_at = offered & (rank < PER_LEVEL)
    rank = ranks_in_groups(pairs.owner, torch.where(looked_at, -cost, -torch.inf), count)
    rank = torch.where(looked_at, rank, PER_LEVEL * levels)
    table = ranked_table(pairs.owner, rank, cost, (count, PER_LEVEL * levels), torch.inf)
    return looked_at & (rank < good_counts(table)[pairs.owner])


def good_counts(costs: Tensor) -> Tensor:
    """Return how many of the rising costs (M, n) float64 of each row are good, (M,); infinite ones are none.

    A mixture of two Gaussians is fitted; good are those of the lower one up to the most likely of them, of
    several the last.  Of fewer than two all are good.
    """
    real = costs.isfinite()
    number = real.sum(dim=-1)
    costs = torch.where(real, costs, 0.0)
    likely, lower = fit_mixture(costs, real)
    lower &= real
    likely = torch.where(lower, likely, -torch.inf)
    place = torch.arange(1, costs.shape[-1] + 1, device=costs.device)
    best = likely >= likely.amax(dim=-1, keepdim=True) - ROUNDING  # of two members both, but for rounding
    last = torch.where(best & lower, place, 0).amax(dim=-1, keepdim=True)
    good = (lower & (place <= last)).sum(dim=-1)
    return torch.where(number < 2, number, good.clamp(min=1).minimum(number))


def fit_mixture(values: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Return log-likelihoods of values (M, n), and whether each belongs to the lower of two Gaussians.

    Expectation and maximisation of each row by itself, over its `real` values (M, n), which rise.  Rows that
    are settled stay as they are, and are left out now and then.
    """
    number = real.sum(dim=-1, keepdim=True)
    low = values.narrow(-1, 0, 1)
    high = torch.where(real, values, -torch.inf).amax(dim=-1, keepdim=True).clamp(min=low)
    means = torch.cat([low, high], dim=-1)
    mixture = Mixture(
        means, torch.ones_like(means), torch.full_like(means, 0.5), low.new_full(low.shape, -torch.inf)
    )
    (rows,) = rows_where([number.squeeze(-1) >= 2])
    for _ in range(MAX_ITERATIONS // AT_ONCE):
        if not len(rows):
            break
        own = Mixture(*(field[rows] for field in mixture))
        own, active = _iterated(own, values[rows], real[rows])
        mixture = Mixture(*(a.index_copy(0, rows, b) for a, b in zip(mixture, own, strict=True)))
        (left,) = rows_where([active])
        rows = rows[left]
    likely, parts = _expected(values, mixture)
    first, second = parts.unbind(1)
    low, high = (mixture.means.narrow(-1, k, 1) for k in range(2))
    return likely, torch.where(low <= high, first >= second, second > first)


def _iterated(mixture: Mixture, values: Tensor, real: Tensor) -> tuple[Mixture, Tensor]:
    """Return mixtures some iterations further, and which rows (M,) are not settled."""
    share = real.to(values.dtype)
    number = share.sum(dim=-1, keepdim=True)
    active = torch.ones_like(number, dtype=torch.bool)
    for _ in range(AT_ONCE):
        likely, parts = _expected(values, mixture)
        mean = (likely * share).sum(dim=-1, keepdim=True) / number
        fitted = _fitted(values, parts * share.unsqueeze(1), number, mean)
        gains = mean - mixture.likelihood >= GAIN
        pairs = zip(fitted, mixture, strict=True)
        mixture = Mixture(*(torch.where(active, a, b) for a, b in pairs))
        active = active & gains
    return mixture, active.squeeze(-1)


def _expected(values: Tensor, mixture: Mixture) -> tuple[Tensor, Tensor]:
    """Return log-likelihoods (M, n) and the shares (M, 2, n) of the two Gaussians in the values (M, n)."""
    mean, variance, weight = (field.unsqueeze(-1) for field in mixture[:3])
    scale = weight.log() - 0.5 * (math.log(2 * math.pi) + variance.log())
    first, second = (scale - (0.5 / variance) * (values.unsqueeze(1) - mean).square()).unbind(1)
    share = (first - second).sigmoid()
    return first + F.softplus(second - first), torch.stack([share, 1 - share], dim=1)


def _fitted(values: Tensor, parts: Tensor, number: Tensor, likelihood: Tensor) -> Mixture:
    """Return the mixtures of the shares (M, 2, n) of the values (M, n)."""
    tiny = torch.finfo(values.dtype).tiny
    mass = parts.sum(dim=-1)
    divisor = mass.clamp(min=tiny)
    means = (parts * values.unsqueeze(1)).sum(dim=-1) / divisor
    away = (values.unsqueeze(1) - means.unsqueeze(-1)).square()
    variances = (parts * away).sum(dim=-1) / divisor + LEAST_VARIANCE
    return Mixture(means, variances, (mass / number).clamp(min=tiny), likelihood)
