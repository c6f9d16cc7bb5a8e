"""Losses of single logits against golden numbers."""

import math
from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor

from modelR.losses.quality import (
    Classification,
    balanced_l1,
    distribution_focal_error,
    focal_error,
    logit_error,
    quality_focal_error,
    varifocal_error,
)

Z = torch.tensor([-2.0, -0.5, 0.0, 1.0, 3.0], dtype=torch.float64)
Y = torch.tensor([0.0, 0.0, 0.7, 0.9, 0.4], dtype=torch.float64)
GOLD = [
    (quality_focal_error, Y, (0.001803563, 0.067573491, 0.027725887, 0.011794986, 0.564444271), 0.673342198),
    (varifocal_error, Y, (0.001352672, 0.050680118, 0.485203026, 0.371935519, 0.739434941), 1.648606276),
    (
        focal_error,
        (Y > 0).double(),
        (0.001352672, 0.050680118, 0.043321699, 0.005664514, 0.000027321),
        0.101046324,
    ),
]


@pytest.mark.parametrize(("error", "targets", "expected", "total"), GOLD, ids=["qfl", "vfl", "focal"])
def test_golden_values(
    error: Callable[[Tensor, Tensor], Tensor], targets: Tensor, expected: tuple[float, ...], total: float
) -> None:
    found = error(Z, targets)
    assert found.tolist() == pytest.approx(expected, abs=6e-10)
    assert float(found.sum()) == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("name", get_args(Classification))
def test_gradients_reach_every_factor(name: Classification) -> None:
    targets = Y if name in ("qfl", "vfl") else (Y > 0).double()
    logits = Z.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: logit_error(name)(z, targets), (logits,))


@pytest.mark.parametrize("name", get_args(Classification))
@pytest.mark.parametrize("size", [1e4, -1e4, 40.0, -40.0])
def test_extreme_logits_are_finite(name: Classification, size: float) -> None:
    logits = torch.full((3,), size, requires_grad=True)
    error = logit_error(name)(logits, torch.tensor([0.0, 0.6, 1.0]))
    error.sum().backward()
    assert logits.grad is not None
    assert error.isfinite().all()
    assert logits.grad.isfinite().all()
    assert logit_error(name)(torch.zeros(0), torch.zeros(0)).sum() == 0


def test_golden_distribution() -> None:
    logits = torch.tensor([[0.2, -0.5, 1.0, 0.3, 0.0]], dtype=torch.float64, requires_grad=True)
    found = distribution_focal_error(logits, torch.tensor([2.3], dtype=torch.float64))
    assert float(found.detach()) == pytest.approx(1.140952272, abs=1e-9)
    chances = logits.detach().softmax(dim=-1).squeeze(0)
    assert chances.tolist() == pytest.approx((0.177116, 0.087953, 0.394178, 0.195743, 0.145010), abs=1e-6)
    assert float(chances @ torch.arange(5.0).double()) == pytest.approx(2.043578800, abs=1e-9)
    found.sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("place", "meant"), [(0.0, 0.0), (4.0, 3.99), (9.0, 3.99), (-1.0, 0.0)])
def test_places_beyond_the_bins(place: float, meant: float) -> None:
    logits = torch.tensor([[0.2, -0.5, 1.0, 0.3, 0.0]], dtype=torch.float64)
    chances = logits.log_softmax(dim=-1).squeeze(0).tolist()
    low = math.floor(meant)
    expected = -((low + 1 - meant) * chances[low] + (meant - low) * chances[low + 1])
    found = distribution_focal_error(logits, torch.tensor([place], dtype=torch.float64))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_golden_balanced_l1() -> None:
    gaps = torch.tensor([0.1, 0.5, 1.0, 2.0, -0.5], dtype=torch.float64)
    expected = (0.0313530857, 0.4005675069, 1.0785935447, 2.5785935447, 0.4005675069)
    assert balanced_l1(gaps).tolist() == pytest.approx(expected, abs=1e-10)
    nearly = torch.tensor([1 - 1e-9], dtype=torch.float64)  # both forms meet at 1
    assert float(balanced_l1(nearly)) == pytest.approx(1.0785935447, abs=1e-8)
