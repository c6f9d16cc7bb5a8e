"""Suppression of quads as a graph: exact IoU and greedy NMS by operators that every engine has.

Greedy NMS is a fixed point: a quad stays where no better quad of its class that stays overlaps it too much.
Repeating this rule from "all stay" settles after as many rounds as the longest chain of quads that remove
each other, in crowded scenes four or five.
"""

import torch
from torch import Tensor

from modelR.losses.quad_iou import plain_iou

# of the rule: an even number, so that chains that are longer leave a quad too many and lose none
ROUNDS = 16


def best_first(quads: Tensor, scores: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `count` candidates of the highest scores of each image, highest first.

    Where there are fewer, and for quads that are not finite, rows have score 0.

    Args:
        quads: (N, K, 4, 2) px.
        scores: (N, K).
        labels: (N, K) int64.
        count: D, whatever K is.

    Returns:
        (N, D, 4, 2), (N, D), (N, D).
    """
    finite = quads.isfinite().flatten(2).all(dim=2)
    scores = torch.where(finite, scores, 0.0)
    # as many rows more: there are always enough, and no operator asks for the smaller of two numbers
    none = scores.new_zeros(count).expand(scores.shape[0], count)
    best, places = torch.cat([scores, none], dim=1).topk(count, dim=1)
    places = places.clamp(max=scores.shape[1] - 1)
    rows = places.unsqueeze(-1).expand(-1, -1, 8)
    chosen = torch.unflatten(quads.flatten(2).gather(1, rows), -1, (4, 2))
    alive = best > 0
    chosen = torch.where(alive[..., None, None], chosen, 0.0)
    return chosen, best, torch.where(alive, labels.gather(1, places), 0)


def greedy_kept(quads: Tensor, labels: Tensor, usable: Tensor, iou: float) -> Tensor:
    """Return which quads greedy NMS keeps, class by class, (N, D) bool.

    Args:
        quads: (N, D, 4, 2) px, highest score first.
        labels: (N, D) integers.
        usable: (N, D) bool: the others neither stay nor remove.
        iou: above it the lower of two goes.
    """
    removes = _removing(quads, labels, usable, iou)
    kept = usable
    for _ in range(ROUNDS):
        removed = torch.matmul(removes, kept.to(quads.dtype).unsqueeze(-1)).squeeze(-1)
        kept = usable & (removed < 0.5)
    return kept


def _removing(quads: Tensor, labels: Tensor, usable: Tensor, iou: float) -> Tensor:
    """Return 1 where the quad of a row goes if that of a column stays, (N, D, D), else 0."""
    low, high = quads.amin(dim=2), quads.amax(dim=2)
    meets = labels.unsqueeze(2) == labels.unsqueeze(1)
    for axis in range(2):
        begin, end = low.select(-1, axis), high.select(-1, axis)
        meets = meets & (begin.unsqueeze(2) < end.unsqueeze(1)) & (begin.unsqueeze(1) < end.unsqueeze(2))
    rank = torch.arange(quads.shape[1], device=quads.device)
    is_better = rank.unsqueeze(0) < rank.unsqueeze(1)  # of a column than of a row
    # the boxes of most pairs lie apart: what overlaps is worked out for the others
    pairs = (meets & is_better & usable.unsqueeze(2) & usable.unsqueeze(1)).nonzero()
    # the first quad with itself stands in front, which removes nothing: some engines know no empty tensors
    pairs = torch.cat([pairs.new_zeros(1, 3), pairs])
    images, rows, columns = pairs.unbind(-1)
    above = (plain_iou(quads[images, rows], quads[images, columns]) > iou) & (rows > columns)
    blank = torch.zeros_like(meets, dtype=quads.dtype)
    return blank.index_put((images, rows, columns), above.to(quads.dtype))


def front_rows(kept: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Return the places (N, L) of the first `limit` rows that are kept, and which of these there are."""
    count = kept.shape[1]
    order = torch.arange(count, 0, -1, device=kept.device, dtype=torch.float32)
    rest, places = torch.where(kept, order, 0.0).topk(limit, dim=1)
    return places, rest > 0
