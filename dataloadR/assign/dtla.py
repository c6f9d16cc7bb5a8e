"""DTLA: of the cells that a static rule gives an object, those that predict it best count more.

Source: TS-Conv (arXiv:2209.02200); spec 11.8.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dataloadR.assign.groups import ranked_table, ranks_in_groups
from utils.records import LevelTargets

REACH = 3  # cells to each side of the peak
COUNTED = 15  # best locations whose sum is the number of cells
STATIC, MATCHED = 0.3, 0.7  # shares of the heat


def matched_quality(group: Tensor, place: Tensor, heat: Tensor, location: Tensor, score: Tensor) -> Tensor:
    """Return sqrt(location * score) of the cells (K,) that are matched, else 0.

    Those of the window around the hottest cell of a group, k of the highest; k is the whole part of the sum
    of the best locations in that window, at least 1.  Ties go to the earlier cell.

    Args:
        group: (K,) int64 object and level, in any numbers below K.
        place: (K, 2) column and row.
        heat: (K,) of the static rule.
        location: (K,) how well the place of the object is predicted, in [0, 1].
        score: (K,) of its class.
    """
    groups = len(group)
    peak = ranks_in_groups(group, heat, groups) == 0
    middle = torch.zeros(groups, 2, dtype=place.dtype, device=place.device)
    middle = middle.scatter_reduce(
        0, group.unsqueeze(-1).expand(-1, 2), torch.where(peak.unsqueeze(-1), place, 0), "amax"
    )
    near = ((place - middle[group]).abs() <= REACH).all(dim=-1)
    quality = (location * score).sqrt()
    rank = ranks_in_groups(group, torch.where(near, location, -torch.inf), groups)
    rank = torch.where(near, rank, COUNTED)
    best = ranked_table(group, rank, location, (groups, COUNTED), 0.0).sum(dim=-1)
    cells = best.floor().clamp(min=1)
    order = ranks_in_groups(group, torch.where(near, quality, -torch.inf), groups)
    return torch.where(near & (order < cells[group]), quality, 0.0)


def dtla_targets(
    levels: Sequence[LevelTargets],
    rows: Sequence[Tensor],
    locations: Sequence[Tensor],
    scores: Sequence[Tensor],
) -> list[LevelTargets]:
    """Return the targets of a static rule with the heat of matched cells raised and that of others lowered.

    Args:
        rows: (P,) the cells of each level that own an object, ascending.
        locations: (P,) float64 of each level, how well these cells predict the place of their object.
        scores: (P,) float64 of its class.
    """
    heats = [level.heat.flatten()[own] for level, own in zip(levels, rows, strict=True)]
    groups, places = [], []
    for number, (level, own) in enumerate(zip(levels, rows, strict=True)):
        _, height, width = level.owner.shape
        owner = level.owner.flatten()[own]
        groups.append(owner * len(levels) + number)
        places.append(torch.stack([own % width, own // width % height], dim=-1))
    group = _renumbered(torch.cat(groups))
    found = matched_quality(
        group, torch.cat(places), torch.cat(heats), torch.cat(list(locations)), torch.cat(list(scores))
    )
    maps = []
    for level, own, heat, matched in zip(
        levels, rows, heats, torch.split(found, [len(own) for own in rows]), strict=True
    ):
        flat = level.heat.flatten().scatter(0, own, STATIC * heat + MATCHED * matched.to(heat.dtype))
        maps.append(level._replace(heat=flat.view(level.heat.shape)))
    return maps


def _renumbered(group: Tensor) -> Tensor:
    """Return numbers below K, the same for rows (K,) of the same number."""
    order = group.argsort(stable=True)
    ordered = group[order]
    new = torch.zeros_like(group)
    if len(group) > 1:
        new[1:] = (ordered[1:] != ordered[:-1]).long().cumsum(0)
    return torch.empty_like(group).scatter_(0, order, new)
