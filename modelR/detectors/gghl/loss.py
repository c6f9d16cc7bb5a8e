"""Joint loss (JOL) of location and class (spec 4, with the decisions of docs/decisions.md).

Regression and class terms live on positive cells only; objectness lives on every cell that is not ignored.
One normaliser serves all levels: the sum of the objectness targets of the global batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from cfg.schema import LossConfig
from modelR.detectors.gghl.decode import decode_level
from utils.hboxes import aligned_giou
from utils.quads.glides import NEARLY_HORIZONTAL, mask_glides
from utils.records import DecodedLevel, LevelPrediction, LevelTargets
from utils.selection import rows_where

OBJECTNESS_SOFT = 0.005  # targets are 0.005 and 0.995 (spec 4.1)
CLASS_SOFT = 0.01  # targets are 0.99 y + 0.01 / C (spec 4.1), before any label smoothing
MIN_PROBABILITY = 1e-16  # the floor of P in logit(P) (spec 4.3)
MAX_PROBABILITY = 1 - 1e-6  # its ceiling: the gradient of the logit is infinite at 1


# Names of the terms, in their order; positive: the class of a cell, judged with its location; negative: the
# other classes.
TERMS = ("foreground", "background", "positive", "negative", "iou", "glide", "ratio", "distance")


class _Location(NamedTuple):
    """Errors of the positive cells, (P,) each (spec 4.2)."""

    box: Tensor  # A: scaled 1 - GIoU
    glide: Tensor  # B
    ratio: Tensor  # C
    distance: Tensor  # scaled smooth L1 of the edge distances, in strides
    quality: Tensor  # exp(-(A + B + C)) in (0, 1]


def positive_count(targets: Sequence[LevelTargets]) -> Tensor:
    """Return the sum of the objectness targets of all levels: the normaliser before its floor of 1."""
    return torch.stack([level.objectness.sum() for level in targets]).sum()


class JointLoss:
    """Joint loss of predictions and targets; it holds no weights, only the gains of its terms."""

    def __init__(self, config: LossConfig) -> None:
        self.gains = config.gains
        self.class_soft = CLASS_SOFT + config.label_smoothing

    def __call__(
        self,
        predictions: Sequence[LevelPrediction],
        targets: Sequence[LevelTargets],
        normalizer: Tensor,
    ) -> dict[str, Tensor]:
        """Return the terms by name, gains and normaliser included, in float32 or better, also under autocast.

        `normalizer`: max(positive cells of the global batch, 1) / world size.
        """
        device = predictions[0].objectness_logit.device
        with torch.autocast(device.type, enabled=False):
            rows = rows_where([target.owner.flatten() >= 0 for target in targets])
            levels = [self._level(*level) for level in zip(predictions, targets, rows, strict=True)]
        terms = torch.stack(levels).sum(dim=0) / normalizer
        return dict(zip(TERMS, terms.unbind(), strict=True))

    def _level(self, prediction: LevelPrediction, target: LevelTargets, rows: Tensor) -> Tensor:
        """Return the sums of a level, (8,), in the order of `TERMS`; `rows` are its positive cells."""
        gain = self.gains
        decoded = decode_level(prediction)
        location = _location_errors(decoded, target, rows)
        foreground, background = _objectness_sums(prediction, target, rows, location.quality.detach())
        weight = at(target.objectness, rows) * at(target.mix_weight, rows) * at(target.area_weight, rows)
        positive, negative, class_score = _class_terms(
            prediction, target, rows, location.quality, self.class_soft
        )
        omega = weight * (class_score.detach() + at(target.heat, rows)) / 2
        sums = [
            gain.objectness * foreground,
            gain.objectness * background,
            gain.classes * (positive * weight).sum(),
            gain.classes * (negative * weight).sum(),
            gain.iou * (location.box * omega).sum(),
            gain.glide * (location.glide * omega).sum(),
            gain.ratio * (location.ratio * omega).sum(),
            gain.distance * (location.distance * omega).sum(),
        ]
        return torch.stack(sums)


def at(cells: Tensor, rows: Tensor) -> Tensor:
    """Return the chosen cells of a (B, H, W, ...) map, (P, ...)."""
    return cells.flatten(0, 2)[rows]


def location_quality(prediction: LevelPrediction, target: LevelTargets, rows: Tensor) -> Tensor:
    """Return how well cells predict the location of their object, (P,) in [0, 1] (spec 4.2)."""
    return _location_errors(decode_level(prediction), target, rows).quality


def _location_errors(decoded: DecodedLevel, target: LevelTargets, rows: Tensor) -> _Location:
    hboxes, ratio = at(target.hboxes, rows), at(target.area_ratio, rows)
    (x_min, y_min, x_max, y_max), (_, height, width) = hboxes.unbind(-1), target.owner.shape
    area = height * width * target.stride**2
    scale = 2 - ((x_max - x_min) * (y_max - y_min) / area).clamp(max=1)
    box = scale * (1 - aligned_giou(at(decoded.hboxes, rows), hboxes))
    found_ratio = at(decoded.area_ratio, rows)
    glides = at(decoded.glides, rows)
    nearly_horizontal = (ratio > NEARLY_HORIZONTAL).unsqueeze(-1)
    glides = torch.where(nearly_horizontal, mask_glides(glides, found_ratio), glides)
    glide = (glides - at(target.glides, rows)).square().sum(dim=-1)
    ratio_error = (found_ratio - ratio).square()
    dists = at(decoded.edge_dists, rows) / target.stride, at(target.edge_dists, rows) / target.stride
    distance = scale * F.smooth_l1_loss(*dists, reduction="none").sum(dim=-1)
    return _Location(box, glide, ratio_error, distance, torch.exp(-(box + glide + ratio_error)))


def _objectness_sums(
    prediction: LevelPrediction, target: LevelTargets, rows: Tensor, quality: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the focal sums of foreground and background (spec 4.3); fuzzy cells belong to both."""
    mask = target.objectness
    soft = (1 - 2 * OBJECTNESS_SOFT) * mask + OBJECTNESS_SOFT
    logits = prediction.objectness_logit.to(mask.dtype)
    focal = F.binary_cross_entropy_with_logits(logits, soft, reduction="none")
    focal = focal * (soft - logits.sigmoid()).square() * target.mix_weight
    background = (focal * (1 - mask) * ~target.ignore).sum()
    credit = (at(target.heat, rows) + quality) / 2
    foreground = (at(focal, rows) * at(mask, rows) * credit).sum()
    return foreground, background


def _class_terms(
    prediction: LevelPrediction, target: LevelTargets, rows: Tensor, quality: Tensor, soft: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the positive term, the negative term and the score of the true class, (P,) each (spec 4.3).

    Targets are (1 - soft) y + soft / C.
    """
    logits = at(prediction.class_logits, rows).to(quality.dtype)
    labels = at(target.labels, rows).unsqueeze(-1)
    classes = logits.shape[-1]
    low = soft / classes
    high = 1 - soft + low
    score = logits.gather(-1, labels).squeeze(-1).sigmoid()
    joint = torch.logit((score * quality).clamp(MIN_PROBABILITY, MAX_PROBABILITY))
    positive = F.binary_cross_entropy_with_logits(joint, torch.full_like(joint, high), reduction="none")
    every = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, low), reduction="none")
    negative = every.sum(dim=-1) - every.gather(-1, labels).squeeze(-1)
    return positive, negative, score
