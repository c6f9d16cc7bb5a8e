"""TAL: the cells inside an object that predict it best, by class and overlap together.

Source: TOOD (arXiv:2108.07755); spec 11.4.
"""

import torch
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.assign.groups import highest_in_groups, ranks_in_groups
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

SMALL_SIDE = 2.0  # strides, long side of objects around which cells are taken if none lies inside
FEWEST = 4  # cells that such an object looks at, of those less than one cell away


def tal_targets(
    objects: Objects, pyramid: Pyramid, guesses: Guesses, config: AssignConfig
) -> list[LevelTargets]:
    """Return the targets of every level; objectness and heat: how well a cell does, the best its overlap."""
    known = survey(objects, pyramid, config)
    pairs = pairs_inside_or_near(known)
    overlap = guessed_overlaps(known, pairs, guesses)
    score = guessed_logits(known, pairs, guesses).sigmoid()
    metric = score**config.tal_alpha * overlap**config.tal_beta
    rank = ranks_in_groups(pairs.owner, metric, len(known.takes_part))
    wanted = (rank < config.tal_top_k) & (metric > 0)
    owns = winning_pairs(known, pairs, wanted, overlap)
    quality = aligned_quality(pairs.owner, owns, metric, overlap, len(known.takes_part))
    credit = Credit(quality, quality, torch.ones_like(quality))
    return targets_of_pairs(known, pairs, owns, credit, metric)


def aligned_quality(owner: Tensor, owns: Tensor, metric: Tensor, overlap: Tensor, count: int) -> Tensor:
    """Return the metric (K,) of pairs, scaled so that the best cell of an object has its largest overlap.

    Both are of the cells that the object owns, and so is the quality; elsewhere it has no meaning.
    """
    most, best = (
        highest_in_groups(owner, torch.where(owns, values, 0.0), count, 0.0)[owner]
        for values in (metric, overlap)
    )
    return torch.where(most > 0, metric * best / torch.where(most > 0, most, 1.0), overlap).clamp(0, 1)


def pairs_inside_or_near(known: Survey) -> CellPairs:
    """Return the cells inside each object, of all levels; around small ones that hold none, the next cells.

    Those lie on the finest level of which two cells are longer than the object, less than a cell away, and
    are four, or more that are equally near.
    """
    shapes, levels, count = known.shapes, known.levels, len(known.takes_part)
    long = 2 * shapes.half_sides.unbind(-1)[0]
    is_small = [long < SMALL_SIDE * level.stride for level in levels]
    margins = [
        torch.where(small, float(level.stride), 0.0) for small, level in zip(is_small, levels, strict=True)
    ]
    boxes = [_grown(shapes.hboxes, margin) for margin in margins]
    members = known.takes_part.unsqueeze(-1).expand(-1, len(levels))
    pairs = pairs_in_boxes(boxes, members, known.objects.image_index, levels)
    depth = depths(shapes.quads, pairs)
    inside = depth > 0
    empty = highest_in_groups(pairs.owner, inside.int(), count, 0) == 0
    small = torch.stack(is_small, dim=-1)
    finest = torch.where(small.any(dim=-1), small.int().argmax(dim=-1), -1)
    near = empty[pairs.owner] & (pairs.level == finest[pairs.owner]) & (depth > -pairs.strides)
    rank = ranks_in_groups(pairs.owner, torch.where(near, depth, -torch.inf), count)
    last = highest_in_groups(
        pairs.owner, torch.where(near & (rank == FEWEST - 1), depth, -torch.inf), count, -torch.inf
    )
    near &= depth >= last[pairs.owner] - 1e-6 * pairs.strides
    return pairs_where(pairs, (inside | near) & ~known.ignored[pairs.cell])[0]


def _grown(boxes: Tensor, margin: Tensor) -> Tensor:
    """Return boxes (M, 4), each larger by a margin (M,) on all sides."""
    low, high = torch.unflatten(boxes, -1, (2, 2)).unbind(-2)
    return torch.cat([low - margin.unsqueeze(-1), high + margin.unsqueeze(-1)], dim=-1)
