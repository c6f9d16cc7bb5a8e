"""Ranks, sums and winners within groups of rows, without a loop over groups and without a wait for a GPU."""

import torch
from torch import Tensor


def ranks_in_groups(group: Tensor, values: Tensor, groups: int) -> Tensor:
    """Return the rank (K,) of each row in its group, 0 for the highest value, ties to the earlier row.

    Args:
        group: (K,) int64 of each row, below `groups`.
        values: (K,)
    """
    order = falling_keys(values).argsort(stable=True)
    order = order[group[order].argsort(stable=True)]
    counts = torch.zeros(groups, dtype=torch.long, device=group.device)
    counts.index_add_(0, group, torch.ones_like(group))
    start = counts.cumsum(0) - counts
    ranks = torch.empty_like(group)
    ranks[order] = torch.arange(len(group), device=group.device) - start[group[order]]
    return ranks


def falling_keys(values: Tensor) -> Tensor:
    """Return int64 keys (K,) that rise where values (K,) fall: these are sorted several times as fast."""
    bits = (0.0 - values.double()).view(torch.int64)  # of which 0 has one sign
    return bits ^ ((bits >> 63) & torch.iinfo(torch.int64).max)  # those of negative numbers rise backwards


def ranked_table(group: Tensor, rank: Tensor, values: Tensor, shape: tuple[int, int], spare: float) -> Tensor:
    """Return values (K,) as a table of this shape, a group a row, by rank; `spare` where a group has fewer.

    Rows of a higher rank than the table has columns are left out.
    """
    groups, columns = shape
    place = torch.where(rank < columns, group * columns + rank, groups * columns)  # the last is thrown away
    flat = values.new_full((groups * columns + 1,), spare).scatter_(0, place, values)
    return flat.narrow(0, 0, groups * columns).view(groups, columns)


def highest_in_groups(group: Tensor, values: Tensor, groups: int, none: float) -> Tensor:
    """Return the highest value of each group (groups,), at least `none`, which empty ones have."""
    return values.new_full((groups,), none).scatter_reduce_(0, group, values, "amax")


def first_of_groups(group: Tensor, among: Tensor, keys: Tensor, groups: int, most: int) -> Tensor:
    """Return which rows (K,) bool of those `among` (K,) have the smallest key of their group.

    Args:
        keys: (K,) int64 below `most`; rows of a group with the same key are chosen together.
    """
    own = torch.where(among, keys, most)
    least = torch.full((groups,), most, dtype=torch.long, device=group.device)
    least.scatter_reduce_(0, group, own, "amin")
    return among & (own == least[group])
