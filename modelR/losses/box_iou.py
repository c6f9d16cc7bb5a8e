"""DIoU and CIoU of horizontal boxes, row by row (arXiv:1911.08287; spec 4.11)."""

import math

import torch
from torch import Tensor

from utils.hboxes import EPSILON, aligned_iou


def aligned_diou(a: Tensor, b: Tensor) -> Tensor:
    """Return IoU less the squared share of the distance of the centres in the diagonal around both.

    Args:
        a: (N, 4) x_min, y_min, x_max, y_max.
        b: likewise.
    """
    a_low, a_high = torch.unflatten(a, -1, (2, 2)).unbind(-2)
    b_low, b_high = torch.unflatten(b, -1, (2, 2)).unbind(-2)
    diagonal = (torch.maximum(a_high, b_high) - torch.minimum(a_low, b_low)).square().sum(dim=-1)
    apart = ((a_low + a_high - b_low - b_high) / 2).square().sum(dim=-1)
    return aligned_iou(a, b) - apart / (diagonal + EPSILON)


def aligned_ciou(a: Tensor, b: Tensor) -> Tensor:
    """Return DIoU less what the aspect ratios differ, weighted by how well the boxes fit otherwise."""
    (wide_a, high_a), (wide_b, high_b) = (
        (high - low).unbind(-1)
        for low, high in (torch.unflatten(own, -1, (2, 2)).unbind(-2) for own in (a, b))
    )
    aspect = 4 / math.pi**2 * (torch.atan2(wide_a, high_a) - torch.atan2(wide_b, high_b)).square()
    with torch.no_grad():  # a weight, not a part of the loss
        share = aspect / (1 - aligned_iou(a, b) + aspect + EPSILON)
    return aligned_diou(a, b) - share * aspect
