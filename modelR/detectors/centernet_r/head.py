"""The head of CenterNet-R: four 1x1 convolutions side by side, and what their outputs mean (spec 10.4)."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_SIDE = 8192.0  # px; beyond it exp() only threatens to overflow
CLASS_PRIOR = 0.01  # of the heat of a cell, at the start of training
OFFSET_REACH = 1.05  # of the sigmoid around the middle of a cell: its borders can be reached
SHAPE_CHANNELS = (4, 1)  # glides, area ratio


class CenterPrediction(NamedTuple):
    """Raw outputs of one level, split by name."""

    offset_logits: Tensor  # (B, H, W, 2) x, y
    size_logits: Tensor  # (B, H, W, 2) width, height
    glide_logits: Tensor  # (B, H, W, 4) top, right, bottom, left
    ratio_logit: Tensor  # (B, H, W)
    class_logits: Tensor  # (B, H, W, C)
    stride: int  # pixels per cell


class DecodedCenters(NamedTuple):
    """A prediction in pixels and probabilities, float32 or better."""

    offsets: Tensor  # (B, H, W, 2) x, y of the centre in its cell, from -0.025 to 1.025
    hboxes: Tensor  # (B, H, W, 4) pixels
    glides: Tensor  # (B, H, W, 4) in [0, 1]
    area_ratio: Tensor  # (B, H, W) in [0, 1]
    class_scores: Tensor  # (B, H, W, C) in [0, 1]


class CenterHead(nn.Module):
    """Maps the features of one level (B, C, H, W) to its raw `CenterPrediction`."""

    def __init__(self, channels: int, num_classes: int, stride: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"CenterHead: expected at least one class, got {num_classes}")
        self.stride = stride
        self.offset = nn.Conv2d(channels, 2, 1)
        self.size = nn.Conv2d(channels, 2, 1)
        self.shape = nn.Conv2d(channels, sum(SHAPE_CHANNELS), 1)
        self.classes = nn.Sequential(nn.Conv2d(channels, num_classes, 1))
        for layer in (self.offset, self.size, self.shape, self.classes[0]):
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.classes[0].bias, math.log(CLASS_PRIOR / (1.0 - CLASS_PRIOR)))  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> CenterPrediction:
        offset, size, shape, classes = (
            layer(features).permute(0, 2, 3, 1)
            for layer in (self.offset, self.size, self.shape, self.classes)
        )
        glides, ratio = torch.split(shape, list(SHAPE_CHANNELS), dim=-1)
        return CenterPrediction(offset, size, glides, ratio.squeeze(-1), classes, self.stride)


def decode_centers(prediction: CenterPrediction) -> DecodedCenters:
    """Return boxes in pixels, the rest as probabilities; glides are not masked."""
    double = prediction.offset_logits.dtype == torch.float64
    dtype = torch.float64 if double else torch.float32
    offset, size, glide, ratio, classes = (logits.to(dtype) for logits in prediction[:-1])
    stride = prediction.stride
    offsets = (offset.sigmoid() - 0.5) * OFFSET_REACH + 0.5
    half = 0.5 * stride * size.clamp(max=math.log(MAX_SIDE / stride)).exp()
    _, height, width, _ = offset.shape
    columns = torch.arange(width, device=offset.device).expand(height, width)
    rows = torch.arange(height, device=offset.device).unsqueeze(-1).expand(height, width)
    centers = (torch.stack([columns, rows], dim=-1) + offsets) * stride
    return DecodedCenters(
        offsets=offsets,
        hboxes=torch.cat([centers - half, centers + half], dim=-1),
        glides=glide.sigmoid(),
        area_ratio=ratio.sigmoid(),
        class_scores=classes.sigmoid(),
    )


def log_sizes(hboxes: Tensor, stride: int) -> Tensor:
    """Return what `size_logits` shall be for boxes (..., 4), (..., 2)."""
    x_min, y_min, x_max, y_max = hboxes.unbind(-1)
    sides = torch.stack([x_max - x_min, y_max - y_min], dim=-1)
    return (sides / stride).clamp(min=torch.finfo(sides.dtype).tiny).log()


def smooth_l1(found: Tensor, true: Tensor, beta: float = 1.0) -> Tensor:
    """Return the smooth L1 errors of each row, summed over its values."""
    return F.smooth_l1_loss(found, true, reduction="none", beta=beta).flatten(1).sum(dim=-1)
