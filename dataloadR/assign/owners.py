"""Owners of cells among the pairs that a rule wants: one for each cell, and a cell for each object.

Source: spec 11.1.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dataloadR.assign.engine import Winners, ignore_map, write_maps
from dataloadR.assign.groups import first_of_groups, highest_in_groups
from dataloadR.assign.pairs import CellPairs, Survey, first_cells
from utils.records import LevelTargets
from utils.selection import rows_where

RESCUE_ROUNDS = 8  # in which objects without a cell bid for free ones


class Credit(NamedTuple):
    """How much the cells of K pairs count, as in `LevelTargets`."""

    heat: Tensor  # (K,) in [0, 1]
    objectness: Tensor  # (K,) in [0, 1]
    area_weight: Tensor  # (K,)


def winning_pairs(known: Survey, pairs: CellPairs, wanted: Tensor, bids: Tensor) -> Tensor:
    """Return which of the `wanted` pairs (K,) own their cell: the highest bid, ties to the earlier object."""
    cells, count = len(known.ignored), len(known.takes_part)
    best = highest_in_groups(pairs.cell, torch.where(wanted, bids, -torch.inf), cells, -torch.inf)
    leading = wanted & (bids == best[pairs.cell])
    return first_of_groups(pairs.cell, leading, pairs.owner, cells, count)


def targets_of_pairs(
    known: Survey, pairs: CellPairs, owns: Tensor, credit: Credit, metric: Tensor
) -> list[LevelTargets]:
    """Return the targets of all levels.

    An object that owns nothing gets a free cell, which counts in full: the one that holds its centre, else
    the best of its pairs.  What then has no cell is an ignore region.

    Args:
        owns: (K,) bool: the pairs whose object learns in the cell, one for a cell.
        metric: (K,) finite, how well the pairs suit an object without a cell; the highest is the best.
    """
    rescued = rescue_cells(known, pairs, owns, metric)
    chosen, more = rows_where([owns, rescued >= 0])
    full = known.shapes.areas.new_ones(len(more))
    every = Winners(
        torch.cat([pairs.cell[chosen], rescued[more]]),
        torch.cat([pairs.owner[chosen], more]),
        *(torch.cat([field[chosen].to(full.dtype), full]) for field in credit),
    )
    seen = torch.zeros_like(known.takes_part).index_fill_(0, every.owner, value=True)
    return _written(known, every, ~seen)


def _written(known: Survey, every: Winners, ignored: Tensor) -> list[LevelTargets]:
    """Return the targets of all levels; all cells may lie outside the box that they learn."""
    pairs = list(zip(known.levels, first_cells(known.levels), strict=True))
    own = [(every.cell >= first) & (every.cell < first + level.cells) for level, first in pairs]
    anywhere = torch.ones_like(ignored)
    maps = []
    for (level, first), rows in zip(pairs, rows_where(own), strict=True):
        cell, *others = (field[rows] for field in every)
        ignore = ignore_map(known.shapes, known.objects.image_index, ignored, level)
        winners = Winners(cell - first, *others)
        maps.append(write_maps(known.objects, known.shapes, winners, anywhere, ignore, level))
    return maps


def rescue_cells(known: Survey, pairs: CellPairs, owns: Tensor, metric: Tensor) -> Tensor:
    """Return a free cell for each object that owns none (M,), else -1 (spec 11.1).

    First the cell of its centre.  Then in rounds: each that is left bids for the free cell of its best pair,
    of several bids the best wins; ties go to the earlier cell and to the earlier object.
    """
    count, cells = len(known.takes_part), len(known.ignored)
    taken = _any_in_groups(pairs.cell, owns, cells)
    lost = known.takes_part & ~_any_in_groups(pairs.owner, owns, count)
    number = torch.arange(count, device=lost.device)
    got = first_of_groups(known.home, lost & ~taken[known.home], number, cells, count)
    found = torch.where(got, known.home, -1)
    taken |= _any_in_groups(known.home, got, cells)
    lost = lost & ~got
    (rows,) = rows_where([lost[pairs.owner] & ~taken[pairs.cell]])
    if not len(rows):
        return found
    owner, cell, metric = pairs.owner[rows], pairs.cell[rows], metric[rows]
    place = torch.arange(len(rows), device=lost.device)
    for _ in range(RESCUE_ROUNDS):
        free = lost[owner] & ~taken[cell]
        best = highest_in_groups(owner, torch.where(free, metric, -torch.inf), count, -torch.inf)
        bids = first_of_groups(owner, free & (metric == best[owner]), place, count, len(rows))
        top = highest_in_groups(cell, torch.where(bids, metric, -torch.inf), cells, -torch.inf)
        got = first_of_groups(cell, bids & (metric == top[cell]), owner, cells, count)
        found = found.scatter_reduce(0, owner, torch.where(got, cell, -1), "amax")
        taken |= _any_in_groups(cell, got, cells)
        lost = lost & (found < 0)
    return found


def _any_in_groups(group: Tensor, mask: Tensor, groups: int) -> Tensor:
    """Return which groups (groups,) have a row for which the mask (K,) holds."""
    some = torch.zeros(groups, dtype=torch.int32, device=mask.device)
    return some.scatter_reduce_(0, group, mask.int(), "amax") > 0
