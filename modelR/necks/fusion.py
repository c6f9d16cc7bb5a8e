"""Fusion of all features at the finest stride, by 1x1 convolutions alone (SegFormer, arXiv:2105.15203)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelR.layers import ConvUnit, DropBlock

FUSED = 128  # channels of each feature, and of what comes out


class FusionNeck(nn.Module):
    """Maps backbone features, finest first, to one map at the finest stride (spec 5.13)."""

    def __init__(
        self, channels: Sequence[int], levels: int, dropblock: float = 0.0, width: int = FUSED
    ) -> None:
        super().__init__()
        if levels != 1:
            raise ValueError(f"FusionNeck: expected one level, got {levels}")
        self.out_channels = (width,)
        self.reduce = nn.ModuleList(relu_unit(own, width) for own in channels)
        self.drop = DropBlock(dropblock)
        self.mix = relu_unit(width * len(channels), width)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        size = features[0].shape[-2:]
        reduced = [unit(own) for unit, own in zip(self.reduce, features, strict=True)]
        raised = [F.interpolate(own, size, mode="bilinear", align_corners=False) for own in reduced[1:]]
        return [self.mix(self.drop(torch.cat([reduced[0], *raised], dim=1)))]


def relu_unit(inputs: int, outputs: int) -> ConvUnit:
    """Return a 1x1 convolution with batch norm and ReLU."""
    return ConvUnit(inputs, outputs, 1, activation=nn.ReLU(inplace=True))
