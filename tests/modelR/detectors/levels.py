"""Predictions for tests, named from raw channels, and the golden map of spec 4.7."""

import torch

from utils.records import LevelPrediction


def split(raw: torch.Tensor, stride: int) -> LevelPrediction:
    """Name the channels of (B, H, W, 10 + C) in the order of spec 3.1."""
    edges, glides, ratio, objectness, classes = raw.split([4, 4, 1, 1, raw.shape[-1] - 10], dim=-1)
    return LevelPrediction(edges, glides, ratio.squeeze(-1), objectness.squeeze(-1), classes, stride)


def golden_level() -> LevelPrediction:
    """raw[b, ch, j, i] = 0.8 sin(0.7 b + 0.9 ch + 0.3 j + 0.5 i) of spec 4.7, 3 classes."""
    b, j, i, ch = torch.meshgrid(*(torch.arange(n).double() for n in (2, 32, 32, 13)), indexing="ij")
    return split(0.8 * torch.sin(0.7 * b + 0.9 * ch + 0.3 * j + 0.5 * i), 8)
