"""The neck of TTFNet: deformable convolutions lift the coarsest feature, shortcuts add the finer ones.

Source: TTFNet (arXiv:1909.00700), section 4; spec 5.13.
"""

from collections.abc import Sequence
from itertools import chain, pairwise

from torch import Tensor, nn

from modelR.deformable import ShiftedConv
from modelR.layers import DropBlock, steady_conv


class TtfNeck(nn.Module):
    """Maps backbone features, finest first, to the features of the finest level, with its channels."""

    def __init__(self, channels: Sequence[int], levels: int, dropblock: float = 0.0) -> None:
        super().__init__()
        if levels != 1:
            raise ValueError(f"TtfNeck: expected one level, got {levels}")
        self.out_channels = (channels[0],)
        falling = list(channels)[::-1]
        self.lifts = nn.ModuleList(lift(*pair) for pair in pairwise(falling))
        self.shortcuts = nn.ModuleList(shortcut(own, count) for count, own in enumerate(falling[1:], start=1))
        self.drop = DropBlock(dropblock)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        *finer, x = features
        for up, beside, own in zip(self.lifts, self.shortcuts, reversed(finer), strict=True):
            x = self.drop(up(x) + beside(own))
        return [x]


def lift(inputs: int, outputs: int) -> nn.Sequential:
    """Return a deformable convolution, batch norm and ReLU, then twice as many rows and columns."""
    return nn.Sequential(
        ShiftedConv(inputs, outputs, masked=False, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=True),
    )


def shortcut(channels: int, count: int) -> nn.Sequential:
    """Return so many 3x3 convolutions with ReLU between them, none behind the last."""
    convolutions = [steady_conv(channels, channels) for _ in range(count)]
    return nn.Sequential(*list(chain.from_iterable((conv, nn.ReLU()) for conv in convolutions))[:-1])
