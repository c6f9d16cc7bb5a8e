"""Neck of LO-Det: shuffled halves, and one-expert convolutions of two dilations (spec 5.10)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modelR.deformable import ShiftedConv
from modelR.layers import ConvUnit, DropBlock, depthwise, scaled_channels
from modelR.necks.top_down import upsample

CHANNELS = (1024, 512, 256)  # of the blocks, coarsest first, times the width
LEVELS = 3
GROUPS = (8, 4, 2)  # of the shuffles, coarsest first
DILATIONS = ((4, 6), (2, 3))  # of the two halves, coarsest first


class LightNeck(nn.Module):
    """Maps backbone features, finest first, to three levels, finest first.

    Args:
        channels: of the three inputs; each has half the stride of the next.
        levels: three.
        dropblock: probability that a block of the finer two levels is dropped in training.
        width: multiplies the channels of the blocks.
    """

    def __init__(
        self, channels: Sequence[int], levels: int, dropblock: float = 0.0, width: float = 1.0
    ) -> None:
        super().__init__()
        if not levels == len(channels) == LEVELS:
            raise ValueError(f"LightNeck: expected three levels of three features, got {levels}")
        fine, middle, coarse = channels
        wide, half, quarter = (scaled_channels(own, width) for own in CHANNELS)
        self.out_channels = (quarter, half, wide)
        self.to_middle = ShiftedConv(fine, fine, stride=2)
        self.to_coarse = ShiftedConv(fine + middle, middle, stride=2)
        self.coarse = nn.Sequential(
            ConvUnit(middle + coarse, wide, 1), TwoDilations(wide, *DILATIONS[0]), Doubled(half, GROUPS[0])
        )
        self.coarse_to_middle = nn.Conv2d(wide, half, 1)
        self.middle_side = nn.Sequential(ConvUnit(fine + middle, half, 1), Shuffled(half, GROUPS[1]))
        self.middle = nn.Sequential(
            ConvUnit(2 * half, half, 1),
            TwoDilations(half, *DILATIONS[1]),
            DropBlock(dropblock),
            Doubled(half // 2, GROUPS[1]),
        )
        self.middle_to_fine = nn.Conv2d(half, quarter, 1)
        self.fine_side = nn.Sequential(ConvUnit(fine, quarter, 1), Shuffled(quarter, GROUPS[2]))
        self.fine = nn.Sequential(
            ConvUnit(2 * quarter, quarter, 1),
            Shuffled(quarter, GROUPS[2]),
            DropBlock(dropblock),
            Shuffled(quarter, GROUPS[2]),
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        fine, middle, coarse = features
        middle = torch.cat([self.to_middle(fine), middle], dim=1)
        coarse = self.coarse(torch.cat([self.to_coarse(middle), coarse], dim=1))
        lifted = upsample(self.coarse_to_middle(coarse))
        middle = self.middle(torch.cat([lifted, self.middle_side(middle)], dim=1))
        lifted = upsample(self.middle_to_fine(middle))
        fine = self.fine(torch.cat([lifted, self.fine_side(fine)], dim=1))
        return [fine, middle, coarse]


class Shuffled(nn.Module):
    """Half the channels through a separable convolution, then all shuffled in groups (CSA)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.right = separable_unit(channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        return shuffle_channels(torch.cat([left, self.right(right)], dim=1), self.groups)


class Doubled(nn.Module):
    """The input beside its separable convolution, shuffled in groups: twice the channels (CSA_part)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.right = separable_unit(channels)

    def forward(self, x: Tensor) -> Tensor:
        return shuffle_channels(torch.cat([x, self.right(x)], dim=1), self.groups)


class TwoDilations(nn.Module):
    """The sum of both halves of the channels, each convolved at its own dilation (DRF)."""

    def __init__(self, channels: int, left: int, right: int) -> None:
        super().__init__()
        half = channels // 2
        self.left, self.right = (
            nn.Sequential(GatedDepthwise(half, dilation), nn.BatchNorm2d(half), ConvUnit(half, half, 1))
            for dilation in (left, right)
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        y: Tensor = self.left(left) + self.right(right)
        return y


class GatedDepthwise(nn.Module):
    """Depthwise 3x3 convolution whose kernel and bias a number per image multiplies.

    CondConv (arXiv:1904.04971) with one expert.  The result is linear in kernel and bias together, so it is
    multiplied instead: no kernel of its own for each image.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels)
        self.route = nn.Linear(channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.route(x.mean(dim=(2, 3))).sigmoid()
        y: Tensor = self.conv(x) * gate[:, :, None, None]
        return y


def separable_unit(channels: int) -> nn.Sequential:
    """Return a depthwise 3x3 convolution with batch norm alone, and a 1x1 unit."""
    return nn.Sequential(depthwise(channels, 3), ConvUnit(channels, channels, 1))


def shuffle_channels(x: Tensor, groups: int) -> Tensor:
    """Return the channels of `x` (B, C, H, W) taken in turn from each of so many groups."""
    return torch.unflatten(x, 1, (groups, -1)).transpose(1, 2).flatten(1, 2)
