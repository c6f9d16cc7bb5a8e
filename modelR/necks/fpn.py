"""Feature pyramid network (arXiv:1612.03144), with levels beyond those of the backbone (spec 5.8)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from modelR.layers import DropBlock
from modelR.necks.top_down import upsample

WIDTH = 256  # channels of every level


class FpnNeck(nn.Module):
    """Maps backbone features, finest first, to levels of equal width, finest first.

    Levels beyond those of the backbone halve the map each (P6, P7 of RetinaNet): the first is computed from
    the coarsest feature of the backbone, the others from the ReLU of the one before.

    Args:
        channels: of the inputs; each has half the stride of the next.
        levels: so many of the finest are returned, at `out_channels`.
        dropblock: probability that a block of the sums is dropped in training.
        width: channels of the levels.
    """

    def __init__(
        self, channels: Sequence[int], levels: int, dropblock: float = 0.0, width: int = WIDTH
    ) -> None:
        super().__init__()
        self.out_channels = (width,) * levels
        self.lateral = nn.ModuleList(nn.Conv2d(own, width, 1) for own in channels)
        self.smooth = nn.ModuleList(
            nn.Sequential(DropBlock(dropblock), nn.Conv2d(width, width, 3, padding=1))
            for _ in channels[:levels]
        )
        inputs = [channels[-1], *[width] * levels][: max(levels - len(channels), 0)]
        self.coarser = nn.ModuleList(nn.Conv2d(own, width, 3, stride=2, padding=1) for own in inputs)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        sums = [lateral(own) for lateral, own in zip(self.lateral, features, strict=True)]
        for k in range(len(sums) - 1, 0, -1):
            sums[k - 1] = sums[k - 1] + upsample(sums[k])
        levels = [smooth(own) for smooth, own in zip(self.smooth, sums, strict=False)]
        x = features[-1]
        for conv in self.coarser:
            x = conv(x)
            levels.append(x)
            x = F.relu(x)
        return levels
