"""LO-Det: light neck and light head, all else as GGHL (spec 5.10).

Source: Huang et al., "LO-Det: Lightweight Oriented Object Detection in Remote Sensing Images", TGRS 2021.
"""

from dataclasses import replace
from functools import partial

from torch import Tensor, nn

from cfg.schema import AssignConfig, LossConfig
from modelR.detectors.gghl.detector import STRIDES, gghl
from modelR.detectors.gghl.head import LOCATION_CHANNELS, last_of, level_prediction, start_outputs
from modelR.method import Method
from modelR.necks.light import LightNeck, Shuffled
from utils.errors import UserError
from utils.records import LevelPrediction

GROUPS = {8: 2, 16: 4, 32: 8}  # of the shuffle in the head of each stride


def lo_det(
    assign: AssignConfig,
    loss: LossConfig,
    strides: tuple[int, ...] | None,
    width: float = 1.0,
    micro_batches: int = 1,
) -> Method:
    """Return the method; `width` multiplies the channels of its neck, the rest is as for `gghl`.

    Raises:
        UserError: strides other than its three.
    """
    check_three_levels("lo_det", strides)
    own = gghl(assign, loss, STRIDES, micro_batches)
    return replace(own, name="lo_det", head=LightHead, neck=partial(LightNeck, width=width))


def check_three_levels(name: str, strides: tuple[int, ...] | None) -> None:
    """Raise a UserError for strides other than those of the detector's three levels."""
    if strides not in (None, STRIDES):
        raise UserError(f"model.strides: expected none, {name} has three levels at strides 8, 16 and 32")


class LightHead(nn.Module):
    """Maps the features of one level (B, C, H, W) to its raw `LevelPrediction`, without towers."""

    def __init__(self, channels: int, num_classes: int, stride: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"LightHead: expected at least one class, got {num_classes}")
        self.stride = stride
        self.shared = Shuffled(channels, GROUPS[stride])
        self.location = nn.Sequential(nn.Conv2d(channels, sum(LOCATION_CHANNELS), 1))
        self.classes = nn.Sequential(nn.Conv2d(channels, num_classes, 1))
        start_outputs([last_of(self.location), last_of(self.classes)], num_classes)

    def forward(self, features: Tensor) -> LevelPrediction:
        shared = self.shared(features)
        return level_prediction(self.location(shared), self.classes(shared), self.stride)
