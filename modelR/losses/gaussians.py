"""Gaussians of quads: mean and covariance of the uniform density on the quad as it is (spec 4.9).

No angle and no rectangle around it: any convex quad has its own, and the vertices get the gradient.  The mean
is the centroid, which is not the mean of the vertices.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from utils.quads.geometry import signed_areas

RECTANGLE = 3.0  # covariances times this are those of sides w, h as w^2 / 4, h^2 / 4
FLAT_AREA = 1e-4  # of a quad whose density would have endless gradients, in units of `quads_to_gaussians`
MIN_DETERMINANT = 1e-7  # in units of that side to the fourth


class Gaussian(NamedTuple):
    """N Gaussians in the plane."""

    mean: Tensor  # (N, 2)
    xx: Tensor  # (N,) covariances
    xy: Tensor
    yy: Tensor

    @property
    def trace(self) -> Tensor:
        """Sum of both variances."""
        return self.xx + self.yy

    @property
    def determinant(self) -> Tensor:
        """Determinant of the covariance, not below what float32 can tell from 0."""
        return (self.xx * self.yy - self.xy * self.xy).clamp(min=MIN_DETERMINANT)

    def times(self, factor: float) -> "Gaussian":
        """Return Gaussians so many times as wide in variance."""
        return Gaussian(self.mean, factor * self.xx, factor * self.xy, factor * self.yy)


def quads_to_gaussians(quads: Tensor, floor: Tensor | float = 0.0) -> Gaussian:
    """Return the Gaussians of convex quads (N, 4, 2), vertices in either direction.

    Of a quad that is all but a line it is the one of its vertices, of a third of their covariance: the same
    for every parallelogram.

    Args:
        quads: in units in which a quad is about 1 long.
        floor: variance that is added along both axes, which bounds the gradients of thin and of tiny quads.
    """
    center = quads.mean(dim=-2)
    area = signed_areas(quads)
    is_flat = area.abs() < FLAT_AREA
    x, y = (quads - center.unsqueeze(-2)).unbind(-1)
    flat = ((x * x).mean(dim=-1) / 3, (x * y).mean(dim=-1) / 3, (y * y).mean(dim=-1) / 3)
    shift, full = _moments(x, y, torch.where(is_flat, 1.0, area).unsqueeze(-1))
    mean = center + torch.where(is_flat.unsqueeze(-1), 0.0, shift)
    xx, xy, yy = (torch.where(is_flat, *both) for both in zip(flat, full, strict=True))
    return Gaussian(mean, xx + floor, xy, yy + floor)


def _moments(x: Tensor, y: Tensor, area: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return the centroids (N, 2) of quads (N, 4), and their covariances xx, xy, yy about them."""
    cross = _crosses(x, y) / area
    shift = torch.stack([((own + own.roll(-1, -1)) * cross).sum(dim=-1) / 6 for own in (x, y)], dim=-1)
    x, y = (own - away.unsqueeze(-1) for own, away in zip((x, y), shift.unbind(-1), strict=True))
    next_x, next_y, cross = x.roll(-1, -1), y.roll(-1, -1), _crosses(x, y) / area
    xx = ((x * x + x * next_x + next_x * next_x) * cross).sum(dim=-1) / 12
    yy = ((y * y + y * next_y + next_y * next_y) * cross).sum(dim=-1) / 12
    mixed = x * next_y + 2 * x * y + 2 * next_x * next_y + next_x * y
    return shift, (xx, (mixed * cross).sum(dim=-1) / 24, yy)


def _crosses(x: Tensor, y: Tensor) -> Tensor:
    return x * y.roll(-1, -1) - y * x.roll(-1, -1)
