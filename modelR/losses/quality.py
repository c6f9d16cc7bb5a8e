"""Classification losses of single logits, and the forms of regression that go with them (spec 4.12).

Logits and targets have one shape, and so have the errors; nothing is summed, no factor is cut off from the
gradient.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Classification = Literal["bce", "focal", "qfl", "vfl"]
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
QUALITY_BETA = 2.0
VARIFOCAL_ALPHA, VARIFOCAL_GAMMA = 0.75, 2.0
OF_QUALITY = ("qfl", "vfl")  # whose targets are the IoU of what is predicted

LogitError = Callable[[Tensor, Tensor], Tensor]  # logits, targets in [0, 1] -> errors


def logit_error(name: Classification) -> LogitError:
    """Return the function of this name."""
    match name:
        case "bce":
            return cross_entropy
        case "focal":
            return focal_error
        case "qfl":
            return quality_focal_error
        case "vfl":
            return varifocal_error


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of each logit."""
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def focal_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the focal loss (arXiv:1708.02002, eq. 5); a target between 0 and 1 mixes both of its cases."""
    balance = FOCAL_ALPHA * targets + (1 - FOCAL_ALPHA) * (1 - targets)
    return balance * (targets - logits.sigmoid()).abs() ** FOCAL_GAMMA * cross_entropy(logits, targets)


def quality_focal_error(logits: Tensor, qualities: Tensor) -> Tensor:
    """Return QFL (arXiv:2006.04388, eq. 3): 0 where there is no object, else how well the box fits."""
    return (qualities - logits.sigmoid()).abs() ** QUALITY_BETA * cross_entropy(logits, qualities)


def varifocal_error(logits: Tensor, qualities: Tensor) -> Tensor:
    """Return VFL (arXiv:2008.13367, eq. 2): only what is no object is damped where it is easy."""
    damped = VARIFOCAL_ALPHA * logits.sigmoid() ** VARIFOCAL_GAMMA
    return torch.where(qualities > 0, qualities, damped) * cross_entropy(logits, qualities)


def distribution_focal_error(logits: Tensor, places: Tensor) -> Tensor:
    """Return DFL (arXiv:2006.04388, eq. 6), (...,): the cross-entropy of the two bins next to a place.

    Args:
        logits: (..., n + 1) of bins at 0 to n.
        places: (...,) from 0 to n.
    """
    last = logits.shape[-1] - 1
    places = places.clamp(0, last - 0.01)
    low = places.floor()
    chances = logits.log_softmax(dim=-1)
    at_low, at_high = (chances.gather(-1, (low + k).long().unsqueeze(-1)).squeeze(-1) for k in (0, 1))
    return -((low + 1 - places) * at_low + (places - low) * at_high)


def balanced_l1(gaps: Tensor, alpha: float = 0.5, gamma: float = 1.5) -> Tensor:
    """Return the balanced L1 loss of differences (arXiv:1904.02701, eq. 6): steeper than smooth L1 near 0."""
    size, b = gaps.abs(), math.expm1(gamma / alpha)
    near = alpha / b * (b * size + 1) * torch.log1p(b * size) - alpha * size
    return torch.where(size < 1, near, gamma * size + gamma / b - alpha)
