"""The neck of CenterNet-R: coarse features flow down to stride 4, without pooling (spec 10.4)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modelR.layers import ConvUnit, DropBlock
from modelR.necks.top_down import upsample


class CenterNeck(nn.Module):
    """Maps backbone features, finest first, to the features of the finest level, with all its channels."""

    def __init__(self, channels: Sequence[int], levels: int, dropblock: float = 0.0) -> None:
        super().__init__()
        if levels != 1:
            raise ValueError(f"CenterNeck: expected one level, got {levels}")
        self.out_channels = (channels[0],)
        *finer, coarsest = channels
        outputs = coarsest // 2
        self.blocks = nn.ModuleList([three_units(coarsest, outputs, dropblock)])
        self.lifts = nn.ModuleList()
        for own in reversed(finer):
            inputs, outputs = outputs, own // 2
            self.lifts.append(ConvUnit(inputs, outputs, 1))
            self.blocks.append(three_units(outputs + own, outputs, dropblock))
        self.last = ConvUnit(outputs, 2 * outputs, 3)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        *finer, x = features
        first, *blocks = self.blocks
        x = first(x)
        for lift, block, own in zip(self.lifts, blocks, reversed(finer), strict=True):
            x = block(torch.cat([upsample(lift(x)), own], dim=1))
        return [self.last(x)]


def three_units(inputs: int, channels: int, dropblock: float) -> nn.Sequential:
    """Return three conv units: `channels` (1x1), twice as many (3x3), `channels` (1x1)."""
    return nn.Sequential(
        ConvUnit(inputs, channels, 1),
        DropBlock(dropblock),
        ConvUnit(channels, 2 * channels, 3),
        ConvUnit(2 * channels, channels, 1),
    )
