"""Horizontal GGHL: boxes along the axes of the image, for labels that have no direction.

Against GGHL: the head writes edge distances, objectness and classes alone, the Gaussian lies along the axes,
and the joint loss has no terms of glides and area ratio, but a plain one of the classes.  Predictions are the
quads of horizontal boxes, scored by task 2.  Source: spec 10.5.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfg.schema import AssignConfig, LossConfig
from dataloadR.assign.engine import build_targets
from dataloadR.assign.horizontal import horizontal_rule, upright_objects
from dataloadR.assign.shapes import Pyramid
from modelR.detectors.gghl.detector import STRIDES, candidates
from modelR.detectors.gghl.head import OrcHead
from modelR.detectors.gghl.loss import CLASS_SOFT, JointLoss, at, positive_count
from modelR.method import Method
from utils.records import LevelPrediction, LevelTargets, Objects
from utils.selection import rows_where

UPRIGHT = 10.0  # logit of an area ratio of 1: the quad is its box
WITHOUT = ("glide", "ratio")  # terms of JOL that horizontal boxes have no use for


def gghl_hbb(assign: AssignConfig, loss: LossConfig, strides: tuple[int, ...] | None) -> Method:
    """Return the method, on three levels unless told otherwise."""
    rule, own = horizontal_rule(assign), BoxLoss(loss)

    def targets(objects: Objects, pyramid: Pyramid, _: object) -> list[LevelTargets]:
        return build_targets(upright_objects(objects), pyramid, rule)

    return Method(
        name="gghl_hbb",
        strides=strides or STRIDES,
        terms=own.terms,
        head=BoxHead,
        targets=targets,
        count=positive_count,
        loss=own,
        candidates=candidates,
        is_horizontal=True,
    )


class BoxHead(OrcHead):
    """Maps the features of one level to a raw `LevelPrediction` without glides, whose area ratio is 1."""

    channels = (4, 1)  # edges, objectness

    def forward(self, features: Tensor) -> LevelPrediction:
        location: Tensor = self.location(features).permute(0, 2, 3, 1)
        class_logits: Tensor = self.classes(features).permute(0, 2, 3, 1)
        edges, objectness = torch.split(location, list(self.channels), dim=-1)
        ratio = torch.full_like(objectness, UPRIGHT)
        return LevelPrediction(
            edges,
            torch.zeros_like(edges),
            ratio.squeeze(-1),
            objectness.squeeze(-1),
            class_logits,
            self.stride,
        )


class BoxLoss(nn.Module):
    """JOL of boxes, and the binary cross-entropy of all classes on positive cells."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.joint = JointLoss(config)
        self.terms = (*(term for term in self.joint.terms if term not in WITHOUT), "classes")
        self.gain = config.gains.classes
        self.soft = CLASS_SOFT + config.label_smoothing

    def histograms(self) -> dict[str, Tensor]:
        """Return the last histograms of gradients by name, with GHM."""
        return self.joint.histograms()

    def forward(
        self, predictions: Sequence[LevelPrediction], targets: Sequence[LevelTargets], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the terms by name; `normalizer` as for `JointLoss`."""
        terms: dict[str, Tensor] = self.joint(predictions, targets, normalizer)
        rows = rows_where([target.owner.flatten() >= 0 for target in targets])
        errors = [self._classes(*level) for level in zip(predictions, targets, rows, strict=True)]
        kept = {name: value for name, value in terms.items() if name not in WITHOUT}
        return kept | {"classes": self.gain * torch.stack(errors).sum() / normalizer}

    def _classes(self, prediction: LevelPrediction, target: LevelTargets, rows: Tensor) -> Tensor:
        weight = at(target.objectness, rows) * at(target.mix_weight, rows) * at(target.area_weight, rows)
        logits = at(prediction.class_logits, rows).to(weight.dtype)
        true = F.one_hot(at(target.labels, rows), logits.shape[-1]).to(weight.dtype)
        soft = (1 - self.soft) * true + self.soft / logits.shape[-1]
        errors = F.binary_cross_entropy_with_logits(logits, soft, reduction="none").sum(dim=-1)
        return (errors * weight).sum()
