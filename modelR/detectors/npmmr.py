"""NPMMR-Det: two tasks that look beside their cells, all else as GGHL (spec 5.11).

Source: Huang et al., "A Novel Nonlocal-Aware Pyramid and Multiscale Multitask Refinement Detector for Object
Detection in Remote Sensing Images", TGRS 2021.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from torchvision.ops import DeformConv2d

from cfg.schema import AssignConfig, LossConfig
from modelR.deformable import SHIFTS, deform, zeroed
from modelR.detectors.gghl.detector import STRIDES, gghl
from modelR.detectors.gghl.head import last_of, start_outputs
from modelR.detectors.lo_det import check_three_levels
from modelR.method import Method
from modelR.necks.msr import MsrNeck
from utils.records import LevelPrediction

SHAPE_CHANNELS = (4, 4)  # edges, glides


def npmmr(
    assign: AssignConfig, loss: LossConfig, strides: tuple[int, ...] | None, micro_batches: int = 1
) -> Method:
    """Return the method; all is as for `gghl`.

    Raises:
        UserError: strides other than its three.
    """
    check_three_levels("npmmr", strides)
    own = gghl(assign, loss, STRIDES, micro_batches)
    return replace(own, name="npmmr", head=RefinedHead, neck=MsrNeck)


class RefinedHead(nn.Module):
    """Maps the features of one level (B, C, H, W) to its raw `LevelPrediction` (MTR).

    Edges and glides on one side, classes on the other are read beside their cell, both at the same places;
    area ratio and objectness are read at the cell.
    """

    def __init__(self, channels: int, num_classes: int, stride: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"RefinedHead: expected at least one class, got {num_classes}")
        self.stride = stride
        self.shifts = zeroed(nn.Conv2d(channels, sum(SHIFTS), 1))
        self.at_cell = nn.Conv2d(channels, 2, 1)  # area ratio, objectness
        self.shape_conv, self.class_conv = (DeformConv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.shape = refined(channels, nn.Conv2d(channels, sum(SHAPE_CHANNELS), 1))
        self.classes = refined(channels, nn.Conv2d(channels, num_classes, 1))
        start_outputs([self.at_cell, last_of(self.shape), last_of(self.classes)], num_classes)

    def forward(self, features: Tensor) -> LevelPrediction:
        shifts = self.shifts(features)
        shape = self.shape(deform(self.shape_conv, features, shifts)).permute(0, 2, 3, 1)
        classes = self.classes(deform(self.class_conv, features, shifts)).permute(0, 2, 3, 1)
        edges, glides = torch.split(shape, list(SHAPE_CHANNELS), dim=-1)
        ratio, objectness = self.at_cell(features).unbind(dim=1)
        return LevelPrediction(edges, glides, ratio, objectness, classes, self.stride)


def refined(channels: int, output: nn.Conv2d) -> nn.Sequential:
    """Return what follows a deformable convolution: batch norm, LeakyReLU(0.01) and the output."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.LeakyReLU(0.01, inplace=True), output)
