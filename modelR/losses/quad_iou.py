"""Exact IoU and GIoU of convex quads, row by row, with the exact gradient by both (spec 4.8)."""

import torch
from torch import Tensor

from modelR.losses.hull_area import hull_areas
from modelR.losses.known_gradient import with_known_gradient
from modelR.losses.shared_area import pair_areas

FLAT = 1e-9  # a quad of a smaller area, in squared extents of its pair, has IoU 0 with everything
# sides below this length, in extents of the pair, are points: rounding may have turned them around
SHORT, ROUNDED_SHORT = 1e-9, 1e-5


def differentiable_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of rows of convex quads (N, 4, 2), (N,) in [0, 1], float32 or better.

    Vertices may run in either direction.  Where the IoU has no gradient (sides that coincide, a vertex on a
    side, quads that touch) it is one of the one-sided ones; apart and without area it is 0.
    """
    short = _shortest(a, b)
    return with_known_gradient(a, b, lambda x, y: _ratios(x, y, short, of_hull=False))


def differentiable_giou(a: Tensor, b: Tensor) -> Tensor:
    """Return IoU - (hull - union) / hull of rows of convex quads (N, 4, 2), (N,) in (-1, 1].

    Its gradient pulls quads together that lie apart (arXiv:1902.09630, with the hull of both quads).
    """
    short = _shortest(a, b)
    return with_known_gradient(a, b, lambda x, y: _ratios(x, y, short, of_hull=True))


def plain_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of rows of convex quads (N, 4, 2), (N,), computed in their type and without a gradient.

    For graphs that leave torch: plain operators, no shape of which depends on the numbers.
    """
    x, y = torch.cat([a, b], dim=1).permute(2, 1, 0).unbind()
    return _ratios(x, y, _shortest(a, b), of_hull=False)[0]


def _ratios(x: Tensor, y: Tensor, short: float, of_hull: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return IoU or GIoU (K,) and its gradients by x and y (8, K).

    Neither depends on where the pair lies and on how large it is, so these carry no gradient.
    """
    (low_x, high_x), (low_y, high_y) = (own.aminmax(dim=0) for own in (x, y))
    unit = torch.maximum(high_x - low_x, high_y - low_y)
    unit = torch.where(unit > 0, unit, 1.0)
    x, y = (x - (low_x + high_x) / 2) / unit, (y - (low_y + high_y) / 2) / unit
    shared, each, both = pair_areas(x, y, short)
    has_area = (each > FLAT).all(dim=0)
    union = both.values - torch.where(has_area, shared.values, 0.0)
    whole = torch.where(has_area, union, 1.0)
    value = torch.where(has_area, shared.values / whole, 0.0)
    # d(I / U) = dI (1 + I / U) / U - dA I / U^2 with U = A - I
    parts = [(shared, torch.where(has_area, (1 + value) / whole, 0.0)), (both, -value / whole)]
    if of_hull:
        hull = hull_areas(x, y)
        wide = torch.where(hull.values > FLAT, hull.values, torch.inf)  # a hull without area counts as none
        filled = union / wide
        value = value - torch.where(wide.isinf(), 0.0, 1 - filled)
        parts += [(both, 1 / wide), (shared, torch.where(has_area, -1 / wide, 0.0)), (hull, -filled / wide)]
    return (
        value,
        _sum_of([(a.by_x, f) for a, f in parts], unit),
        _sum_of([(a.by_y, f) for a, f in parts], unit),
    )


def _sum_of(parts: list[tuple[Tensor, Tensor]], unit: Tensor) -> Tensor:
    """Return the sum of gradients (8, K) times their factors (K,), in units of the quads."""
    total = torch.zeros_like(parts[0][0])
    for gradient, factor in parts:
        total = total.addcmul_(gradient, factor / unit)
    return total


def _shortest(a: Tensor, b: Tensor) -> float:
    return SHORT if a.dtype == b.dtype == torch.float64 else ROUNDED_SHORT
