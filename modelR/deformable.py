"""Deformable convolution, with masks (DCNv2, arXiv:1811.11168) or without (arXiv:1703.06211).

Computed by torchvision.
"""

import torch
from torch import Tensor, nn
from torchvision.ops import DeformConv2d, deform_conv2d

TAPS = 9  # of a 3x3 kernel
SHIFTS = (2 * TAPS, TAPS)  # channels: (y, x) of each tap in cells, its mask
SLOWNESS = 0.1  # of shifts without masks


class ShiftedConv(nn.Module):
    """3x3 convolution that reads beside its taps, as far and as strongly as a 3x3 convolution says.

    The latter starts from zero, so every tap begins at its place, with a mask of one half; not `masked`, it
    says how far alone, in cells of `SLOWNESS`: its thousands of inputs, all moved by one step of Adam, would
    throw the taps over the map.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int = 1, *, masked: bool = True, bias: bool = True
    ) -> None:
        super().__init__()
        self.masked = masked
        numbers = sum(SHIFTS) if masked else SHIFTS[0]
        self.shifts = zeroed(nn.Conv2d(inputs, numbers, 3, stride, padding=1))
        self.conv = DeformConv2d(inputs, outputs, 3, stride, padding=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        shifts = self.shifts(x)
        return deform(self.conv, x, shifts if self.masked else SLOWNESS * shifts)


def zeroed(conv: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution with weights and biases of zero."""
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def deform(conv: DeformConv2d, x: Tensor, shifts: Tensor) -> Tensor:
    """Return the convolution of `x` (B, C, H, W) shifted by `shifts` (B, 27, H', W'), in the type of `x`.

    Without masks `shifts` has 18 channels.  In float32: positions lose half a cell from 256 cells on in half
    precision.
    """
    offsets, *masks = torch.split(shifts.float(), SHIFTS[0], dim=1)
    mask = masks[0].sigmoid() if masks else None
    weight, bias = conv.weight.float(), None if conv.bias is None else conv.bias.float()
    y: Tensor = deform_conv2d(
        x.float(), offsets, weight, bias, stride=conv.stride, padding=conv.padding, mask=mask
    )
    return y.to(x.dtype)
