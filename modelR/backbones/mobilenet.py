"""MobileNetV2 (arXiv:1801.04381) of torchvision as backbone, its last 1x1 convolution included (spec 5.9)."""

import logging
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from modelR.backbones.timm_features import BackboneError, read_backbone_weights
from modelR.method import FEATURES
from utils.checkpoint import TENSORS_SHOWN

logger = logging.getLogger(__name__)
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
    """Return the backbone, filled from a file where there is one.

    Raises:
        BackboneError: the file is no weight file, or leaves a tensor of the backbone unset.
    """
    backbone = MobileNet(width, taps)
    if weights is not None:
        load_mobilenet_weights(backbone, weights)
    return backbone


def _outputs(part: nn.Module) -> int:
    """Return the channels that the last batch norm of a part has."""
    return [layer.num_features for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)][-1]


def load_mobilenet_weights(backbone: MobileNet, file: Path) -> None:
    """Fill the backbone from a file of torchvision's network, with its classifier or without.

    Raises:
        BackboneError: the file is no weight file, or leaves a tensor of the backbone unset.
    """
    state = read_backbone_weights(file)
    own = backbone.features.state_dict()
    found = {key: state.get(f"features.{key}") for key in own}
    faults = []
    for key, value in found.items():
        if value is None:
            faults.append(f"features.{key} missing")
        elif value.shape != own[key].shape:
            faults.append(f"features.{key} {tuple(value.shape)} instead of {tuple(own[key].shape)}")
    if faults:
        more = f" and {len(faults) - TENSORS_SHOWN} more" if len(faults) > TENSORS_SHOWN else ""
        raise BackboneError(f"{file}: does not fit mobilenet_v2: {'; '.join(faults[:TENSORS_SHOWN])}{more}")
    backbone.features.load_state_dict(found)
    logger.info("%s: all %d tensors of mobilenet_v2", file, len(own))
