"""From raw logits to pixels and probabilities (spec 3.2)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.records import DecodedLevel, LevelPrediction

MAX_EDGE_DIST = 4096.0  # px; beyond it exp() only threatens to overflow
MIN_GLIDE_SIGMOID = 0.01  # sigmoids at and below it mean a glide of exactly 0
HORIZONTAL_RATIO = 0.9  # area ratios above it make the quad its horizontal box


def decode_level(prediction: LevelPrediction) -> DecodedLevel:
    """Return distances and boxes in pixels, the rest in [0, 1], all float32; glides are not masked.

    Source: spec 3.2.
    """
    stride = prediction.stride
    edge_logits = prediction.edge_logits.float().clamp(max=math.log(MAX_EDGE_DIST / stride))
    edge_dists = edge_logits.exp() * stride
    glide_sigmoids = prediction.glide_logits.float().sigmoid().clamp(min=MIN_GLIDE_SIGMOID)
    return DecodedLevel(
        edge_dists=edge_dists,
        hboxes=edge_dists_to_hboxes(edge_dists, stride),
        glides=(glide_sigmoids - MIN_GLIDE_SIGMOID) / (1.0 - MIN_GLIDE_SIGMOID),
        area_ratio=F.hardsigmoid(prediction.ratio_logit.float()),
        objectness=prediction.objectness_logit.float().sigmoid(),
        class_scores=prediction.class_logits.float().sigmoid(),
    )


def edge_dists_to_hboxes(edge_dists: Tensor, stride: int) -> Tensor:
    """Return the boxes that lie `edge_dists` (B, H, W, 4) pixels around the centres of their cells."""
    _, height, width, _ = edge_dists.shape
    columns = torch.arange(width, device=edge_dists.device)
    rows = torch.arange(height, device=edge_dists.device)
    x = (columns + 0.5) * stride
    y = ((rows + 0.5) * stride).unsqueeze(-1)
    top, right, bottom, left = edge_dists.unbind(-1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=-1)


def mask_glides(glides: Tensor, area_ratio: Tensor) -> Tensor:
    """Return `glides` (..., 4), zero where `area_ratio` (...) says that the quad is its horizontal box."""
    return glides.masked_fill((area_ratio > HORIZONTAL_RATIO).unsqueeze(-1), 0.0)
