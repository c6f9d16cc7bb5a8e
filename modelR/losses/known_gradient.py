"""Measures of pairs of quads with gradients in closed form: torch records one operation, not a hundred."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from utils.threads import in_slices

AT_ONCE = 1 << 12  # pairs whose tables fit the cache of a CPU core

# x, y of the eight vertices of K pairs, (8, K) float64 -> values (K,), their gradients by x, by y (8, K)
Piece = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


def with_known_gradient(a: Tensor, b: Tensor, piece: Piece) -> Tensor:
    """Return a measure (N,) of rows of quads (N, 4, 2), float32 or better; it has one gradient, no second.

    Computed in float64, with the pairs last, so that additions run along memory.
    """
    found: Tensor = _Known.apply(a, b, piece)
    return found


class _Known(Function):
    """Values and gradients at once; the latter wait for whoever asks."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, piece: Piece) -> Tensor:
        x, y = torch.cat([a, b], dim=1).double().permute(2, 1, 0).contiguous().unbind()  # (8, N) each
        values, by_x, by_y = _in_parts(x, y, piece) if a.device.type == "cpu" else piece(x, y)
        ctx.save_for_backward(by_x, by_y)
        ctx.kinds = a.dtype, b.dtype
        return values.to(torch.promote_types(a.dtype, torch.float32))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (grad,) = grads
        by_x, by_y = ctx.saved_tensors
        found: list[Tensor | None] = []
        for place, (is_needed, kind) in enumerate(zip(ctx.needs_input_grad, ctx.kinds, strict=False)):
            own = (
                torch.stack([by.narrow(0, 4 * place, 4) * grad for by in (by_x, by_y)]) if is_needed else None
            )
            found.append(None if own is None else own.permute(2, 1, 0).to(kind))
        return found[0], found[1], None


def _in_parts(x: Tensor, y: Tensor, piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a piece gives, of many pairs by parts and on several threads: one waits for no other."""
    values, by_x, by_y = x.new_empty(x.shape[1]), torch.empty_like(x), torch.empty_like(y)

    def fill(first: int, last: int) -> None:
        for start in range(first, last, AT_ONCE):
            count = min(AT_ONCE, last - start)
            found = piece(x.narrow(1, start, count), y.narrow(1, start, count))
            for whole, part in zip((values, by_x, by_y), found, strict=True):
                whole.narrow(-1, start, count).copy_(part)

    in_slices(fill, len(values), AT_ONCE)
    return values, by_x, by_y
