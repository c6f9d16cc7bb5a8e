"""Losses of anchors: classes or objectness of all, the shape of those that learn an object (spec 12.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfg.schema import LossConfig
from dataloadR.assign.anchors import AnchorSides
from dataloadR.assign.max_iou import AnchorTargets
from modelR.detectors.anchored.coding import AnchorPrediction, Coding, DecodedAnchors, anchors_of
from modelR.detectors.gghl.choices import quads_of
from modelR.losses.ghm import classification_norms, regression_norms
from modelR.losses.harmony import GapError, Harmonies, Norms
from modelR.losses.location import quad_error
from modelR.losses.quad_iou import differentiable_iou
from modelR.losses.quality import OF_QUALITY, Classification, LogitError, balanced_l1, logit_error
from utils.selection import rows_where

BETA = 1 / 9  # of the smooth L1, where it goes from a square to a line
GAPS = ("glide", "ratio", "box")  # histograms of GHM-R, in the order of `loss.ghm_mu`


@dataclass(frozen=True)
class AnchorKind:
    """What the losses of one detector differ in from those of another."""

    sides: Sequence[AnchorSides]  # px of the anchors of a cell of each level
    coding: Coding
    gains: Mapping[str, float]  # of each term
    classification: Classification  # where `loss.classification` names no other
    is_scaled: bool  # whether small boxes count up to twice

    @property
    def has_objectness(self) -> bool:
        """Whether anchors say if there is an object: only those that learn one judge its class then."""
        return "foreground" in self.gains


class _Learning(NamedTuple):
    """The P anchors of a level that learn an object: what they predict and what is true."""

    rows: Tensor  # (P,) among all anchors of the level
    labels: Tensor  # (P,) int64
    mix: Tensor  # (P,) weight of their objects
    scale: Tensor  # (P,) weight of the box
    found: DecodedAnchors
    hboxes: Tensor  # (P, 4) px, true
    glides: Tensor  # (P, 4)
    is_horizontal: Tensor  # (P,) bool
    gaps: dict[str, Tensor]  # (P, n) each: what is predicted less what is true

    @property
    def quads(self) -> tuple[Tensor, Tensor]:
        """Predicted and true quads (P, 4, 2) px float64."""
        found = quads_of(self.found.hboxes, self.found.glides, self.is_horizontal)
        return found, quads_of(self.hboxes, self.glides, self.is_horizontal)


def learning_count(targets: Sequence[AnchorTargets]) -> Tensor:
    """Return the number of anchors of all levels that learn an object."""
    return torch.stack([(level.anchor_owner >= 0).sum() for level in targets]).sum().float()


class AnchorLoss(nn.Module):
    """Compares predictions with targets; it holds no weights, and a state only with GHM."""

    def __init__(self, config: LossConfig, kind: AnchorKind) -> None:
        super().__init__()
        self.config, self.kind = config, kind
        logits = ("objectness", "classes") if kind.has_objectness else ("classes",)
        self.harmony = Harmonies(config, logits, dict(zip(GAPS, config.ghm_mu, strict=True)))
        self.quad_error = (
            None if config.location == "jol" else quad_error(config.location, config.kld_direction)
        )
        self.terms = tuple(name for own in kind.gains for name in self._names(own))

    def _names(self, term: str) -> tuple[str, ...]:
        """Return the names of a term: another location has its own, in the place of `box` or behind it."""
        if term != "box" or self.quad_error is None:
            return (term,)
        return ("box", self.config.location) if self.config.location_beside_jol else (self.config.location,)

    def histograms(self) -> dict[str, Tensor]:
        """Return the last histograms of gradients by name, with GHM."""
        return self.harmony.histograms()

    def forward(
        self, predictions: Sequence[AnchorPrediction], targets: Sequence[AnchorTargets], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the terms by name, gains and normaliser included, in float32 or better."""
        with torch.autocast(targets[0].heat.device.type, enabled=False):
            rows = rows_where([target.anchor_owner.flatten() >= 0 for target in targets])
            every = list(zip(predictions, targets, self.kind.sides, rows, strict=True))
            known = [(p, t, self._learning(p, t, sides, own)) for p, t, sides, own in every]
            if self.harmony.densities:
                self.harmony.take([self._norms(*level) for level in known], learning_count(targets))
            levels = [self._level(*level) for level in known]
        terms = torch.stack(levels).sum(dim=0) / normalizer
        return dict(zip(self.terms, terms.unbind(), strict=True))

    def _learning(
        self, prediction: AnchorPrediction, target: AnchorTargets, sides: AnchorSides, rows: Tensor
    ) -> _Learning:
        truth, coding, level = target.truth, self.kind.coding, prediction.level
        owner = target.anchor_owner.flatten()[rows]
        hboxes, ratio = truth.hboxes[owner], truth.area_ratio[owner]
        cells = anchors_of(level, sides, hboxes).flatten(0, 2)
        anchors = cells[rows % len(cells)]
        box, glide_logits, ratio_logit = (
            field.flatten(0, 3)[rows].to(hboxes.dtype)
            for field in (prediction.box, prediction.glide_logits, prediction.ratio_logit)
        )
        found = coding.decoded(box, glide_logits, ratio_logit, anchors, target.stride)
        is_horizontal = ratio > coding.horizontal
        glides = coding.mask(truth.glides[owner], ratio)
        masked = torch.where(
            is_horizontal.unsqueeze(-1), coding.mask(found.glides, found.area_ratio), found.glides
        )
        gaps = {
            "box": coding.gaps(box, hboxes, anchors, target.stride),
            "glide": masked - glides,
            "ratio": (found.area_ratio - ratio).unsqueeze(-1),
        }
        area = level.rows * level.columns * target.stride**2
        share = (hboxes.narrow(-1, 2, 2) - hboxes.narrow(-1, 0, 2)).prod(dim=-1) / area
        scale = 2 - share.clamp(max=1) if self.kind.is_scaled else torch.ones_like(share)
        labels, mix = truth.labels[owner], truth.mix_weight[owner]
        return _Learning(rows, labels, mix, scale, found, hboxes, glides, is_horizontal, gaps)

    def _level(self, prediction: AnchorPrediction, target: AnchorTargets, own: _Learning) -> Tensor:
        """Return the sums of a level, in the order of `terms`."""
        sums = self._judged(prediction, target, own)
        for name in GAPS:
            error = self._gap_error(name)(own.gaps[name]).sum(dim=-1)
            sums[name] = (error * own.mix * (own.scale if name == "box" else 1.0)).sum()
        if self.quad_error is not None:
            error = self.quad_error(*own.quads, target.stride).to(own.mix.dtype)
            sums[self.config.location] = (error * own.mix * own.scale).sum()
        gains = {**self.kind.gains, self.config.location: self.kind.gains["box"]}
        return torch.stack([gains[name] * sums[name] for name in self.terms])

    def _judged(
        self, prediction: AnchorPrediction, target: AnchorTargets, own: _Learning
    ) -> dict[str, Tensor]:
        """Return the sums of the classes, and of the objectness where there is one."""
        value = torch.ones_like(own.mix)
        if self.config.classification in OF_QUALITY:
            with torch.no_grad():
                value = differentiable_iou(*own.quads).to(value.dtype)
        classes, wanted = _class_logits(prediction, own, value, self.kind.has_objectness)
        errors = self._logit_error("classes")(classes, wanted)
        if prediction.objectness_logit is None:
            weight = (~target.anchor_ignore.flatten()).to(value.dtype).index_put((own.rows,), own.mix)
            return {"classes": (errors.sum(dim=-1) * weight).sum()}
        logits = prediction.objectness_logit.flatten().to(value.dtype)
        mask = torch.zeros_like(logits).index_put((own.rows,), torch.ones_like(value))
        wanted = torch.zeros_like(logits).index_put((own.rows,), value)
        present = self._logit_error("objectness")(logits, wanted)
        return {
            "foreground": (present[own.rows] * own.mix).sum(),
            "background": (present * (1 - mask) * ~target.anchor_ignore.flatten()).sum(),
            "classes": (errors.sum(dim=-1) * own.mix).sum(),
        }

    def _logit_error(self, name: str) -> LogitError:
        match self.config.classification:
            case "jol":
                return logit_error(self.kind.classification)
            case "ghm":
                return self.harmony.logit_error(name)
            case chosen:
                return logit_error(chosen)

    def _gap_error(self, name: str) -> GapError:
        match self.config.regression:
            case "jol":
                return smooth_l1_error
            case "balanced_l1":
                return balanced_l1
            case "ghm":
                return self.harmony.gap_error(name)

    @torch.no_grad()
    def _norms(self, prediction: AnchorPrediction, target: AnchorTargets, own: _Learning) -> Norms:
        """Return the gradient norms of a level by histogram, and which of them count; None: all."""
        norms: dict[str, tuple[Tensor, Tensor | None]] = {
            name: (regression_norms(own.gaps[name], self.harmony.mu[name]), None) for name in GAPS
        }
        counted = ~target.anchor_ignore.flatten()
        one = torch.ones_like(own.mix)
        classes, wanted = _class_logits(prediction, own, one, self.kind.has_objectness)
        valid = None if self.kind.has_objectness else counted.unsqueeze(-1).expand(classes.shape)
        norms["classes"] = classification_norms(classes, wanted), valid
        if prediction.objectness_logit is not None:
            logits = prediction.objectness_logit.flatten().to(one.dtype)
            wanted = torch.zeros_like(logits).index_put((own.rows,), one)
            norms["objectness"] = classification_norms(logits, wanted), counted
        return norms


def smooth_l1_error(gaps: Tensor) -> Tensor:
    """Return the smooth L1 of differences with `BETA`."""
    return F.smooth_l1_loss(gaps, torch.zeros_like(gaps), reduction="none", beta=BETA)


def _class_logits(
    prediction: AnchorPrediction, own: _Learning, value: Tensor, is_of_learning: bool
) -> tuple[Tensor, Tensor]:
    """Return class logits and their targets (N, C): `value` (P,) at the true class of those that learn.

    N are the anchors that learn, or all.
    """
    logits = prediction.class_logits.flatten(0, 3)
    rows = own.rows
    if is_of_learning:
        logits, rows = logits[rows], torch.arange(len(rows), device=rows.device)
    logits = logits.to(value.dtype)
    return logits, torch.zeros_like(logits).index_put((rows, own.labels), value)
