"""Horizontal boxes: (..., 4) as x_min, y_min, x_max, y_max, pixels."""

import torch
from torch import Tensor

EPSILON = 1e-16  # keeps the quotients of empty boxes finite (spec 4.2)


def aligned_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of the rows of two (N, 4) sets, (N,) in [0, 1]."""
    a_low, a_high = torch.unflatten(a, -1, (2, 2)).unbind(-2)
    b_low, b_high = torch.unflatten(b, -1, (2, 2)).unbind(-2)
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(dim=-1)
    areas = (a_high - a_low).prod(dim=-1) + (b_high - b_low).prod(dim=-1)
    return shared / (areas - shared + EPSILON)


def aligned_giou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised IoU of the rows of two (N, 4) sets, (N,) in (-1, 1] (arXiv:1902.09630)."""
    a_low, a_high = torch.unflatten(a, -1, (2, 2)).unbind(-2)
    b_low, b_high = torch.unflatten(b, -1, (2, 2)).unbind(-2)
    shared = (torch.minimum(a_high, b_high) - torch.maximum(a_low, b_low)).clamp(min=0).prod(dim=-1)
    hull = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).prod(dim=-1)
    union = (a_high - a_low).prod(dim=-1) + (b_high - b_low).prod(dim=-1) - shared
    return shared / (union + EPSILON) - (hull - union) / (hull + EPSILON)
