"""Detectors of tiny objects on one fine level with Gaussian assignment: TTFNet, RetinaNet-S and ATSS-S.

Each object is learnt by as many cells as others.  Quads, or boxes with `model.horizontal`.  Source: TTFNet
(arXiv:1909.00700), RetinaNet (arXiv:1708.02002) and ATSS (arXiv:1912.02424) with the assignment of spec 11.3;
spec 10.7, 10.8.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from cfg.schema import AssignConfig, EvalConfig, TinyConfig
from dataloadR.assign.anchors import deltas_to_hboxes, level_anchors
from dataloadR.assign.ga import HeatTargets, ga_heat_targets
from dataloadR.assign.horizontal import upright_objects
from dataloadR.assign.shapes import Level, Pyramid
from modelR.detectors.gghl.decode import edge_dists_to_hboxes
from modelR.detectors.gghl.detector import cell_quads
from modelR.detectors.tiny.head import BoxCoding, TinyHead, TinyPrediction, decode_tiny
from modelR.detectors.tiny.loss import Form, TinyLoss, one_hot_focal, overlap_l1, spread_focal
from modelR.losses.quality import cross_entropy
from modelR.method import Method
from modelR.necks.ttf import TtfNeck
from utils.errors import UserError
from utils.records import Objects
from utils.selection import on_device

STRIDES = (4,)
DEVIATIONS = (0.1, 0.1, 0.2, 0.2)  # of the deltas x, y, log width, log height
REACH = 4.0  # strides, distance of an edge that a raw value of 1 means: 16 px, as TTFNet has it
START = 1.0  # strides, distance of each edge at the start: a box without size has no gradient


def form_of(name: str, config: TinyConfig, horizontal: bool) -> Form:
    """Return what ttfnet, retinanet_s or atss_s does differently from the others."""
    if name == "ttfnet":
        return Form(
            coding=BoxCoding(distant_boxes, START / REACH),
            horizontal=horizontal,
            class_error=spread_focal,
            weight=lambda cells: cells.area_weight,
            quality_error=overlap_l1,
        )
    return Form(
        coding=BoxCoding(partial(anchored_boxes, side=config.anchor), 0.0),
        horizontal=horizontal,
        class_error=one_hot_focal,
        weight=lambda cells: torch.ones_like(cells.area_weight),
        quality_error=None if name == "retinanet_s" else cross_entropy,
    )


def distant_boxes(raw: Tensor, stride: int) -> Tensor:
    """Return boxes (B, H, W, 4) px whose edges lie as far from their cells as raw values say."""
    return edge_dists_to_hboxes(raw.relu() * (REACH * stride), stride)


def anchored_boxes(raw: Tensor, stride: int, side: float) -> Tensor:
    """Return boxes (B, H, W, 4) px of deltas from the one square anchor of each cell, `side` strides wide."""
    level = Level(0, stride, *raw.shape[:3])
    anchors = level_anchors(level, on_device([[side * stride] * 2], raw, raw.dtype)).squeeze(-2)
    return deltas_to_hboxes(raw * on_device(DEVIATIONS, raw, raw.dtype), anchors)


def tiny_method(
    name: str,
    form: Form,
    config: TinyConfig,
    assign: AssignConfig,
    classes: int,
    strides: tuple[int, ...] | None,
) -> Method:
    """Return the method of a form; all objects are on its one level.

    Raises:
        UserError: more than one level.
    """
    if strides is not None and len(strides) > 1:
        found = ", ".join(map(str, strides))
        raise UserError(f"model.strides: expected none or one number, {name} has one level, got {found}")
    loss, bounded = TinyLoss(config, form), assign.model_copy(update={"level_bounds": ()})

    def targets(objects: Objects, pyramid: Pyramid, _: object) -> list[HeatTargets]:
        chosen = upright_objects(objects) if form.horizontal else objects
        return ga_heat_targets(chosen, pyramid, bounded, classes)

    return Method(
        name=name,
        strides=strides or STRIDES,
        terms=form.terms,
        head=partial(
            TinyHead,
            coding=form.coding,
            horizontal=form.horizontal,
            judged=form.quality_error is not None,
        ),
        targets=targets,
        count=loss.count,
        loss=loss,
        candidates=partial(candidates, form=form),
        neck=TtfNeck,
        is_horizontal=form.horizontal,
    )


def candidates(
    predictions: Sequence[TinyPrediction], config: EvalConfig, form: Form
) -> tuple[Tensor, Tensor]:
    """Return every cell as quads (B, K, 4, 2) px and scores (B, K, C), of the classes and the quality.

    Without a quality the score is that of the class.
    """
    (prediction,) = predictions
    if form.quality_error is None:
        config = config.model_copy(update={"class_weight": 1.0})
    return cell_quads(decode_tiny(prediction, form.coding), config)
