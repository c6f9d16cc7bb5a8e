"""Muon for the kernels of convolutions, AdamW for everything else, as one optimiser.

Muon replaces the momentum of a matrix by the nearest orthogonal one, so that rare directions of the gradient
are learned as fast as common ones (K. Jordan et al., "Muon", 2024).  Updates are scaled to the size of
AdamW's, 0.2 sqrt(longer side) (J. Liu et al., arXiv:2502.16982, eq. 4), so both parts share one rate.
torch's own Muon takes matrices only; kernels (O, I, h, w) count as (O, I h w) here.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from utils.precision import half_type

NEWTON_SCHULZ = (
    3.4445,
    -4.7750,
    2.0315,
)  # the quintic of Jordan et al.: fast, to singular values of 0.7 to 1.2
ITERATIONS = 5
LONG = 3  # times as long as high: from there the Gram matrix is faster
RMS_OF_ADAMW = 0.2
MOMENTUM = 0.95
KERNELS = "kernels"  # marks the group that Muon moves


class Muon(Optimizer):
    """Moves `kernels` by Muon and the groups of `others` by AdamW; rates and decays stand in the groups."""

    def __init__(
        self, kernels: list[Tensor], others: list[dict[str, Any]], lr: float, weight_decay: float
    ) -> None:
        self._adamw = AdamW(others, lr=lr)
        group = {"params": kernels, "lr": lr, "weight_decay": weight_decay, KERNELS: True}
        super().__init__([group, *self._adamw.param_groups], {KERNELS: False})
        self._share()

    def _share(self) -> None:
        """Let AdamW work on the groups and state of this optimiser: schedules and files see one."""
        self._adamw.param_groups = [group for group in self.param_groups if not group[KERNELS]]
        self._adamw.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None if closure is None else torch.enable_grad()(closure)()
        self._adamw.step()
        for group in self.param_groups:
            if group[KERNELS]:
                self._move_kernels(group)
        return loss

    def _move_kernels(self, group: dict[str, Any]) -> None:
        for kernel in group["params"]:
            if kernel.grad is None:
                continue
            state = self.state[kernel]
            if not state:
                state["momentum"] = torch.zeros_like(kernel)
            momentum = state["momentum"].lerp_(kernel.grad, 1 - MOMENTUM)
            direction = orthogonalized(kernel.grad.lerp(momentum, MOMENTUM).flatten(1))
            size = RMS_OF_ADAMW * max(direction.shape) ** 0.5
            kernel.mul_(1 - group["lr"] * group["weight_decay"])
            kernel.add_(direction.view(kernel.shape).to(kernel.dtype), alpha=-group["lr"] * size)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return U V' of a matrix U S V', nearly: singular values between 0.7 and 1.2 (zeros stay zero).

    Five steps of a Newton-Schulz iteration: in half precision, which it bears well, where that is fast; else
    for long matrices on their Gram matrix, which takes a third of the time but all digits of float32.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + torch.finfo(x.dtype).tiny)  # before the cast: float16 loses small gradients
    half = half_type(matrix.device)
    is_long = x.shape[1] >= LONG * x.shape[0]
    x = gram_factor(x @ x.T) @ x if half is None and is_long else newton_schulz(x.to(half or x.dtype))
    return x.T if tall else x


def newton_schulz(x: Tensor) -> Tensor:
    """Return the matrix (n, m) after all steps; each multiplies it by a polynomial of its Gram matrix."""
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def gram_factor(gram: Tensor) -> Tensor:
    """Return by what all steps of `newton_schulz` together multiply a matrix of this Gram matrix (n, n).

    The polynomials commute with the Gram matrix, so that can be followed without the matrix.
    """
    total = factor = _step_factor(gram)
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _step_factor(gram)
        total = factor @ total
    return total


def _step_factor(gram: Tensor) -> Tensor:
    """Return by what one step multiplies, (n, n)."""
    a, b, c = NEWTON_SCHULZ
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor
