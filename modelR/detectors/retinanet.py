"""RetinaNet on quads: nine anchors in each cell of five levels, one head for all of them, the focal loss.

Source: RetinaNet (arXiv:1708.02002), with glides and area ratio as GGHL writes quads; spec 12.5.
"""

import math

import torch
from torch import Tensor, nn

from cfg.schema import AssignConfig, LossConfig, RetinanetConfig
from dataloadR.assign.anchors import deltas_to_hboxes, hboxes_to_deltas, octave_sides
from dataloadR.assign.max_iou import Limits, anchor_targets
from modelR.detectors.anchored.coding import (
    SHAPE_CHANNELS,
    AnchorPrediction,
    Coding,
    anchor_candidates,
    split_anchors,
)
from modelR.detectors.anchored.loss import AnchorKind, AnchorLoss, learning_count
from modelR.detectors.gghl.decode import glide_values
from modelR.layers import scaled_channels
from modelR.method import Method
from modelR.necks.fpn import WIDTH, FpnNeck
from utils.quads.glides import NEARLY_HORIZONTAL

STRIDES = (8, 16, 32, 64, 128)
CLASS_PRIOR = 0.01  # score of every class at the start of training
TOWER = 4  # convolutions before the outputs
DELTAS = Coding(
    boxes=lambda raw, anchors, _: deltas_to_hboxes(raw, anchors),
    gaps=lambda raw, true, anchors, _: raw - hboxes_to_deltas(true, anchors),
    glides=glide_values,
    horizontal=NEARLY_HORIZONTAL,
)


def retinanet(
    config: RetinanetConfig,
    assign: AssignConfig,
    loss: LossConfig,
    strides: tuple[int, ...] | None,
    width: float = 1.0,
) -> Method:
    """Return the method, on five levels unless told otherwise.

    `width`: multiplies the channels of the pyramid, and with them those of the head.
    """
    strides = strides or STRIDES
    sides = [octave_sides(stride, config.scale, config.octaves, config.aspects) for stride in strides]
    limits = Limits(config.positive_iou, config.negative_iou)
    gains = {name: getattr(config, name) for name in ("classes", "box", "glide", "ratio")}
    own = AnchorLoss(loss, AnchorKind(sides, DELTAS, gains, "focal", is_scaled=False))
    channels = scaled_channels(WIDTH, width)
    return Method(
        name="retinanet",
        strides=strides,
        terms=own.terms,
        head=lambda channels, classes, stride: RetinaHead(channels, classes, stride, len(sides[0])),
        targets=lambda objects, pyramid, _: anchor_targets(objects, pyramid, sides, limits, assign.min_side),
        count=learning_count,
        loss=own,
        candidates=lambda found, settings: anchor_candidates(found, sides, DELTAS, settings, config.top_k),
        neck=lambda inputs, levels, dropblock: FpnNeck(inputs, levels, dropblock, channels),
        shared=("classes", "shapes"),
    )


class RetinaHead(nn.Module):
    """Maps the features of any level (B, C, H, W) to what its anchors predict, by two towers."""

    def __init__(self, channels: int, num_classes: int, stride: int, anchors: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"RetinaHead: expected at least one class, got {num_classes}")
        self.stride, self.anchors = stride, anchors
        self.classes = tower(channels, anchors * num_classes, -math.log((1 - CLASS_PRIOR) / CLASS_PRIOR))
        self.shapes = tower(channels, anchors * sum(SHAPE_CHANNELS), 0.0)

    def forward(self, features: Tensor) -> AnchorPrediction:
        return split_anchors(self.shapes(features), self.anchors, self.stride, self.classes(features))


def tower(channels: int, outputs: int, start: float) -> nn.Sequential:
    """Return four 3x3 convolutions with ReLU, and a last one whose outputs start near `start`.

    Without norms the signal would fade in the deviation of 0.01 of the paper, which trains for long from
    weights of ImageNet; so the first four keep its size.
    """
    layers: list[nn.Module] = []
    for _ in range(TOWER):
        conv = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        _start_bias(conv, 0.0)
        layers += [conv, nn.ReLU(inplace=True)]
    output = nn.Conv2d(channels, outputs, 3, padding=1)
    nn.init.normal_(output.weight, std=0.01)
    _start_bias(output, start)
    return nn.Sequential(*layers, output)


@torch.no_grad()
def _start_bias(conv: nn.Conv2d, value: float) -> None:
    assert conv.bias is not None
    conv.bias.fill_(value)
