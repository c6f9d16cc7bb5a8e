"""Darknet-53 without its classifier (spec 5.1)."""

from torch import Tensor, nn

from modelR.layers import ConvUnit, ResidualUnit, scaled_channels, scaled_repeats

STEM_CHANNELS = 32
STAGES = ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4))  # channels, residual units; each halves the map


class Darknet(nn.Module):
    """Maps images to features at the strides `taps`, each half the next, up to 32.

    `width` multiplies channels (rounded to multiples of 8), `depth` the number of residual units of a
    stage; (1, 1) is Darknet-53.  `channels` are those of the outputs.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0, taps: tuple[int, ...] = (8, 16, 32)) -> None:
        super().__init__()
        inputs = scaled_channels(STEM_CHANNELS, width)
        self.stem = ConvUnit(3, inputs, 3)
        self.stages = nn.ModuleList()
        for channels, repeats in STAGES:
            outputs = scaled_channels(channels, width)
            residuals = [ResidualUnit(outputs) for _ in range(scaled_repeats(repeats, depth))]
            self.stages.append(nn.Sequential(ConvUnit(inputs, outputs, 3, stride=2), *residuals))
            inputs = outputs
        self.channels = tuple(scaled_channels(channels, width) for channels, _ in STAGES[-len(taps) :])

    def early_parameters(self, stages: int) -> list[str]:
        """Return the names of the parameters of the first stages, the stem included; of none for 0."""
        parts = ["stem", *(f"stages.{stage}" for stage in range(stages))] if stages else []
        return [name for name, _ in self.named_parameters() if name.startswith(tuple(f"{p}." for p in parts))]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (B, C, H / stride, W / stride), finest first."""
        x: Tensor = self.stem(images)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features[-len(self.channels) :]
