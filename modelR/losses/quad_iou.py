"""Exact IoU and GIoU of convex quads, row by row, with the exact gradient by both (spec 11.1)."""

import torch
from torch import Tensor

from modelR.losses.hull_area import hull_areas
from modelR.losses.shared_area import shared_areas
from utils.quads.geometry import quad_areas

FLAT = 1e-9  # a quad of a smaller area, in squared extents of its pair, has IoU 0 with everything
# sides below this length, in extents of the pair, are points: rounding may have turned them around
SHORT, ROUNDED_SHORT = 1e-9, 1e-5


def differentiable_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of rows of convex quads (N, 4, 2), (N,) in [0, 1], float32 or better.

    Vertices may run in either direction.  Where the IoU has no gradient (sides that coincide, a vertex on a
    side, quads that touch) it is one of the one-sided ones; apart and without area it is 0.
    """
    iou, _, _ = _overlap(*_to_extents(a, b), _shortest(a, b))
    return iou.to(_result_type(a))


def differentiable_giou(a: Tensor, b: Tensor) -> Tensor:
    """Return IoU - (hull - union) / hull of rows of convex quads (N, 4, 2), (N,) in (-1, 1].

    Its gradient pulls quads together that lie apart (arXiv:1902.09630, with the hull of both quads).
    """
    a_scaled, b_scaled = _to_extents(a, b)
    iou, union, _ = _overlap(a_scaled, b_scaled, _shortest(a, b))
    hull = hull_areas(torch.cat([a_scaled, b_scaled], dim=1))
    is_flat = hull <= FLAT
    empty = (hull - union) / torch.where(is_flat, 1.0, hull)
    return (iou - torch.where(is_flat, 0.0, empty)).to(_result_type(a))


def _overlap(a: Tensor, b: Tensor, short: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return IoU, union and shared area of quads in extents of their pairs, (N,) each."""
    area_a, area_b = quad_areas(a), quad_areas(b)
    has_area = (area_a > FLAT) & (area_b > FLAT)
    shared = torch.where(has_area, shared_areas(a, b, short), 0.0)
    union = area_a + area_b - shared
    iou = torch.where(has_area, shared / torch.where(has_area, union, 1.0), 0.0)
    return iou, union, shared


def _to_extents(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return both quads in float64, about the middle of the pair and in units of its longer side.

    The middle and the unit carry no gradient: neither IoU nor GIoU depends on them.
    """
    a, b = a.double(), b.double()
    with torch.no_grad():
        both = torch.cat([a, b], dim=1)
        low, high = both.amin(dim=1, keepdim=True), both.amax(dim=1, keepdim=True)
        middle = (low + high) / 2
        unit = (high - low).amax(dim=-1, keepdim=True)
        unit = torch.where(unit > 0, unit, 1.0)
    return (a - middle) / unit, (b - middle) / unit


def _shortest(a: Tensor, b: Tensor) -> float:
    return SHORT if a.dtype == b.dtype == torch.float64 else ROUNDED_SHORT


def _result_type(quads: Tensor) -> torch.dtype:
    return torch.promote_types(quads.dtype, torch.float32)
