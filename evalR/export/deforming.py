"""Deformable convolution in operators that every engine has: a sampling of the map, and a product.

ONNX has an operator of its own for it only from opset 19 on.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


class PlainDeforming(TorchFunctionMode):
    """While it is active, torchvision's deformable convolution is `sampled_conv`."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__name__", "") in ("deform_conv2d", "deform_conv2d.default"):
            x, weight, offsets, mask, bias, stride, _, padding, *_, has_mask = args
            return sampled_conv(x, weight, offsets, mask if has_mask else None, bias, (stride, padding))
        return func(*args, **(kwargs or {}))


def sampled_conv(
    x: Tensor, weight: Tensor, offsets: Tensor, mask: Tensor | None, bias: Tensor, steps: tuple[int, int]
) -> Tensor:
    """Return a deformable convolution of one group, as `torchvision.ops.deform_conv2d` computes it.

    Args:
        x: (B, C, H, W).
        weight: (O, C, k, k).
        offsets: (B, 2 k^2, H', W') cells, y before x of each tap.
        mask: (B, k^2, H', W'), or None: all are 1.
        bias: (O,).
        steps: stride and padding, cells.
    """
    stride, padding = steps
    side = weight.shape[-1]
    taps, (height, width), (rows, columns) = side * side, x.shape[2:], offsets.shape[2:]
    shifts = torch.unflatten(offsets, 1, (taps, 2))  # (B, k^2, 2, H', W')
    tap = torch.arange(taps, device=x.device)
    down = torch.arange(rows, device=x.device).view(1, rows, 1) * stride - padding
    right = torch.arange(columns, device=x.device).view(1, 1, columns) * stride - padding
    y = shifts.select(2, 0) + (down + (tap // side).view(taps, 1, 1))
    x_at = shifts.select(2, 1) + (right + (tap % side).view(taps, 1, 1))
    # the sampler counts from -1 to 1 between the outer borders of the map
    places = torch.stack([(2 * x_at + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    seen = F.grid_sample(x, places.flatten(2, 3), align_corners=False)  # (B, C, k^2, H' W')
    if mask is not None:
        seen = seen * mask.flatten(2).unsqueeze(1)
    taken = torch.matmul(weight.flatten(1), seen.flatten(1, 2))  # (O, C k^2) by (B, C k^2, H' W')
    return taken.reshape(x.shape[0], weight.shape[0], rows, columns) + bias.view(-1, 1, 1)
