"""Cross-stage partial blocks of RTMDet (arXiv:2212.07784): of its backbone and its neck (spec 5.8, 5.12)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelR.layers import ConvUnit, depthwise


class SplitBlock(nn.Module):
    """Half the channels through pairs of convolutions, beside the other half, mixed by a 1x1 unit (CSP).

    Args:
        inputs: channels.
        outputs: channels.
        repeats: pairs of convolutions.
        of_backbone: each pair is added to its input, and channels are weighted before they are mixed.
    """

    def __init__(self, inputs: int, outputs: int, repeats: int, *, of_backbone: bool = False) -> None:
        super().__init__()
        half = outputs // 2
        pair = WidePairSum if of_backbone else WidePair
        self.main = nn.Sequential(silu_unit(inputs, half, 1), *(pair(half) for _ in range(repeats)))
        self.side = silu_unit(inputs, half, 1)
        self.attention = ChannelAttention(2 * half) if of_backbone else nn.Identity()
        self.mix = silu_unit(2 * half, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.mix(self.attention(torch.cat([self.main(x), self.side(x)], dim=1)))
        return y


class WidePair(nn.Sequential):
    """A 3x3 unit and one that sees 5x5 cells of each channel and mixes them by 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            silu_unit(channels, channels, 3),
            depthwise(channels, 5),
            nn.SiLU(inplace=True),
            silu_unit(channels, channels, 1),
        )


class WidePairSum(WidePair):
    """`WidePair`, plus the input."""

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self:
            y = layer(y)
        return x + y


class ChannelAttention(nn.Module):
    """Channels times weights in [0, 1], a 1x1 convolution and a hard sigmoid of their means over the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.weigh(x.mean(dim=(2, 3), keepdim=True)))


def silu_unit(inputs: int, outputs: int, kernel: int, stride: int = 1) -> ConvUnit:
    """Return a conv unit with SiLU."""
    return ConvUnit(inputs, outputs, kernel, stride, activation=nn.SiLU(inplace=True))
