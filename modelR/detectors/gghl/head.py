"""ORC head of one level: edge distances, glides, area ratio, objectness and classes (spec 5.3)."""

import math

import torch
from torch import Tensor, nn

from modelR.layers import ConvUnit
from utils.records import LevelPrediction

LOCATION_CHANNELS = (4, 4, 1, 1)  # edges, glides, area ratio, objectness (spec 3.1)
OBJECTNESS_PRIOR = 0.01  # share of cells that hold an object, at the start of training


class OrcHead(nn.Module):
    """Maps the features of one level (B, C, H, W) to its raw `LevelPrediction`."""

    channels: tuple[int, ...] = LOCATION_CHANNELS  # the last is the objectness

    def __init__(self, channels: int, num_classes: int, stride: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"OrcHead: expected at least one class, got {num_classes}")
        self.stride = stride
        self.location = branch(channels, sum(self.channels))
        self.classes = branch(channels, num_classes)
        self._initialise(num_classes)

    def forward(self, features: Tensor) -> LevelPrediction:
        location: Tensor = self.location(features).permute(0, 2, 3, 1)
        class_logits: Tensor = self.classes(features).permute(0, 2, 3, 1)
        edges, glides, ratio, objectness = torch.split(location, list(self.channels), dim=-1)
        return LevelPrediction(
            edges, glides, ratio.squeeze(-1), objectness.squeeze(-1), class_logits, self.stride
        )

    def _initialise(self, num_classes: int) -> None:
        """Start from few objects and even classes, so that the first steps do not drown in background."""
        *_, location = self.location.children()
        *_, classes = self.classes.children()
        assert isinstance(location, nn.Conv2d)
        assert isinstance(classes, nn.Conv2d)
        assert location.bias is not None
        assert classes.bias is not None
        for layer in (location, classes):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.zeros_(location.bias)
        *_, objectness_bias = torch.split(location.bias.detach(), list(self.channels))
        nn.init.constant_(objectness_bias, math.log(OBJECTNESS_PRIOR / (1.0 - OBJECTNESS_PRIOR)))
        nn.init.constant_(classes.bias, -math.log(max(num_classes - 1, 1)))


def branch(channels: int, outputs: int) -> nn.Sequential:
    """Return a 3x3 conv unit to twice the channels and a plain 1x1 convolution."""
    return nn.Sequential(ConvUnit(channels, 2 * channels, 3), nn.Conv2d(2 * channels, outputs, 1))
