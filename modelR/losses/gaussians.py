"""Gaussians of quads: mean and covariance of the uniform density on the quad as it is (spec 11.2).

No angle and no rectangle around it: any convex quad has its own, and the vertices get the gradient.  The mean
is the centroid, which is not the mean of the vertices.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from utils.quads.geometry import signed_areas

RECTANGLE = 3.0  # covariances times this are those of sides w, h as w^2 / 4, h^2 / 4
FLATTEST = 1e-9  # area of a quad, in squared lengths of the longer side of the target's box
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

    Args:
        quads: in units in which a quad is about 1 long.
        floor: variance that is added along both axes, which bounds the gradients of thin and of tiny quads.
    """
    origin = quads.mean(dim=-2)
    area = signed_areas(quads)
    area = torch.where(area.abs() < FLATTEST, FLATTEST, area)
    x, y = (quads - origin.unsqueeze(-2)).unbind(-1)
    cross = _crosses(x, y) / area.unsqueeze(-1)
    away_x, away_y = (((own + own.roll(-1, -1)) * cross).sum(dim=-1) / 6 for own in (x, y))
    x, y = x - away_x.unsqueeze(-1), y - away_y.unsqueeze(-1)
    next_x, next_y, cross = x.roll(-1, -1), y.roll(-1, -1), _crosses(x, y) / area.unsqueeze(-1)
    xx = ((x * x + x * next_x + next_x * next_x) * cross).sum(dim=-1) / 12
    yy = ((y * y + y * next_y + next_y * next_y) * cross).sum(dim=-1) / 12
    mixed = x * next_y + 2 * x * y + 2 * next_x * next_y + next_x * y
    xy = (mixed * cross).sum(dim=-1) / 24
    return Gaussian(origin + torch.stack([away_x, away_y], dim=-1), xx + floor, xy, yy + floor)


def _crosses(x: Tensor, y: Tensor) -> Tensor:
    return x * y.roll(-1, -1) - y * x.roll(-1, -1)
