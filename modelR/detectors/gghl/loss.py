"""Joint loss (JOL) of location and class (spec 4, with the decisions of docs/decisions.md).

Regression and class terms live on positive cells only; objectness lives on every cell that is not ignored.
One normaliser serves all levels: the sum of the objectness targets of the global batch.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfg.schema import LossConfig
from modelR.detectors.gghl.choices import (
    Gaps,
    Harmony,
    Logits,
    class_errors,
    gap_errors,
    logit_errors,
    objectness_sums,
    quads_of,
)
from modelR.detectors.gghl.decode import decode_level
from modelR.losses.location import quad_error
from modelR.losses.quad_iou import differentiable_iou
from modelR.losses.quality import OF_QUALITY
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
    scale: Tensor  # of A and of the distances: small boxes count up to twice
    gaps: Gaps


def term_names(config: LossConfig) -> tuple[str, ...]:
    """Return the names of the terms: another location has its own, in the place of `iou` or behind it."""
    if config.location == "jol":
        return TERMS
    chosen = ("iou", config.location) if config.location_beside_jol else (config.location,)
    place = TERMS.index("iou")
    return (*TERMS[:place], *chosen, *TERMS[place + 1 :])


def positive_count(targets: Sequence[LevelTargets]) -> Tensor:
    """Return the sum of the objectness targets of all levels: the normaliser before its floor of 1."""
    return torch.stack([level.objectness.sum() for level in targets]).sum()


class JointLoss(nn.Module):
    """Joint loss of predictions and targets; it holds no weights, and a state only with GHM."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config
        self.gains = config.gains
        self.terms = term_names(config)
        self.class_soft = CLASS_SOFT + config.label_smoothing
        self.harmony = Harmony(config)
        self.quad_error = (
            None if config.location == "jol" else quad_error(config.location, config.kld_direction)
        )

    def forward(
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
            every = list(zip(predictions, targets, rows, strict=True))
            if self.harmony.densities:
                self.harmony.look([_asked(*level) for level in every], positive_count(targets))
            levels = [self._level(*level) for level in every]
        terms = torch.stack(levels).sum(dim=0) / normalizer
        return dict(zip(self.terms, terms.unbind(), strict=True))

    def histograms(self) -> dict[str, Tensor]:
        """Return the last histograms of gradients by name, with GHM."""
        return self.harmony.histograms()

    def _level(self, prediction: LevelPrediction, target: LevelTargets, rows: Tensor) -> Tensor:
        """Return the sums of a level, in the order of `terms`; `rows` are its positive cells."""
        gain = self.gains
        decoded = decode_level(prediction)
        location = _location_errors(decoded, target, rows)
        boxes, location = self._boxes(decoded, target, rows, location)
        if self.config.classification == "jol":
            foreground, background = _objectness_sums(prediction, target, rows, location.quality.detach())
            positive, negative, class_score = _class_terms(
                prediction, target, rows, location.quality, self.class_soft
            )
        else:
            foreground, background, positive, negative, class_score = self._judged(
                prediction, target, rows, decoded
            )
        weight = at(target.objectness, rows) * at(target.mix_weight, rows) * at(target.area_weight, rows)
        omega = weight * (class_score.detach() + at(target.heat, rows)) / 2
        glide, ratio, distance = self._regressed(location)
        sums = [
            gain.objectness * foreground,
            gain.objectness * background,
            gain.classes * (positive * weight).sum(),
            gain.classes * (negative * weight).sum(),
            *(gain.iou * (error * omega).sum() for error in boxes),
            gain.glide * (glide * omega).sum(),
            gain.ratio * (ratio * omega).sum(),
            gain.distance * (distance * omega).sum(),
        ]
        return torch.stack(sums)

    def _boxes(
        self, decoded: DecodedLevel, target: LevelTargets, rows: Tensor, location: _Location
    ) -> tuple[list[Tensor], _Location]:
        """Return the errors of the boxes that count, (P,) each, and the location with their quality."""
        if self.quad_error is None:
            return [location.box], location
        pairs = quad_pairs(decoded, target, rows)
        error = location.scale * self.quad_error(*pairs, target.stride).to(location.scale.dtype)
        boxes = [location.box, error] if self.config.location_beside_jol else [error]
        total = torch.stack(boxes).sum(dim=0) + location.glide + location.ratio
        return boxes, location._replace(quality=torch.exp(-total))

    def _judged(
        self, prediction: LevelPrediction, target: LevelTargets, rows: Tensor, decoded: DecodedLevel
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return foreground, background, both errors of the classes and the score, without JOL."""
        of_objects, of_classes = logit_errors(self.config, self.harmony)
        quality = None
        if self.config.classification in OF_QUALITY:
            with torch.no_grad():
                quality = differentiable_iou(*quad_pairs(decoded, target, rows)).to(target.heat.dtype)
        logits = _logits(prediction, target, rows)
        sums = objectness_sums(logits, target.mix_weight, rows, of_objects, quality)
        return *sums, *class_errors(logits, of_classes, quality, self.config.label_smoothing)

    def _regressed(self, location: _Location) -> tuple[Tensor, Tensor, Tensor]:
        """Return the errors of glides, area ratio and distances, (P,) each."""
        if self.config.regression == "jol":
            return location.glide, location.ratio, location.distance
        of_glides, of_ratio, of_distances = gap_errors(self.config, self.harmony)
        gaps = location.gaps
        distance = location.scale * of_distances(gaps.distances).sum(dim=-1)
        return of_glides(gaps.glides).sum(dim=-1), of_ratio(gaps.ratio), distance


def at(cells: Tensor, rows: Tensor) -> Tensor:
    """Return the chosen cells of a (B, H, W, ...) map, (P, ...)."""
    return cells.flatten(0, 2)[rows]


def _logits(prediction: LevelPrediction, target: LevelTargets, rows: Tensor) -> Logits:
    """Return the logits of a level, in the type of its targets."""
    objectness = prediction.objectness_logit.to(target.objectness.dtype)
    classes = at(prediction.class_logits, rows).to(target.heat.dtype)
    return Logits(objectness, target.objectness, target.ignore, classes, at(target.labels, rows))


@torch.no_grad()
def _asked(prediction: LevelPrediction, target: LevelTargets, rows: Tensor) -> tuple[Logits, Gaps]:
    """Return what the histograms of a level are made of."""
    gaps = _location_errors(decode_level(prediction), target, rows).gaps
    return _logits(prediction, target, rows), gaps


def quad_pairs(decoded: DecodedLevel, target: LevelTargets, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return predicted and true quads of positive cells, (P, 4, 2) px float64."""
    is_horizontal = at(target.area_ratio, rows) > NEARLY_HORIZONTAL
    found, true = (
        quads_of(at(side.hboxes, rows), at(side.glides, rows), is_horizontal) for side in (decoded, target)
    )
    return found, true


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
    glide_gaps, ratio_gap = glides - at(target.glides, rows), found_ratio - ratio
    glide, ratio_error = glide_gaps.square().sum(dim=-1), ratio_gap.square()
    dists = at(decoded.edge_dists, rows) / target.stride, at(target.edge_dists, rows) / target.stride
    distance = scale * F.smooth_l1_loss(*dists, reduction="none").sum(dim=-1)
    quality = torch.exp(-(box + glide + ratio_error))
    gaps = Gaps(glide_gaps, ratio_gap, dists[0] - dists[1])
    return _Location(box, glide, ratio_error, distance, quality, scale, gaps)


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


def sum_of_levels(level: Callable[..., Tensor], predictions: Sequence[Any], targets: Sequence[Any]) -> Tensor:
    """Return the sum over all levels of what `level` returns (T,), computed without autocast.

    `level` gets a prediction, its target and the flat indices (P,) of the cells with an owner.
    """
    with torch.autocast(targets[0].heat.device.type, enabled=False):
        rows = rows_where([target.owner.flatten() >= 0 for target in targets])
        levels = [level(*one) for one in zip(predictions, targets, rows, strict=True)]
    return torch.stack(levels).sum(dim=0)
