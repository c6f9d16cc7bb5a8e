"""ORC head of one level: edge distances, glides, area ratio, objectness and classes (spec 5.3)."""

import math
from collections.abc import Sequence

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
        start_outputs([last_of(self.location), last_of(self.classes)], num_classes)

    def forward(self, features: Tensor) -> LevelPrediction:
        return level_prediction(self.location(features), self.classes(features), self.stride)


def level_prediction(location: Tensor, classes: Tensor, stride: int) -> LevelPrediction:
    """Return the outputs of a level by name from the maps (B, 10, H, W) and (B, C, H, W)."""
    location, class_logits = location.permute(0, 2, 3, 1), classes.permute(0, 2, 3, 1)
    edges, glides, ratio, objectness = torch.split(location, list(LOCATION_CHANNELS), dim=-1)
    return LevelPrediction(edges, glides, ratio.squeeze(-1), objectness.squeeze(-1), class_logits, stride)


def start_outputs(outputs: Sequence[nn.Conv2d], num_classes: int) -> None:
    """Start the last convolutions of a head from few objects and even classes.

    So the first steps do not drown in background.  The first one's last output is the objectness, the last
    one is of the classes.
    """
    biases = start_evenly(outputs)
    nn.init.constant_(biases[0][-1:], math.log(OBJECTNESS_PRIOR / (1.0 - OBJECTNESS_PRIOR)))
    nn.init.constant_(biases[-1], -math.log(max(num_classes - 1, 1)))


def start_evenly(outputs: Sequence[nn.Conv2d]) -> list[Tensor]:
    """Start the last convolutions of a head with small weights; return their biases, which are 0."""
    biases = []
    for output in outputs:
        assert output.bias is not None
        nn.init.normal_(output.weight, std=0.01)
        nn.init.zeros_(output.bias)
        biases.append(output.bias.detach())
    return biases


def last_of(layers: nn.Sequential) -> nn.Conv2d:
    """Return the last layer, a convolution."""
    *_, output = layers.children()
    assert isinstance(output, nn.Conv2d)
    return output


def branch(channels: int, outputs: int) -> nn.Sequential:
    """Return a 3x3 conv unit to twice the channels and a plain 1x1 convolution."""
    return nn.Sequential(ConvUnit(channels, 2 * channels, 3), nn.Conv2d(2 * channels, outputs, 1))
