"""YOLOv3-R: three anchors in each cell of GGHL's network, the best of all for each object.

Source: YOLOv3 (arXiv:1804.02767), with glides and area ratio as GGHL writes quads; spec 12.6.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfg.schema import AssignConfig, LossConfig, Yolov3Config
from cfg.yolov3 import ANCHORS
from dataloadR.assign.anchors import LEAST_SHARE, MAX_LOG, AnchorSides
from dataloadR.assign.max_iou import Limits, anchor_targets
from modelR.detectors.anchored.coding import (
    SHAPE_CHANNELS,
    AnchorPrediction,
    Coding,
    anchor_candidates,
    split_anchors,
)
from modelR.detectors.anchored.loss import AnchorKind, AnchorLoss, learning_count
from modelR.detectors.centernet_r.head import OFFSET_REACH
from modelR.detectors.gghl.detector import STRIDES
from modelR.detectors.gghl.head import OBJECTNESS_PRIOR
from modelR.layers import ConvUnit
from modelR.method import Method
from utils.errors import UserError

HORIZONTAL = 0.85  # area ratio above which a quad is read as its box
BEST_ALONE = 2.0  # overlap from which an anchor learns an object that it does not suit best: none has it


def yolov3_r(
    config: Yolov3Config, assign: AssignConfig, loss: LossConfig, strides: tuple[int, ...] | None
) -> Method:
    """Return the method, on three levels unless told otherwise.

    Raises:
        UserError: not three anchors for each level.
    """
    strides = strides or STRIDES
    sides = sides_of(config, strides)
    limits = Limits(BEST_ALONE, config.ignore_iou)
    gains = {
        "foreground": config.objectness,
        "background": config.objectness,
        **{name: getattr(config, name) for name in ("classes", "box", "glide", "ratio")},
    }
    own = AnchorLoss(loss, AnchorKind(sides, CELLS, gains, "bce", is_scaled=True))
    return Method(
        name="yolov3_r",
        strides=strides,
        terms=own.terms,
        head=YoloHead,
        targets=lambda objects, pyramid, _: anchor_targets(objects, pyramid, sides, limits, assign.min_side),
        count=learning_count,
        loss=own,
        candidates=lambda found, settings: anchor_candidates(found, sides, CELLS, settings, config.top_k),
    )


def sides_of(config: Yolov3Config, strides: tuple[int, ...]) -> list[AnchorSides]:
    """Return the anchors of each level in pixels.

    Raises:
        UserError: not three for each level.
    """
    expected = 2 * ANCHORS * len(strides)
    if len(config.anchors) != expected:
        levels = ", ".join(map(str, strides))
        raise UserError(
            f"yolov3.anchors: expected {expected} numbers, width and height of {ANCHORS} anchors for each of "
            f"the levels at strides {levels}, got {len(config.anchors)}"
        )
    numbers = iter(config.anchors)
    return [
        tuple((next(numbers) * stride, next(numbers) * stride) for _ in range(ANCHORS)) for stride in strides
    ]


class YoloHead(nn.Module):
    """Maps the features of one level (B, C, H, W) to what its anchors predict, by one 3x3 unit.

    The 3 * (10 + C) outputs are two convolutions, so that those of the classes are known by name.
    """

    def __init__(self, channels: int, num_classes: int, stride: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"YoloHead: expected at least one class, got {num_classes}")
        self.stride = stride
        self.unit = ConvUnit(channels, 2 * channels, 3)
        self.shapes = nn.Conv2d(2 * channels, ANCHORS * (sum(SHAPE_CHANNELS) + 1), 1)
        self.classes = nn.Sequential(nn.Conv2d(2 * channels, ANCHORS * num_classes, 1))
        self._start(num_classes)

    @torch.no_grad()
    def _start(self, num_classes: int) -> None:
        """Start from few objects and even classes (spec 5.5)."""
        (classes,) = self.classes
        for conv in (self.shapes, classes):
            assert isinstance(conv, nn.Conv2d)
            assert conv.bias is not None
            nn.init.normal_(conv.weight, std=0.01)
            conv.bias.fill_(0.0 if conv is self.shapes else -math.log(max(num_classes - 1, 1)))
        assert self.shapes.bias is not None
        of_anchors = self.shapes.bias.view(ANCHORS, -1)
        of_anchors.select(-1, -1).fill_(math.log(OBJECTNESS_PRIOR / (1 - OBJECTNESS_PRIOR)))

    def forward(self, features: Tensor) -> AnchorPrediction:
        x = self.unit(features)
        return split_anchors(self.shapes(x), ANCHORS, self.stride, self.classes(x))


def cell_boxes(raw: Tensor, anchors: Tensor, stride: int) -> Tensor:
    """Return boxes (..., 4) px: centre in the cell by a sigmoid, sides over those of the anchor."""
    (low, high), (shift, log_size) = (
        torch.unflatten(x, -1, (2, 2)).unbind(-2) for x in (anchors, _read(raw))
    )
    middle = 0.5 * (low + high) + shift * stride
    half = 0.5 * (high - low) * log_size.clamp(max=MAX_LOG).exp()
    return torch.cat([middle - half, middle + half], dim=-1)


def cell_gaps(raw: Tensor, true: Tensor, anchors: Tensor, stride: int) -> Tensor:
    """Return by what predictions miss the centre, in cells, and the logarithms of the sides, (..., 4)."""
    (low, high), (start, end) = (torch.unflatten(x, -1, (2, 2)).unbind(-2) for x in (true, anchors))
    shift = 0.5 * (low + high - start - end) / stride
    log_size = ((high - low) / (end - start)).clamp(min=LEAST_SHARE).log()
    return _read(raw) - torch.cat([shift, log_size], dim=-1)


def _read(raw: Tensor) -> Tensor:
    """Return x and y in cells from the middle of the cell, and the logarithms of width and height."""
    place, log_size = torch.unflatten(raw, -1, (2, 2)).unbind(-2)
    return torch.cat([OFFSET_REACH * (place.sigmoid() - 0.5), log_size], dim=-1)


CELLS = Coding(cell_boxes, cell_gaps, F.hardsigmoid, HORIZONTAL)
