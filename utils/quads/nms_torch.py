"""Greedy NMS of quads on a GPU, without a loop over quads.

First every pair that could suppress is found and measured, then the greedy order is settled in rounds: a quad
stays as soon as all that could remove it are gone, and goes as soon as one of them stays.  A round settles
at least the best open quad of each group; in practice few are needed.
"""

import torch
from torch import Tensor

from utils.quads.clip import SplitQuads, ratios_of_pairs, split_quads
from utils.selection import rows_where

PAIRS_AT_ONCE = 1 << 23  # of boxes, before any is clipped; some 1 GB
ROUNDING = 1e-6  # of an IoU, as in quad_kernels


def greedy_groups_torch(  # noqa: PLR0913
    quads: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    images: Tensor | None,
    threshold: float,
    limit: int | None,
    smaller: bool,
) -> tuple[Tensor, Tensor]:
    """Return what `quad_nms.batched_quad_groups` gives, for checked arguments on any device."""
    order = scores.double().argsort(descending=True, stable=True)
    names = torch.zeros_like(order) if images is None else images.long()
    order = order[names[order].argsort(stable=True)]
    names = names[order]
    names = (names != names.roll(1)).long().cumsum(0)  # rising by one from image to image
    split = split_quads(quads[order].double())
    classes = torch.zeros_like(order) if labels is None else labels.long()[order]
    i, j = _suppressing_pairs(split, classes, names, threshold, smaller)
    keep = _settle(i, j, len(order))
    places = torch.arange(len(order), device=order.device)
    (final,) = rows_where([keep[i]])
    first = places.scatter_reduce(0, j[final], i[final], "amin")
    owners = torch.empty_like(order).index_copy_(0, order, order[first])
    if limit is not None:
        before = keep.long().cumsum(0)
        counts = _per_name(names, keep.long())
        keep &= before - (counts.cumsum(0) - counts)[names] <= limit
    return order[keep], owners


def _per_name(names: Tensor, values: Tensor) -> Tensor:
    """Return the sums of values by name; bincount would ask for the largest name, which is at most N."""
    return values.new_zeros(len(names) + 1).index_add_(0, names, values)


def _suppressing_pairs(
    split: SplitQuads, classes: Tensor, names: Tensor, threshold: float, smaller: bool
) -> tuple[Tensor, Tensor]:
    """Return the pairs i < j of one image and class whose overlap is above the threshold."""
    none = torch.zeros(0, dtype=torch.long, device=names.device)
    if not len(names):
        return none, none
    counts = _per_name(names, torch.ones_like(names))
    starts, longest = counts.cumsum(0) - counts, int(counts.max())
    step = max(1, PAIRS_AT_ONCE // longest)
    column = torch.arange(longest, device=names.device)
    found = [(none, none)]
    for first in range(0, len(names), step):
        i = torch.arange(first, min(first + step, len(names)), device=names.device).unsqueeze(1)
        j = starts[names[i]] + column
        later = (j > i) & (column < counts[names[i]])
        j = j.clamp(max=len(names) - 1)
        hit = later & (classes[i] == classes[j]) & _may_exceed(split, i, j, threshold, smaller)
        row, place = hit.nonzero().unbind(-1)
        left, right = row + first, j[row, place]
        (exceeds,) = rows_where([ratios_of_pairs(split, split, left, right, smaller) > threshold])
        found.append((left[exceeds], right[exceeds]))
    lefts, rights = zip(*found, strict=True)
    return torch.cat(lefts), torch.cat(rights)


def _may_exceed(split: SplitQuads, i: Tensor, j: Tensor, threshold: float, smaller: bool) -> Tensor:
    """Return where horizontal boxes and areas do not prove that the overlap is at most the threshold."""
    box_i, box_j = split.boxes[i], split.boxes[j]
    reach = torch.minimum(box_i, box_j).narrow(-1, 2, 2) - torch.maximum(box_i, box_j).narrow(-1, 0, 2)
    meet = (reach > 0).all(dim=-1)
    area_i, area_j = split.areas[i], split.areas[j]
    least = torch.minimum(area_i, area_j)
    most = torch.minimum(reach.clamp(min=0).prod(dim=-1), least)
    whole = least if smaller else area_i + area_j - most
    return meet & (most > (threshold - ROUNDING) * whole) & (most > 0)


def _settle(i: Tensor, j: Tensor, count: int) -> Tensor:
    """Return which of `count` rows stay, where `i` removes `j` if `i` stays; always i < j."""
    keep = torch.ones(count, dtype=torch.bool, device=i.device)
    while len(i):
        threatened = torch.zeros_like(keep).index_fill_(0, j, value=True)
        sure = ~threatened[i]  # its suppressors are gone, so it stays
        keep &= torch.ones_like(keep, dtype=torch.long).scatter_reduce_(0, j, (~sure).long(), "amin") > 0
        (open_pair,) = rows_where([keep[i] & keep[j] & ~sure])
        i, j = i[open_pair], j[open_pair]
    return keep
