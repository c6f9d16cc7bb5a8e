"""Decoding of raw logits to pixels and probabilities (spec 3.2)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.records import DecodedLevel, LevelPrediction

MAX_EDGE_DIST = 4096.0  # px; beyond it exp() only threatens to overflow
MIN_GLIDE_SIGMOID = 0.01  # sigmoids at and below it mean a glide of exactly 0


def decode_level(prediction: LevelPrediction) -> DecodedLevel:
    """Return distances and boxes in pixels, the rest in [0, 1]; glides are not masked.

    Half precision becomes float32 before the exponential.

    Source: spec 3.2.
    """
    stride = prediction.stride
    edge_logits = at_least_float32(prediction.edge_logits).clamp(max=math.log(MAX_EDGE_DIST / stride))
    edge_dists = edge_logits.exp() * stride
    return DecodedLevel(
        edge_dists=edge_dists,
        hboxes=edge_dists_to_hboxes(edge_dists, stride),
        glides=glide_values(at_least_float32(prediction.glide_logits)),
        area_ratio=F.hardsigmoid(at_least_float32(prediction.ratio_logit)),
        objectness=at_least_float32(prediction.objectness_logit).sigmoid(),
        class_scores=at_least_float32(prediction.class_logits).sigmoid(),
    )


def glide_values(logits: Tensor) -> Tensor:
    """Return glides in [0, 1] of their logits: sigmoids, of which the lowest are exactly 0."""
    return (logits.sigmoid().clamp(min=MIN_GLIDE_SIGMOID) - MIN_GLIDE_SIGMOID) / (1.0 - MIN_GLIDE_SIGMOID)


def edge_dists_to_hboxes(edge_dists: Tensor, stride: int) -> Tensor:
    """Return the boxes that lie `edge_dists` (B, H, W, 4) pixels around the centres of their cells."""
    x, y = _cell_centers(edge_dists, stride)
    top, right, bottom, left = edge_dists.unbind(-1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=-1)


def hboxes_to_edge_dists(hboxes: Tensor, stride: int) -> Tensor:
    """Return how far the sides of boxes (B, H, W, 4) lie from the centres of their cells."""
    x, y = _cell_centers(hboxes, stride)
    x_min, y_min, x_max, y_max = hboxes.unbind(-1)
    return torch.stack([y - y_min, x_max - x, y_max - y, x - x_min], dim=-1)


def _cell_centers(cells: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return x (W,) and y (H, 1) px of the centres of the cells of a map (B, H, W, ...)."""
    _, height, width, _ = cells.shape
    columns = torch.arange(width, device=cells.device)
    rows = torch.arange(height, device=cells.device)
    return (columns + 0.5) * stride, ((rows + 0.5) * stride).unsqueeze(-1)


def at_least_float32(logits: Tensor) -> Tensor:
    """Return half precision as float32, all else as it is."""
    return logits if logits.dtype == torch.float64 else logits.float()
