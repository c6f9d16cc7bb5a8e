"""Errors of predicted quads against true ones, by name: what `loss.location` chooses (spec 4.11).

Each gives 0 for equal quads and the same at every size and place; all but DIoU and CIoU, which see horizontal
boxes alone, give gradients to all four vertices.
"""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from modelR.losses.box_iou import aligned_ciou, aligned_diou
from modelR.losses.distances import bounded, hellinger, kalman_iou, kullback_leibler, wasserstein
from modelR.losses.gaussians import RECTANGLE, Gaussian, quads_to_gaussians
from modelR.losses.quad_iou import differentiable_giou, differentiable_iou
from utils.quads.geometry import quads_to_hboxes

QuadLocation = Literal["diou", "ciou", "quad_iou", "quad_giou", "gwd", "kld", "kfiou", "probiou"]
KldDirection = Literal["prediction", "target", "both"]
FLOOR = 1 / 12  # standard deviation that every Gaussian has at least, in strides
CENTER_BETA = 1 / 9  # of the smooth L1 of the centroids beside KFIoU, in longer sides of the target's box

# predicted and true quads (P, 4, 2) px, pixels per cell -> errors (P,)
QuadError = Callable[[Tensor, Tensor, float], Tensor]


def quad_error(name: QuadLocation, direction: KldDirection = "prediction") -> QuadError:
    """Return the function of this name.

    Args:
        name: of the error.
        direction: of KLD: KL(prediction || target), KL(target || prediction), or the mean of both.
    """
    match name:
        case "diou" | "ciou":
            of_boxes = aligned_diou if name == "diou" else aligned_ciou
            return lambda *quads: 1 - of_boxes(*(quads_to_hboxes(side.double()) for side in quads[:2]))
        case "quad_iou" | "quad_giou":
            of_quads = differentiable_iou if name == "quad_iou" else differentiable_giou
            return lambda found, true, _: 1 - of_quads(found, true)
        case "gwd":
            return lambda *quads: bounded(wasserstein(*_gaussians(quads)))
        case "kld":
            return lambda *quads: bounded(_divergence(*_gaussians(quads), direction))
        case "kfiou":
            return lambda *quads: _kalman_error(*_gaussians(quads))
        case "probiou":
            return lambda *quads: hellinger(*_gaussians(quads, factor=1.0))


def _gaussians(quads: tuple[Tensor, Tensor, float], factor: float = RECTANGLE) -> tuple[Gaussian, Gaussian]:
    """Return the Gaussians of both quads, in units of the longer side of the target's box, float64."""
    found, true, stride = quads[0].double(), quads[1].double(), quads[2]
    with torch.no_grad():
        origin = true.mean(dim=-2, keepdim=True)
        unit = (true.amax(dim=-2) - true.amin(dim=-2)).amax(dim=-1)
        unit = torch.where(unit > 0, unit, stride)
        floor = (FLOOR * stride / unit).square()
    scaled = ((side - origin) / unit[:, None, None] for side in (found, true))
    a, b = (quads_to_gaussians(side, floor).times(factor) for side in scaled)
    return a, b


def _divergence(found: Gaussian, true: Gaussian, direction: KldDirection) -> Tensor:
    match direction:
        case "prediction":
            return kullback_leibler(found, true)
        case "target":
            return kullback_leibler(true, found)
        case "both":
            return (kullback_leibler(found, true) + kullback_leibler(true, found)) / 2


def _kalman_error(found: Gaussian, true: Gaussian) -> Tensor:
    """Return 1 - 3 KFIoU and the smooth L1 of the centroids, which KFIoU does not see, (P,)."""
    center = F.smooth_l1_loss(found.mean, true.mean, reduction="none", beta=CENTER_BETA).sum(dim=-1)
    return 1 - 3 * kalman_iou(found, true) + center
