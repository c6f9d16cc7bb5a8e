"""Outputs of the anchors of a level, and how they are read (spec 12.3)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cfg.schema import EvalConfig
from dataloadR.assign.anchors import AnchorSides, level_anchors
from dataloadR.assign.shapes import Level
from modelR.detectors.gghl.decode import at_least_float32
from modelR.detectors.gghl.detector import of_best_class
from utils.quads.glides import glides_to_quads, settle_glides
from utils.selection import on_device

SHAPE_CHANNELS = (4, 4, 1)  # box, glides, area ratio


class AnchorPrediction(NamedTuple):
    """Raw outputs of the anchors of one level, split by name."""

    box: Tensor  # (B, H, W, A, 4) x, y, width, height
    glide_logits: Tensor  # (B, H, W, A, 4) top, right, bottom, left
    ratio_logit: Tensor  # (B, H, W, A)
    objectness_logit: Tensor | None  # (B, H, W, A), where the detector has one
    class_logits: Tensor  # (B, H, W, A, C)
    stride: int  # pixels per cell

    @property
    def level(self) -> Level:
        """The maps that these are."""
        batch, rows, columns = self.ratio_logit.shape[:3]
        return Level(0, self.stride, batch, rows, columns)


class DecodedAnchors(NamedTuple):
    """Predictions of anchors in pixels and in [0, 1], float32 or better."""

    hboxes: Tensor  # (..., 4) pixels
    glides: Tensor  # (..., 4) not masked
    area_ratio: Tensor  # (...)


@dataclass(frozen=True)
class Coding:
    """How a detector writes boxes and glides; `stride` is that of the level."""

    boxes: Callable[[Tensor, Tensor, int], Tensor]  # raw (..., 4), anchors (..., 4), stride -> hboxes px
    gaps: Callable[[Tensor, Tensor, Tensor, int], Tensor]  # raw, true hboxes, anchors, stride -> (..., 4)
    glides: Callable[[Tensor], Tensor]  # logits -> [0, 1]
    horizontal: float  # area ratio above which glides are read as 0

    def mask(self, glides: Tensor, area_ratio: Tensor) -> Tensor:
        """Return the glides (..., 4) with zeros where the ratio (...) says horizontal."""
        return torch.where((area_ratio > self.horizontal).unsqueeze(-1), 0.0, glides)

    def decoded(
        self, box: Tensor, glide_logits: Tensor, ratio_logit: Tensor, anchors: Tensor, stride: int
    ) -> DecodedAnchors:
        """Return what raw outputs (..., 4), (..., 4), (...) of anchors (..., 4) mean."""
        hboxes = self.boxes(box, anchors, stride)
        return DecodedAnchors(hboxes, self.glides(glide_logits), F.hardsigmoid(ratio_logit))


def split_anchors(shapes: Tensor, anchors: int, stride: int, classes: Tensor) -> AnchorPrediction:
    """Return the outputs of a level by name.

    Args:
        shapes: (B, A * 9, H, W), or A * 10 with the objectness as the last of each anchor.
        anchors: A.
        stride: px per cell.
        classes: (B, A * C, H, W).
    """
    shapes, class_logits = (
        torch.unflatten(x.permute(0, 2, 3, 1), -1, (anchors, -1)) for x in (shapes, classes)
    )
    more = shapes.shape[-1] - sum(SHAPE_CHANNELS)
    box, glides, ratio, objectness = torch.split(shapes, [*SHAPE_CHANNELS, more], dim=-1)
    judged = objectness.squeeze(-1) if more else None
    return AnchorPrediction(box, glides, ratio.squeeze(-1), judged, class_logits, stride)


def anchors_of(level: Level, sides: AnchorSides, like: Tensor) -> Tensor:
    """Return the anchors (H, W, A, 4) px of one image, on the device of a tensor and in its type."""
    return level_anchors(level, on_device(sides, like, like.dtype))


def anchor_candidates(
    predictions: Sequence[AnchorPrediction],
    sides: Sequence[AnchorSides],
    coding: Coding,
    config: EvalConfig,
    top_k: int,
) -> tuple[Tensor, Tensor]:
    """Return the anchors of highest scores of each level: quads (B, K, 4, 2) px and scores (B, K, C).

    Score = objectness^(1 - w) * class score^w with w of `eval.class_weight`, without objectness the class
    score; of the best class of an anchor or of each (`eval.multi_label`).

    Args:
        predictions: of all levels.
        sides: px of the anchors of a cell of each level.
        coding: of the detector.
        config: thresholds.
        top_k: so many of a level at most.
    """
    levels = []
    for prediction, own in zip(predictions, sides, strict=True):
        scores = anchor_scores(prediction, config).flatten(1, 3)
        count = torch.sym_min(top_k, scores.shape[1])  # of an exported graph, whose maps may be of any size
        places = scores.amax(dim=-1).topk(count, dim=1).indices  # (B, K)
        quads = _quads_at(prediction, own, coding, config, places)
        levels.append((quads, scores.gather(1, places.unsqueeze(-1).expand(-1, -1, scores.shape[-1]))))
    quads, scores = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
    return quads, scores


def anchor_scores(prediction: AnchorPrediction, config: EvalConfig) -> Tensor:
    """Return the scores (B, H, W, A, C) of a level."""
    scores = class_scores = at_least_float32(prediction.class_logits).sigmoid()
    if prediction.objectness_logit is not None:
        objectness = at_least_float32(prediction.objectness_logit).sigmoid().unsqueeze(-1)
        scores = objectness ** (1 - config.class_weight) * class_scores**config.class_weight
    return scores if config.multi_label else of_best_class(scores, class_scores)


def _quads_at(
    prediction: AnchorPrediction, sides: AnchorSides, coding: Coding, config: EvalConfig, places: Tensor
) -> Tensor:
    """Return the quads (B, K, 4, 2) of the anchors at these places (B, K) of their image."""
    images = torch.arange(places.shape[0], device=places.device).unsqueeze(-1)
    box, glide_logits, ratio_logit = (
        at_least_float32(field.flatten(1, 3)[images, places])
        for field in (prediction.box, prediction.glide_logits, prediction.ratio_logit)
    )
    anchors = anchors_of(prediction.level, sides, box).flatten(0, 2)[places]
    found = coding.decoded(box, glide_logits, ratio_logit, anchors, prediction.stride)
    glides = coding.mask(found.glides, found.area_ratio)
    if config.ratio_check:
        glides = settle_glides(glides, found.area_ratio)
    return glides_to_quads(found.hboxes, glides)
