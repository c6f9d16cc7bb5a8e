"""Layers: the building blocks of the network (spec 5.1, 5.2 and 5.4)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm, activation; the size is kept at stride 1 (spec 5.1).

    The activation is LeakyReLU(0.1) unless another one is given.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        *,
        dilation: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        padding = kernel // 2 * dilation
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = nn.LeakyReLU(0.1, inplace=True) if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(self.norm(self.conv(x)))
        return y


def depthwise(channels: int, kernel: int) -> nn.Sequential:
    """Return a convolution of each channel by itself and batch norm, without activation."""
    conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


def steady_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 3x3 convolution with bias that keeps the size of a signal behind a ReLU: no norm does."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    assert conv.bias is not None
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.bias)
    return conv


class ResidualUnit(nn.Module):
    """1x1 to half the channels, 3x3 back, plus the input; no activation after the sum (spec 5.1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ConvUnit(channels, channels // 2, 1)
        self.expand = ConvUnit(channels // 2, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.expand(self.reduce(x))
        return y


class SpatialPyramidPooling(nn.Module):
    """The input beside its maxima over 5x5, 9x9 and 13x13 cells, mixed by a 1x1 convolution (spec 5.2)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.mix = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled_5 = self.pool(x)
        pooled_9 = self.pool(
            pooled_5
        )  # a 5x5 maximum of 5x5 maxima is the 9x9 maximum, at a third of the work
        pooled_13 = self.pool(pooled_9)
        y: Tensor = self.mix(torch.cat([x, pooled_5, pooled_9, pooled_13], dim=1))
        return y


class FastPyramidPooling(nn.Module):
    """Half the channels beside three 5x5 maxima of one another, mixed by a 1x1 unit: SPPF (spec 5.8).

    The maxima are those over 5x5, 9x9 and 13x13 cells.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = ConvUnit(inputs, inputs // 2, 1, activation=nn.SiLU(inplace=True))
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.mix = ConvUnit(4 * (inputs // 2), outputs, 1, activation=nn.SiLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        maxima = [self.reduce(x)]
        for _ in range(3):
            maxima.append(self.pool(maxima[-1]))
        y: Tensor = self.mix(torch.cat(maxima, dim=1))
        return y


class DropBlock(nn.Module):
    """Zeroes square blocks of cells in all channels while training; the rest is scaled up (spec 5.4).

    The probability is constant; 0 and evaluation leave the input alone.
    """

    def __init__(self, probability: float, block: int = 3) -> None:
        super().__init__()
        if not 0.0 <= probability < 1.0:
            raise ValueError(f"DropBlock: expected a probability in [0, 1), got {probability}")
        if block < 1 or block % 2 == 0:
            raise ValueError(f"DropBlock: expected an odd block side, got {block}")
        self.probability = probability
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0.0:
            return x
        batch, _, height, width = x.shape
        seed_probability = self.probability / self.block**2
        seeds = torch.rand(batch, height, width, device=x.device) < seed_probability
        return drop_blocks(x, seeds, self.block)


def drop_blocks(x: Tensor, seeds: Tensor, block: int) -> Tensor:
    """Return `x` (B, C, H, W) without the blocks around `seeds` (B, H, W) bool, its mean level kept."""
    dropped = F.max_pool2d(seeds.float(), block, stride=1, padding=block // 2)
    kept = 1.0 - dropped
    scale = kept.numel() / kept.sum().clamp(min=1.0)  # on tiny maps everything may be dropped
    return x * (kept * scale).unsqueeze(1).to(x.dtype)


def scaled_channels(channels: int, width: float) -> int:
    """Return `channels` times `width`, rounded to the nearest multiple of 8, at least 8.

    >>> scaled_channels(1024, 0.75), scaled_channels(32, 0.25), scaled_channels(8, 0.25)
    (768, 8, 8)
    """
    return max(8, round(channels * width / 8) * 8)


def scaled_repeats(repeats: int, depth: float) -> int:
    """Return how often a block stands in a network of this depth multiplier, at least once.

    >>> scaled_repeats(8, 0.33), scaled_repeats(1, 0.33)
    (3, 1)
    """
    return max(1, round(repeats * depth))
