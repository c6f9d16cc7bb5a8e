"""Horizontal GGHL: parameters, boxes instead of quads, and its losses against loops."""

import math

import pytest
import torch

from cfg.load import load_config
from cfg.schema import AssignConfig, EvalConfig, LossConfig
from dataloadR.assign.shapes import Pyramid
from modelR.build import build_model
from modelR.detectors.gghl.loss import JointLoss
from modelR.detectors.gghl_hbb import BoxHead, gghl_hbb
from tests.dataloadR.assign.test_targets import objects_of
from tests.modelR.detectors.slow_loss import bce
from utils.quads.geometry import quads_to_hboxes
from utils.records import LevelPrediction

SIZE, CLASSES = (64, 96), 3
SLANTED = [[[20, 10], [60, 30], [50, 50], [10, 30]], [[70, 5], [90, 9], [88, 19], [68, 15]]]
METHOD = gghl_hbb(AssignConfig(), LossConfig(), None)


def predictions_of(seed: int) -> list[LevelPrediction]:
    torch.manual_seed(seed)
    heads = [BoxHead(4, CLASSES, stride).double() for stride in METHOD.strides]
    for head in heads:
        torch.nn.init.normal_(head.location[-1].weight)
        torch.nn.init.normal_(head.classes[-1].weight)
    maps = [torch.randn(1, 4, *(side // head.stride for side in SIZE)).double() for head in heads]
    with torch.no_grad():
        return [head(features) for head, features in zip(heads, maps, strict=True)]


def test_large_has_the_parameters_of_the_reference() -> None:
    with torch.device("meta"):
        model = build_model(load_config("cfg/detectors/gghl_hbb.yaml"), 15)
    assert sum(parameter.numel() for parameter in model.parameters()) == 68_773_148


def test_every_candidate_is_a_horizontal_box() -> None:
    predictions = predictions_of(0)
    quads, scores = METHOD.candidates(predictions, EvalConfig())
    hboxes = quads_to_hboxes(quads)
    sides = hboxes[..., 2:] - hboxes[..., :2]
    edges = (quads.roll(-1, dims=-2) - quads).abs()
    assert ((edges.amin(dim=-1) == 0).all(dim=-1) | (sides.amin(dim=-1) == 0)).all()
    assert scores.shape == (1, sum(64 * 96 // s**2 for s in METHOD.strides), CLASSES)


@pytest.mark.parametrize("seed", range(20))
def test_losses_are_those_of_boxes_and_a_loop_over_the_classes(seed: int) -> None:
    predictions = predictions_of(seed)
    objects = objects_of(SLANTED, labels=[0, 2], weights=[1.0, 0.4])
    targets = METHOD.targets(objects, Pyramid(1, *SIZE, METHOD.strides), None)
    losses = METHOD.loss(predictions, targets, torch.tensor(3.0))
    assert tuple(losses) == METHOD.terms
    joint = JointLoss(LossConfig())(predictions, targets, torch.tensor(3.0))
    assert joint["glide"] == joint["ratio"] == 0  # nothing was left out
    for name in losses.keys() - {"classes"}:
        assert losses[name] == joint[name]
    expected = 0.0
    for prediction, target in zip(predictions, targets, strict=True):
        for cell in (target.owner >= 0).nonzero().tolist():
            at = tuple(cell)
            weight = float(target.mix_weight[at] * target.area_weight[at])
            for k in range(CLASSES):
                wanted = 0.99 * float(k == int(target.labels[at])) + 0.01 / CLASSES
                expected += weight * bce(float(prediction.class_logits[at][k]), wanted)
    assert expected > 0
    assert losses["classes"].item() == pytest.approx(expected / 3)


def test_targets_are_those_of_the_boxes_around_quads() -> None:
    targets = METHOD.targets(objects_of(SLANTED), Pyramid(1, *SIZE, METHOD.strides), None)
    owned = [target for target in targets if (target.owner >= 0).any()]
    for target in owned:
        rows = target.owner >= 0
        assert (target.area_ratio[rows] == 1).all()
        assert (target.glides[rows] == 0).all()
    assert {tuple(b) for t in owned for b in t.hboxes[t.owner >= 0].tolist()} == {
        (10, 10, 60, 50),
        (68, 5, 90, 19),
    }


def test_without_objects_there_is_only_background() -> None:
    predictions = predictions_of(1)
    targets = METHOD.targets(objects_of([]), Pyramid(1, *SIZE, METHOD.strides), None)
    losses = METHOD.loss(predictions, targets, torch.tensor(1.0))
    assert losses.pop("background") > 0
    assert all(value == 0 for value in losses.values())
    assert all(math.isfinite(float(value)) for value in losses.values())
