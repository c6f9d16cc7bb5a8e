"""Top-down neck: coarse features flow to the finer levels (spec 5.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelR.layers import ConvUnit, DropBlock, SpatialPyramidPooling


class TopDownNeck(nn.Module):
    """Maps backbone features at strides 8, 16 and 32 to features of half their channels, finest first.

    `channels` holds those of the inputs, `out_channels` those of the outputs.
    """

    def __init__(self, channels: tuple[int, int, int], dropblock: float = 0.0) -> None:
        super().__init__()
        fine, middle, coarse = channels
        self.out_channels = (fine // 2, middle // 2, coarse // 2)
        out_fine, out_middle, out_coarse = self.out_channels
        self.coarse = level_block(coarse, out_coarse, dropblock, SpatialPyramidPooling(out_coarse))
        self.coarse_to_middle = ConvUnit(out_coarse, out_middle, 1)
        self.middle = level_block(out_middle + middle, out_middle, dropblock)
        self.middle_to_fine = ConvUnit(out_middle, out_fine, 1)
        self.fine = level_block(out_fine + fine, out_fine, dropblock)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        fine, middle, coarse = features
        coarse = self.coarse(coarse)
        middle = self.middle(torch.cat([upsample(self.coarse_to_middle(coarse)), middle], dim=1))
        fine = self.fine(torch.cat([upsample(self.middle_to_fine(middle)), fine], dim=1))
        return [fine, middle, coarse]


def level_block(inputs: int, channels: int, dropblock: float, *after_first: nn.Module) -> nn.Sequential:
    """Return five conv units that alternate between `channels` (1x1) and twice as many (3x3)."""
    return nn.Sequential(
        ConvUnit(inputs, channels, 1),
        *after_first,
        ConvUnit(channels, 2 * channels, 3),
        ConvUnit(2 * channels, channels, 1),
        DropBlock(dropblock),
        ConvUnit(channels, 2 * channels, 3),
        ConvUnit(2 * channels, channels, 1),
    )


def upsample(x: Tensor) -> Tensor:
    """Return the map with every cell repeated twice in both directions."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
