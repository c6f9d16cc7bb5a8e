"""FCOS-R on one fine level with Gaussian assignment, and FCOS-R of boxes."""

import math

import numpy as np
import pytest
import torch

from cfg.load import load_config
from cfg.schema import LossConfig
from dataloadR.assign.shapes import Pyramid
from modelR.build import build_method, build_model
from modelR.detectors.fcos_r import FcosHead
from modelR.detectors.gghl.loss import JointLoss
from modelR.detectors.gghl_hbb import BoxLoss
from modelR.method import Method
from tests.dataloadR.assign.test_ga_heat import crowd
from tests.dataloadR.assign.test_targets import box, objects_of, random_objects
from tests.training_runs import ROOT
from utils.quads.geometry import quads_to_hboxes

YAML, CLASSES, SIZE = str(ROOT / "cfg/detectors/fcos_s_ga.yaml"), 4, (64, 96)


def method_of(*words: str) -> Method:
    return build_method(load_config(YAML, words), CLASSES)


def predictions_of(method: Method, size: tuple[int, int], batch: int) -> list[object]:
    torch.manual_seed(0)
    horizontal = method.is_horizontal
    head = FcosHead(4, CLASSES, 4, horizontal=horizontal).double()
    for branch in (head.orc.location, head.orc.classes, head.centerness):
        torch.nn.init.normal_(branch[-1].weight)  # type: ignore[arg-type]
    features = torch.randn(batch, 4, *(side // 4 for side in size)).double()
    with torch.no_grad():
        return [head(features)]


@pytest.mark.parametrize(
    ("words", "parameters"), [((), 56_754_426), (("model.horizontal=true",), 56_753_781)]
)
def test_parameters(words: tuple[str, ...], parameters: int) -> None:
    with torch.device("meta"):
        model = build_model(load_config(YAML, words), 15)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("horizontal", ["true", "false"])
def test_centerness_is_the_gaussian_wherever_an_object_lies(horizontal: str) -> None:
    """As published it is that of absolute corners: near 1 far from the origin, whatever the cell."""
    method = method_of(f"model.horizontal={horizontal}")
    assert method.strides == (4,)
    due = {(0, 0): 1.0, (0, 1): math.exp(-2), (1, 0): math.exp(-2), (1, 1): math.exp(-4)}  # of 8 to 16 px
    for x, y in ((0, 0), (40, 8), (200, 160), (236, 236)):
        given = objects_of(box(x + 1, y + 1, x + 11, y + 11))
        (level,) = method.targets(given, Pyramid(1, 256, 256, (4,)), None)
        column, row = x // 4 + 1, y // 4 + 1
        cells = (level.owner[0] == 0).nonzero().tolist()
        assert len(cells) == 9
        for j, i in cells:
            value = due[abs(j - row), abs(i - column)]
            assert float(level.heat[0, j, i]) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("horizontal", ["true", "false"])
@pytest.mark.parametrize("seed", range(4))
def test_losses_are_those_of_quads_or_boxes_and_the_cross_entropy(horizontal: str, seed: int) -> None:
    method = method_of(f"model.horizontal={horizontal}")
    objects = random_objects(np.random.default_rng(seed), 2, SIZE)
    (level,) = method.targets(objects, Pyramid(2, *SIZE, (4,)), None)
    ((prediction, logits),) = predictions = predictions_of(method, SIZE, 2)  # type: ignore[misc]
    normalizer = method.count([level]).clamp(min=1)
    found = method.loss(predictions, [level], normalizer)
    assert tuple(found) == method.terms
    plain = BoxLoss(LossConfig()) if method.is_horizontal else JointLoss(LossConfig())
    expected = plain([prediction], [level], normalizer)
    assert {name: found[name] for name in expected} == expected
    centerness = 0.0
    for at in (level.owner >= 0).nonzero().tolist():
        p = 1 / (1 + math.exp(-float(logits[tuple(at)])))
        true, mix = float(level.heat[tuple(at)]), float(level.mix_weight[tuple(at)])
        centerness -= mix * (true * math.log(p) + (1 - true) * math.log(1 - p))
    assert float(found["centerness"]) == pytest.approx(centerness / float(normalizer), rel=1e-9)


def test_boxes_are_learnt_and_predicted_by_every_rule() -> None:
    slanted = [[20, 10], [60, 30], [50, 50], [10, 30]]
    for words in ((), ("assign.rule=simota",), ("assign.rule=dtla",)):
        method = method_of("model.horizontal=true", *words)
        assert method.is_horizontal
        assert "glide" not in method.terms
        predictions = predictions_of(method, SIZE, 1)
        (level,) = method.targets(objects_of(slanted), Pyramid(1, *SIZE, (4,)), predictions)
        owned = level.owner >= 0
        assert owned.any()
        assert (level.area_ratio[owned] == 1).all()
        assert level.hboxes[owned].unique(dim=0).tolist() == [[10, 10, 60, 50]]
        quads, _ = method.candidates(predictions, load_config(YAML).eval)
        hboxes = quads_to_hboxes(quads)
        edges = (quads.roll(-1, dims=-2) - quads).abs().amin(dim=-1)
        assert ((edges == 0).all(dim=-1) | ((hboxes[..., 2:] - hboxes[..., :2]).amin(dim=-1) == 0)).all()


@pytest.mark.parametrize("horizontal", ["true", "false"])
def test_no_objects_and_two_thousand(horizontal: str) -> None:
    method = method_of(f"model.horizontal={horizontal}")
    for given in (objects_of([]), crowd()):
        (level,) = method.targets(given, Pyramid(1, 512, 512, (4,)), None)
        count = method.count([level])
        terms = method.loss(predictions_of(method, (512, 512), 1), [level], count.clamp(min=1))
        assert all(value.isfinite() for value in terms.values())
        assert terms["background"] > 0
        assert (terms["centerness"] > 0) == (len(given.labels) > 0)
