"""GGHL: Gaussian label assignment, quads by edge distances and glides, the joint loss."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cfg.assign import OF_GGHL
from cfg.schema import AssignConfig, EvalConfig, FcosConfig, LossConfig
from dataloadR.assign.engine import Rule
from dataloadR.assign.fcos import fcos_rule
from dataloadR.assign.gaussian import gaussian_rule
from modelR.detectors.gghl.assigning import build_assigner
from modelR.detectors.gghl.decode import decode_level
from modelR.detectors.gghl.head import OrcHead
from modelR.detectors.gghl.loss import JointLoss, positive_count
from modelR.method import Method
from utils.quads.glides import glides_to_quads, mask_glides, settle_glides
from utils.records import DecodedLevel, LevelPrediction

STRIDES = (8, 16, 32)


def gghl(
    assign: AssignConfig, loss: LossConfig, strides: tuple[int, ...] | None, micro_batches: int = 1
) -> Method:
    """Return the method (Huang et al., TIP 2022, arXiv:2109.12848), on three levels unless told otherwise.

    `micro_batches`: of a step.
    """
    joint = JointLoss(loss)
    targets, counted_loss = build_assigner(assign, own_rule(assign), joint, list, micro_batches)
    return Method(
        name="gghl",
        strides=strides or STRIDES,
        terms=joint.terms,
        head=OrcHead,
        targets=targets,
        count=positive_count,
        loss=counted_loss,
        candidates=candidates,
        is_dynamic=targets.is_dynamic,
    )


def own_rule(config: AssignConfig) -> Rule:
    """Return the static rule that the settings choose: a Gaussian, unless it is that of FCOS-R."""
    if config.rule == "fcos":
        fcos = FcosConfig(level_bounds=config.level_bounds, min_centerness=config.heat_threshold)
        return fcos_rule(fcos)
    rule = config.rule if config.rule in OF_GGHL else "current"
    return gaussian_rule(config.model_copy(update={"rule": rule}))


def candidates(predictions: Sequence[LevelPrediction], config: EvalConfig) -> tuple[Tensor, Tensor]:
    """Return every cell as quads (B, K, 4, 2) px and scores of its classes (B, K, C), finest level first."""
    levels = [cell_quads(decode_level(prediction), config) for prediction in predictions]
    quads, scores = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
    return quads, scores


def cell_quads(decoded: DecodedLevel, config: EvalConfig) -> tuple[Tensor, Tensor]:
    """Return every cell of a level as quads (B, H * W, 4, 2) and scores of its classes (B, H * W, C).

    Score = objectness^(1 - w) * class score^w with w of `eval.class_weight`, of the best class of a cell or
    of each (`eval.multi_label`).
    """
    weight = config.class_weight
    scores = decoded.objectness.unsqueeze(-1) ** (1 - weight) * decoded.class_scores**weight
    if not config.multi_label:
        scores = of_best_class(scores, decoded.class_scores)
    read = settle_glides if config.ratio_check else mask_glides
    quads = glides_to_quads(decoded.hboxes, read(decoded.glides, decoded.area_ratio))
    return quads.flatten(1, 2), scores.flatten(1, 2)


def of_best_class(scores: Tensor, class_scores: Tensor) -> Tensor:
    """Return scores (..., C) with 0 for all classes but the one of the highest class score (..., C)."""
    best = class_scores.argmax(dim=-1, keepdim=True)
    return torch.zeros_like(scores).scatter(-1, best, scores.gather(-1, best))
