"""The head of the detectors of tiny objects: two towers on one fine level, and what they say (spec 10.7)."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelR.detectors.gghl.decode import at_least_float32, glide_values, hboxes_to_edge_dists
from modelR.detectors.gghl_hbb import UPRIGHT
from modelR.layers import steady_conv
from utils.records import DecodedLevel

CLASS_PRIOR = 0.01  # of a class of a cell, at the start of training
CLASS_SPREAD, BOX_SPREAD = 0.01, 0.001  # standard deviations of the last weights
SHAPE_CHANNELS = (4, 1)  # glides, area ratio


class TinyPrediction(NamedTuple):
    """Raw outputs of one level, split by name."""

    boxes: Tensor  # (B, H, W, 4) coded as the form of the detector has it
    glide_logits: Tensor  # (B, H, W, 4) top, right, bottom, left
    ratio_logit: Tensor  # (B, H, W)
    quality_logit: Tensor  # (B, H, W) how well the box fits
    class_logits: Tensor  # (B, H, W, C)
    stride: int  # pixels per cell


class BoxCoding(NamedTuple):
    """How a cell writes its box."""

    decode: Callable[[Tensor, int], Tensor]  # raw (B, H, W, 4), pixels per cell -> hboxes (B, H, W, 4)
    start: float  # raw value at the start of training


class TinyHead(nn.Module):
    """Maps the features of one level (B, C, H, W) to its raw `TinyPrediction`.

    Without glides the area ratio is 1, without a quality branch its logit is 0.
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        stride: int,
        coding: BoxCoding,
        *,
        horizontal: bool,
        judged: bool,
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"TinyHead: expected at least one class, got {num_classes}")
        self.stride = stride
        narrow = max(channels // 2, 1)
        self.classes = nn.Sequential(*tower(channels, channels), nn.Conv2d(channels, num_classes, 1))
        self.location = tower(channels, narrow)
        self.boxes = output(narrow, 4, coding.start)
        self.shape = None if horizontal else output(narrow, sum(SHAPE_CHANNELS))
        self.quality = output(narrow, 1) if judged else None
        *_, last = self.classes
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.normal_(last.weight, std=CLASS_SPREAD)
        nn.init.constant_(last.bias, math.log(CLASS_PRIOR / (1.0 - CLASS_PRIOR)))

    def forward(self, features: Tensor) -> TinyPrediction:
        classes, location = self.classes(features), self.location(features)
        boxes = self.boxes(location).permute(0, 2, 3, 1)
        quality = self.quality(location).squeeze(1) if self.quality else torch.zeros_like(boxes).select(-1, 0)
        if self.shape:
            shape = self.shape(location).permute(0, 2, 3, 1)
            glides, ratio = torch.split(shape, list(SHAPE_CHANNELS), dim=-1)
        else:
            glides, ratio = torch.zeros_like(boxes), torch.full_like(quality, UPRIGHT).unsqueeze(-1)
        class_logits = classes.permute(0, 2, 3, 1)
        return TinyPrediction(boxes, glides, ratio.squeeze(-1), quality, class_logits, self.stride)


def tower(inputs: int, outputs: int) -> nn.Sequential:
    """Return two 3x3 convolutions with ReLU behind each."""
    first, second = steady_conv(inputs, outputs), steady_conv(outputs, outputs)
    return nn.Sequential(first, nn.ReLU(inplace=True), second, nn.ReLU(inplace=True))


def output(inputs: int, numbers: int, start: float = 0.0) -> nn.Conv2d:
    """Return a 1x1 convolution that gives about `start` in every cell at first."""
    conv = nn.Conv2d(inputs, numbers, 1)
    assert conv.bias is not None
    nn.init.normal_(conv.weight, std=BOX_SPREAD)
    nn.init.constant_(conv.bias, start)
    return conv


def decode_tiny(prediction: TinyPrediction, coding: BoxCoding) -> DecodedLevel:
    """Return boxes in pixels and all else in [0, 1], the quality as objectness; glides are not masked."""
    hboxes = coding.decode(at_least_float32(prediction.boxes), prediction.stride)
    return DecodedLevel(
        edge_dists=hboxes_to_edge_dists(hboxes, prediction.stride),
        hboxes=hboxes,
        glides=glide_values(at_least_float32(prediction.glide_logits)),
        area_ratio=F.hardsigmoid(at_least_float32(prediction.ratio_logit)),
        objectness=at_least_float32(prediction.quality_logit).sigmoid(),
        class_scores=at_least_float32(prediction.class_logits).sigmoid(),
    )
