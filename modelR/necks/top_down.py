"""Top-down neck: coarse features flow to the finer levels (spec 5.2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelR.layers import ConvUnit, DropBlock, SpatialPyramidPooling

NAMES = ("coarse", "middle", "fine", "finest")  # of the levels in the keys of weights, coarsest first


class TopDownNeck(nn.Module):
    """Maps backbone features, finest first, to features of half their channels, finest first.

    Args:
        channels: of the inputs; each has half the stride of the next.
        levels: so many of the finest are returned; `out_channels` are theirs.
        dropblock: probability that a block of features is dropped in training.
    """

    def __init__(self, channels: Sequence[int], levels: int, dropblock: float = 0.0) -> None:
        super().__init__()
        self.out_channels = tuple(c // 2 for c in channels[:levels])
        *finer, coarsest = channels
        self.names = NAMES[: len(channels)]
        outputs = coarsest // 2
        self.add_module(
            self.names[0], level_block(coarsest, outputs, dropblock, SpatialPyramidPooling(outputs))
        )
        for above, name, own in zip(self.names, self.names[1:], reversed(finer), strict=False):
            inputs, outputs = outputs, own // 2
            self.add_module(f"{above}_to_{name}", ConvUnit(inputs, outputs, 1))
            self.add_module(name, level_block(outputs + own, outputs, dropblock))

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        *finer, x = features
        x = self.get_submodule(self.names[0])(x)
        found = [x]
        for above, name, own in zip(self.names, self.names[1:], reversed(finer), strict=False):
            lifted = upsample(self.get_submodule(f"{above}_to_{name}")(x))
            x = self.get_submodule(name)(torch.cat([lifted, own], dim=1))
            found.append(x)
        return found[: -len(self.out_channels) - 1 : -1]


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
