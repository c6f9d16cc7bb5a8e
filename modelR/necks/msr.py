"""MSR-FPN, the neck of NPMMR-Det: down to stride 32, back up, with many fields of view (spec 5.11)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from modelR.deformable import ShiftedConv
from modelR.layers import ConvUnit, DropBlock
from modelR.necks.top_down import upsample

LEVELS = 3
DILATIONS = ((2, 4, 6), (2, 4), (1, 2))  # of the blocks, coarsest first


class MsrNeck(nn.Module):
    """Maps backbone features, finest first, to three levels of half their channels, finest first.

    Args:
        channels: of the three inputs; each has half the stride of the next.
        levels: three.
        dropblock: probability that a block of a level is dropped in training.
    """

    def __init__(self, channels: Sequence[int], levels: int, dropblock: float = 0.0) -> None:
        super().__init__()
        if not levels == len(channels) == LEVELS:
            raise ValueError(f"MsrNeck: expected three levels of three features, got {levels}")
        fine, middle, coarse = channels
        self.out_channels = (fine // 2, middle // 2, coarse // 2)
        self.to_middle = lowered(fine, fine)
        self.to_coarse = lowered(fine + middle, middle)
        self.coarse = mish_level(middle + coarse, coarse // 2, DILATIONS[0], dropblock)
        self.coarse_to_middle = ConvUnit(coarse // 2, middle // 2, 1)
        self.middle = mish_level(middle // 2 + fine + middle, middle // 2, DILATIONS[1], dropblock)
        self.middle_to_fine = ConvUnit(middle // 2, fine // 2, 1)
        self.fine = mish_level(fine // 2 + fine, fine // 2, DILATIONS[2], dropblock)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        fine, middle, coarse = features
        middle = torch.cat([self.to_middle(fine), middle], dim=1)
        coarse = self.coarse(torch.cat([self.to_coarse(middle), coarse], dim=1))
        middle = self.middle(torch.cat([upsample(self.coarse_to_middle(coarse)), middle], dim=1))
        fine = self.fine(torch.cat([upsample(self.middle_to_fine(middle)), fine], dim=1))
        return [fine, middle, coarse]


class FieldsOfView(nn.Module):
    """Dilated convolutions, each added to the one before, mixed by a 1x1 unit (MSR).

    With three dilations the undilated features are mixed in, too.
    """

    def __init__(self, channels: int, dilations: Sequence[int], dropblock: float) -> None:
        super().__init__()
        self.first = nn.Sequential(
            ConvUnit(channels, 2 * channels, 3), DropBlock(dropblock), ConvUnit(2 * channels, channels, 1)
        )
        self.dilated = nn.ModuleList(ConvUnit(channels, channels, 3, dilation=d) for d in dilations)
        self.keeps_first = len(dilations) > 2
        parts = len(dilations) + self.keeps_first
        self.mix = ConvUnit(parts * channels, channels, 1, activation=nn.Mish(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x)
        seen: list[Tensor] = []
        for dilated in self.dilated:
            y = dilated(z)
            seen.append(y + seen[-1] if seen else y)
        mixed: Tensor = self.mix(torch.cat([z, *seen] if self.keeps_first else seen, dim=1))
        return mixed


def mish_level(inputs: int, channels: int, dilations: Sequence[int], dropblock: float) -> nn.Sequential:
    """Return a 1x1 unit with Mish and the fields of view of a level."""
    return nn.Sequential(
        ConvUnit(inputs, channels, 1, activation=nn.Mish(inplace=True)),
        FieldsOfView(channels, dilations, dropblock),
    )


def lowered(inputs: int, outputs: int) -> nn.Sequential:
    """Return a deformable convolution of stride 2 with batch norm and LeakyReLU(0.1)."""
    return nn.Sequential(
        ShiftedConv(inputs, outputs, stride=2), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1, inplace=True)
    )
