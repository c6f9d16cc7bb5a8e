"""Distances of Gaussians: Wasserstein, Kullback-Leibler, Kalman filter and Bhattacharyya (spec 4.10).

None of them tells a square from itself turned: its Gaussian is a circle.
"""

import torch
from torch import Tensor

from modelR.losses.gaussians import Gaussian

SLOPE_FROM = 1e-7  # below it a root goes on straight to 0: its slope would be infinite there


def steady_root(values: Tensor) -> Tensor:
    """Return the square roots of values from 0, with finite slopes."""
    low = values.clamp(min=0) / SLOPE_FROM**0.5
    is_low = values < SLOPE_FROM
    return torch.where(is_low, low, torch.where(is_low, 1.0, values).sqrt())


def squared_wasserstein(a: Gaussian, b: Gaussian) -> Tensor:
    """Return GWD^2 (arXiv:2101.11952, eq. 4), (N,)."""
    both = a.xx * b.xx + 2 * a.xy * b.xy + a.yy * b.yy  # trace of the product
    root = 2 * (both + 2 * (a.determinant * b.determinant).sqrt()).sqrt()
    return (a.mean - b.mean).square().sum(dim=-1) + a.trace + b.trace - root


def wasserstein(a: Gaussian, b: Gaussian) -> Tensor:
    """Return GWD over twice the eighth root of both determinants: the same at every size, (N,)."""
    size = 2 * (a.determinant * b.determinant) ** 0.125
    return steady_root(squared_wasserstein(a, b)) / size


def kullback_leibler(a: Gaussian, b: Gaussian) -> Tensor:
    """Return KL(a || b) (arXiv:2106.01883, eq. 5), (N,)."""
    determinant = b.determinant
    trace = (b.yy * a.xx - 2 * b.xy * a.xy + b.xx * a.yy) / determinant
    return 0.5 * (_mahalanobis(a, b) + trace + (determinant / a.determinant).log() - 2)


def kalman_iou(a: Gaussian, b: Gaussian) -> Tensor:
    """Return KFIoU (arXiv:2201.12558, eq. 6), (N,) in (0, 1/3]; places do not enter it."""
    area_a, area_b = a.determinant.sqrt(), b.determinant.sqrt()  # but for a factor that cancels
    total = Gaussian(a.mean, a.xx + b.xx, a.xy + b.xy, a.yy + b.yy).determinant
    total = torch.maximum(total, (area_a + area_b).square())  # Minkowski; only floors can break it
    shared = area_a * area_b / total.sqrt()  # of a (a + b)^-1 b
    return shared / (area_a + area_b - shared)


def bhattacharyya(a: Gaussian, b: Gaussian) -> Tensor:
    """Return the distance B_D of ProbIoU (arXiv:2106.06072, eq. 8), (N,)."""
    middle = Gaussian(b.mean, (a.xx + b.xx) / 2, (a.xy + b.xy) / 2, (a.yy + b.yy) / 2)
    mean = (a.determinant * b.determinant).sqrt()
    spread = torch.maximum(middle.determinant, mean) / mean  # never below 1; only floors can break it
    return _mahalanobis(a, middle) / 8 + 0.5 * spread.log()


def hellinger(a: Gaussian, b: Gaussian) -> Tensor:
    """Return H = sqrt(1 - exp(-B_D)), (N,) in [0, 1]; ProbIoU is 1 - H, which is no IoU of areas."""
    return steady_root(-torch.expm1(-bhattacharyya(a, b)))


def bounded(distance: Tensor) -> Tensor:
    """Return 1 - 1 / (1 + ln(1 + D)) of distances: from 0 to 1, the loss of GWD and KLD."""
    return 1 - 1 / (1 + torch.log1p(distance.clamp(min=0)))  # KL of floored determinants may be negative


def _mahalanobis(a: Gaussian, b: Gaussian) -> Tensor:
    """Return d^T S^-1 d of the difference of the means and the covariance of `b`, (N,)."""
    x, y = (a.mean - b.mean).unbind(-1)
    return (b.yy * x * x - 2 * b.xy * x * y + b.xx * y * y) / b.determinant
