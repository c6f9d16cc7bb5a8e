"""The losses of the detectors of tiny objects: classes on all cells, location on those of objects.

The classes are divided by the positive cells of the global batch, all else by the sum of their weights.
Source: spec 10.7, 10.8.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cfg.schema import TinyConfig
from dataloadR.assign.ga import HeatTargets
from modelR.detectors.centernet_r.head import smooth_l1
from modelR.detectors.centernet_r.loss import BETA
from modelR.detectors.gghl.loss import at, quad_pairs, sum_of_levels
from modelR.detectors.tiny.head import BoxCoding, TinyPrediction, decode_tiny
from modelR.losses.quad_iou import differentiable_giou, differentiable_iou
from modelR.losses.quality import focal_error
from utils.hboxes import aligned_giou, aligned_iou
from utils.records import DecodedLevel, LevelTargets

Error = Callable[[Tensor, Tensor], Tensor]  # logits, targets -> errors


class Form(NamedTuple):
    """What one detector of tiny objects does differently from another."""

    coding: BoxCoding
    horizontal: bool  # boxes instead of quads
    class_error: Callable[[Tensor, HeatTargets], Tensor]  # logits (B, H, W, C) -> errors of their shape
    weight: Callable[[LevelTargets], Tensor]  # (B, H, W) how much the location of a positive cell counts
    quality_error: Error | None  # of the logit of the IoU; None: no branch

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses."""
        shape = () if self.horizontal else ("glide", "ratio")
        return ("classes", "box", *shape, *(("quality",) if self.quality_error else ()))


class TinyLoss:
    """Compares predictions with targets; it holds no weights, only the gains of its terms."""

    def __init__(self, config: TinyConfig, form: Form) -> None:
        self.gains, self.form = config, form

    def count(self, targets: Sequence[HeatTargets]) -> Tensor:
        """Return the number of positive cells and the sum of their weights, (2,)."""
        owned = [level.owner >= 0 for level in targets]
        weights = [self.form.weight(level.cells) * own for level, own in zip(targets, owned, strict=True)]
        sums = [[field.sum().float() for field in fields] for fields in (owned, weights)]
        return torch.stack([torch.stack(own).sum() for own in sums])

    def __call__(
        self, predictions: Sequence[TinyPrediction], targets: Sequence[HeatTargets], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the terms by name, gains and normalisers included, in float32 or better.

        `normalizer`: (2,) of positive cells and of weights, as `count` has them.
        """
        terms = self.form.terms
        cells, weights = normalizer.unbind()
        divisor = torch.stack([cells, *[weights] * (len(terms) - 1)])
        sums = sum_of_levels(self._level, predictions, targets) / divisor
        return dict(zip(terms, sums.unbind(), strict=True))

    def _level(self, prediction: TinyPrediction, target: HeatTargets, rows: Tensor) -> Tensor:
        """Return the sums of a level in the order of the terms; `rows` are its positive cells."""
        decoded, cells = decode_tiny(prediction, self.form.coding), target.cells
        weight = at(self.form.weight(cells) * cells.mix_weight, rows)
        class_logits = prediction.class_logits.to(weight.dtype)
        errors = {"classes": self.form.class_error(class_logits, target)}
        box, overlap = self._boxes(decoded, cells, rows)
        errors["box"] = box * weight
        if not self.form.horizontal:
            ratio, true_ratio = (at(side.area_ratio, rows).unsqueeze(-1) for side in (decoded, cells))
            errors |= {
                "glide": smooth_l1(at(decoded.glides, rows), at(cells.glides, rows), BETA) * weight,
                "ratio": smooth_l1(ratio, true_ratio, BETA) * weight,
            }
        if self.form.quality_error:
            logits = at(prediction.quality_logit, rows).to(weight.dtype)
            errors["quality"] = self.form.quality_error(logits, overlap) * weight
        return torch.stack([getattr(self.gains, name) * errors[name].sum() for name in self.form.terms])

    def _boxes(self, decoded: DecodedLevel, cells: LevelTargets, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return 1 - GIoU of positive cells and their IoU, (P,) each, the latter without a gradient."""
        if self.form.horizontal:
            pair = at(decoded.hboxes, rows), at(cells.hboxes, rows)
            return 1 - aligned_giou(*pair), aligned_iou(*pair).detach()
        found, true = quad_pairs(decoded, cells, rows)
        with torch.no_grad():
            overlap = differentiable_iou(found, true)
        error, dtype = 1 - differentiable_giou(found, true), cells.heat.dtype
        return error.to(dtype), overlap.to(dtype)


def true_classes(target: HeatTargets, classes: int) -> Tensor:
    """Return which class the owner of a cell has, (B, H, W, C) bool, none without an owner."""
    number = torch.arange(classes, device=target.owner.device)
    return (target.labels.unsqueeze(-1) == number) & (target.owner >= 0).unsqueeze(-1)


def spread_focal(logits: Tensor, target: HeatTargets) -> Tensor:
    """Return the focal errors of TTFNet with Gaussian assignment, (B, H, W, C).

    All positive cells count as centres do elsewhere, each for the class of its owner alone: what heat other
    classes have there belongs to objects that lost the cell, and says nothing.
    """
    found = logits.sigmoid()
    positive = (1 - found).square() * F.softplus(-logits) * target.cells.mix_weight.unsqueeze(-1)
    other = (1 - target.class_heat) ** 4 * found.square() * F.softplus(logits)
    background = ((target.owner < 0) & ~target.ignore).unsqueeze(-1)
    return torch.where(true_classes(target, logits.shape[-1]), positive, other * background)


def one_hot_focal(logits: Tensor, target: HeatTargets) -> Tensor:
    """Return the focal errors (B, H, W, C), whose targets are the classes of the owners and 0 elsewhere."""
    true = true_classes(target, logits.shape[-1]).to(logits.dtype)
    weight = target.cells.mix_weight * ~target.ignore
    return focal_error(logits, true) * weight.unsqueeze(-1)


def overlap_l1(logits: Tensor, overlap: Tensor) -> Tensor:
    """Return how far probabilities are from the IoU (P,)."""
    return (logits.sigmoid() - overlap).abs()
