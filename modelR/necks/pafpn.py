"""Path aggregation network (arXiv:1803.01534): down to the finest level, and up again (spec 5.8)."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from modelR.csp import SplitBlock, silu_unit
from modelR.layers import DropBlock
from modelR.necks.fpn import WIDTH
from modelR.necks.top_down import upsample

BLOCK_REPEATS = 3  # pairs of convolutions in a block of the largest network


class PafpnNeck(nn.Module):
    """Maps backbone features, finest first, to levels of equal width, finest first.

    With the blocks of RTMDet (arXiv:2212.07784), whose neck this is on its own backbone.

    Args:
        channels: of the inputs; each has half the stride of the next.
        levels: so many of the finest are returned, at `out_channels`.
        dropblock: probability that a block of a level is dropped in training.
        width: channels of the levels.
        repeats: pairs of convolutions in each block.
    """

    def __init__(
        self,
        channels: Sequence[int],
        levels: int,
        dropblock: float = 0.0,
        width: int = WIDTH,
        repeats: int = BLOCK_REPEATS,
    ) -> None:
        super().__init__()
        self.out_channels = (width,) * levels
        pairs = list(pairwise(channels))  # of a level and the next coarser one
        self.reduce = nn.ModuleList(silu_unit(coarse, fine, 1) for fine, coarse in pairs)
        self.down = nn.ModuleList(SplitBlock(2 * fine, fine, repeats) for fine, _ in pairs)
        self.stride = nn.ModuleList(silu_unit(fine, fine, 3, 2) for fine, _ in pairs[: levels - 1])
        self.up = nn.ModuleList(SplitBlock(2 * fine, own, repeats) for fine, own in pairs[: levels - 1])
        self.last = nn.ModuleList(
            nn.Sequential(DropBlock(dropblock), silu_unit(own, width, 3)) for own in channels[:levels]
        )

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        *finer, x = features
        reduced = []  # coarsest first: what replaces each level but the finest on the way back
        for own, reduce, block in zip(
            reversed(finer), reversed(self.reduce), reversed(self.down), strict=True
        ):
            reduced.append(reduce(x))
            x = block(torch.cat([upsample(reduced[-1]), own], dim=1))
        levels = [x]
        for own, stride, block in zip(reversed(reduced), self.stride, self.up, strict=False):
            levels.append(block(torch.cat([stride(levels[-1]), own], dim=1)))
        return [last(level) for last, level in zip(self.last, levels, strict=True)]
