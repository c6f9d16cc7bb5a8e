"""MobileNetV2 (arXiv:1801.04381) of torchvision as backbone, its last 1x1 convolution included (spec 5.9)."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from modelR.backbones.state_files import fill_from_file
from modelR.method import FEATURES

LAST = dict(zip(FEATURES, (3, 6, 13, 18), strict=True))  # number of the last part at each stride
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]


class MobileNet(nn.Module):
    """Maps images in [0, 1] to features at the strides `taps`, each half the next, up to 32.

    `width` multiplies the channels of all but the last feature; 1 is the network of published weights, whose
    mean and deviation are taken off here.  `channels` are those of the outputs.
    """

    mean: Tensor  # (1, 3, 1, 1) of RGB in [0, 1]
    std: Tensor  # (1, 3, 1, 1)

    def __init__(self, width: float = 1.0, taps: tuple[int, ...] = (8, 16, 32)) -> None:
        super().__init__()
        self.features = mobilenet_v2(width_mult=width).features
        self.taps = [LAST[stride] for stride in taps]
        self.channels = tuple(_outputs(self.features[tap]) for tap in self.taps)
        for key, values in (("mean", MEAN), ("std", STD)):
            self.register_buffer(key, torch.tensor(values).view(1, 3, 1, 1))

    def early_parameters(self, stages: int) -> list[str]:
        """Return the names of the parameters up to the last part at stride 2**stages; of none for 0."""
        ends = (0, 2, *(LAST[stride] + 1 for stride in FEATURES))  # of the parts at strides 1, 2, 4, ...
        parts = tuple(f"features.{number}." for number in range(ends[stages]))
        return [name for name, _ in self.named_parameters() if name.startswith(parts)]

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return features (B, C, H / stride, W / stride), finest first."""
        x = (images - self.mean) / self.std
        features = []
        for number, part in enumerate(self.features):
            x = part(x)
            if number in self.taps:
                features.append(x)
        return features


def build_mobilenet(width: float, taps: tuple[int, ...], weights: Path | None) -> MobileNet:
    """Return the backbone, filled where there is a file of torchvision's, with its classifier or without.

    Raises:
        BackboneError: the file is no weight file, or leaves a tensor of the backbone unset.
    """
    backbone = MobileNet(width, taps)
    if weights is not None:
        fill_from_file(backbone.features, weights, "mobilenet_v2", prefixes=("features.",))
    return backbone


def _outputs(part: nn.Module) -> int:
    """Return the channels that the last batch norm of a part has."""
    return [layer.num_features for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)][-1]
