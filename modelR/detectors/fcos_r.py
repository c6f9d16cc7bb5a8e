"""FCOS-R: cells inside an object learn it, and say how central they lie.

Against GGHL: centre sampling in place of the Gaussian, one level for each object, and centre-ness (FCOS,
arXiv:1904.01355) in place of the heat.  With `horizontal` it learns and predicts boxes, by the head and the
losses of horizontal GGHL.  Source: spec 10.2.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfg.schema import AssignConfig, EvalConfig, FcosConfig, LossConfig
from dataloadR.assign.fcos import fcos_rule
from dataloadR.assign.horizontal import upright_objects
from dataloadR.assign.shapes import Pyramid
from modelR.detectors.gghl.assigning import build_assigner
from modelR.detectors.gghl.decode import decode_level
from modelR.detectors.gghl.detector import STRIDES, cell_quads
from modelR.detectors.gghl.head import OrcHead, branch
from modelR.detectors.gghl.loss import JointLoss, at, positive_count
from modelR.detectors.gghl_hbb import BoxHead, BoxLoss
from modelR.method import Method, Predictions
from utils.records import LevelPrediction, LevelTargets, Objects
from utils.selection import rows_where

Prediction = tuple[LevelPrediction, Tensor]  # of a level, and the logits of its centre-ness (B, H, W)


def fcos_r(
    config: FcosConfig,
    loss: LossConfig,
    strides: tuple[int, ...] | None,
    assign: AssignConfig | None = None,
    micro_batches: int = 1,
    *,
    horizontal: bool = False,
) -> Method:
    """Return the method, on three levels unless told otherwise.

    Args:
        config: of centre sampling.
        loss: its settings.
        strides: of the levels.
        assign: another rule than centre sampling, if it names one.
        micro_batches: of a step.
        horizontal: boxes in place of quads.
    """
    chosen = (assign or AssignConfig()).model_copy(update={"level_bounds": config.level_bounds})
    own = FcosLoss(loss, horizontal=horizontal)
    assigned, counted_loss = build_assigner(chosen, fcos_rule(config), own, orc_levels, micro_batches)

    def targets(objects: Objects, pyramid: Pyramid, found: Predictions | None) -> list[LevelTargets]:
        return assigned(upright_objects(objects) if horizontal else objects, pyramid, found)

    return Method(
        name="fcos_r",
        strides=strides or STRIDES,
        terms=(*own.joint.terms, "centerness"),
        head=partial(FcosHead, horizontal=horizontal),
        targets=targets,
        count=positive_count,
        loss=counted_loss,
        candidates=candidates,
        is_dynamic=assigned.is_dynamic,
        is_horizontal=horizontal,
    )


def orc_levels(predictions: Predictions) -> list[LevelPrediction]:
    """Return what the levels predict beside the centre-ness."""
    return [level for level, _ in predictions]


class FcosHead(nn.Module):
    """Maps the features of one level (B, C, H, W) to what `OrcHead` predicts, and to centre-ness logits."""

    def __init__(self, channels: int, num_classes: int, stride: int, *, horizontal: bool = False) -> None:
        super().__init__()
        self.orc = (BoxHead if horizontal else OrcHead)(channels, num_classes, stride)
        self.centerness = branch(channels, 1)

    @property
    def classes(self) -> nn.Sequential:
        """The branch whose last layer belongs to the classes."""
        return self.orc.classes

    def forward(self, features: Tensor) -> Prediction:
        return self.orc(features), self.centerness(features).squeeze(1)


class FcosLoss(nn.Module):
    """JOL, of quads or of boxes, and the cross-entropy of the centre-ness on positive cells (FCOS, 3.3)."""

    def __init__(self, config: LossConfig, *, horizontal: bool = False) -> None:
        super().__init__()
        self.joint: JointLoss | BoxLoss = (BoxLoss if horizontal else JointLoss)(config)

    def histograms(self) -> dict[str, Tensor]:
        """Return the last histograms of gradients by name, with GHM."""
        return self.joint.histograms()

    def forward(
        self, predictions: Sequence[Prediction], targets: Sequence[LevelTargets], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the terms by name; `normalizer` as for `JointLoss`."""
        terms: dict[str, Tensor] = self.joint([level for level, _ in predictions], targets, normalizer)
        rows = rows_where([target.owner.flatten() >= 0 for target in targets])
        errors = []
        for (_, logits), target, own in zip(predictions, targets, rows, strict=True):
            true = at(target.heat, own)
            found = at(logits, own).to(true.dtype)
            error = F.binary_cross_entropy_with_logits(found, true, reduction="none")
            errors.append((error * at(target.mix_weight, own)).sum())
        return terms | {"centerness": torch.stack(errors).sum() / normalizer}


def candidates(predictions: Sequence[Prediction], config: EvalConfig) -> tuple[Tensor, Tensor]:
    """Return every cell as quads (B, K, 4, 2) px and scores (B, K, C), its objectness times centre-ness."""
    levels = []
    for prediction, logits in predictions:
        decoded = decode_level(prediction)
        central = logits.to(decoded.objectness.dtype).sigmoid()
        levels.append(cell_quads(decoded._replace(objectness=decoded.objectness * central), config))
    quads, scores = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
    return quads, scores
