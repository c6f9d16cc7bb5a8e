"""TTFNet with Gaussian assignment: tiny objects on one fine level, each learnt by as many cells as others.

Quads, or boxes with `model.horizontal`.  Source: TTFNet (arXiv:1909.00700) with the assignment of spec 11.3;
spec 10.6.
"""

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from cfg.schema import AssignConfig, EvalConfig, TinyConfig
from dataloadR.assign.ga import HeatTargets, ga_heat_targets
from dataloadR.assign.horizontal import upright_objects
from dataloadR.assign.shapes import Pyramid
from modelR.detectors.gghl.decode import edge_dists_to_hboxes
from modelR.detectors.gghl.detector import cell_quads
from modelR.detectors.tiny.head import BoxCoding, TinyHead, TinyPrediction, decode_tiny
from modelR.detectors.tiny.loss import Form, TinyLoss, overlap_l1, spread_focal
from modelR.method import Method
from modelR.necks.ttf import TtfNeck
from utils.errors import UserError
from utils.records import Objects

STRIDES = (4,)
START = 1.0  # strides, distance of each edge at the start: a box without size has no gradient


def ttfnet(
    config: TinyConfig,
    assign: AssignConfig,
    classes: int,
    strides: tuple[int, ...] | None,
    horizontal: bool,
) -> Method:
    """Return the method.

    Raises:
        UserError: more than one level.
    """
    form = Form(
        coding=BoxCoding(lambda raw, stride: edge_dists_to_hboxes(raw.relu() * stride, stride), START),
        horizontal=horizontal,
        class_error=spread_focal,
        weight=lambda cells: cells.area_weight,
        quality_error=overlap_l1,
    )
    return tiny_method("ttfnet", form, config, assign, classes, strides)


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
    """Return every cell as quads (B, K, 4, 2) px and scores (B, K, C), of the classes and the quality."""
    (prediction,) = predictions
    return cell_quads(decode_tiny(prediction, form.coding), config)
