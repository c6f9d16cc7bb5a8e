"""CSPNeXt, the backbone of RTMDet (arXiv:2212.07784), section 3.1 (spec 5.12)."""

from pathlib import Path

from torch import Tensor, nn

from modelR.backbones.state_files import fill_from_file
from modelR.csp import SplitBlock, silu_unit
from modelR.layers import FastPyramidPooling, scaled_repeats

STEM = (32, 32, 64)  # channels of its units, the first of which halves the image
STAGES = ((128, 3), (256, 6), (512, 6), (1024, 3))  # channels, pairs of convolutions; each halves the map


class CspNext(nn.Module):
    """Maps images to features at the strides `taps`, each half the next, up to 32.

    `width` multiplies channels, `depth` the pairs of convolutions of a stage; (1, 1) is that of RTMDet-l.
    `channels` are those of the outputs.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0, taps: tuple[int, ...] = (8, 16, 32)) -> None:
        super().__init__()
        units, inputs = [], 3
        for number, channels in enumerate(STEM):
            outputs = exact_channels(channels, width)
            units.append(silu_unit(inputs, outputs, 3, stride=1 if number else 2))
            inputs = outputs
        self.stem = nn.Sequential(*units)
        self.stages = nn.ModuleList()
        for number, (channels, repeats) in enumerate(STAGES, start=1):
            outputs = exact_channels(channels, width)
            pooling = [FastPyramidPooling(outputs, outputs)] if number == len(STAGES) else []
            block = SplitBlock(outputs, outputs, scaled_repeats(repeats, depth), of_backbone=True)
            self.stages.append(nn.Sequential(silu_unit(inputs, outputs, 3, stride=2), *pooling, block))
            inputs = outputs
        self.channels = tuple(exact_channels(channels, width) for channels, _ in STAGES[-len(taps) :])

    def early_parameters(self, stages: int) -> list[str]:
        """Return the names of the parameters of the stem and the first stages, `stages` in all."""
        parts = ["stem.", *(f"stages.{number}." for number in range(len(STAGES)))][:stages]
        return [name for name, _ in self.named_parameters() if name.startswith(tuple(parts))]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (B, C, H / stride, W / stride), finest first."""
        x: Tensor = self.stem(images)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[-len(self.channels) :]


def exact_channels(channels: int, width: float) -> int:
    """Return `channels` times `width`, an even number: the published sizes know no multiples of 8.

    >>> exact_channels(32, 0.375), exact_channels(1024, 0.375)
    (12, 384)
    """
    return 2 * max(1, round(channels * width / 2))


def build_cspnext(width: float, depth: float, taps: tuple[int, ...], weights: Path | None) -> CspNext:
    """Return the backbone, filled where there is a file: of the backbone alone, or of a run with it.

    Raises:
        BackboneError: the file is no weight file, or leaves a tensor of the backbone unset.
    """
    backbone = CspNext(width, depth, taps)
    if weights is not None:
        fill_from_file(backbone, weights, "cspnext", prefixes=("", "backbone."))
    return backbone
