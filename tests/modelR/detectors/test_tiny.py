"""The detectors of tiny objects: parameters, boxes, and their losses against a loop over cells."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from cfg.load import ConfigError, load_config
from cfg.schema import Config, EvalConfig
from dataloadR.assign.ga import HeatTargets
from dataloadR.assign.shapes import Pyramid
from modelR.build import build_method, build_model
from modelR.detectors.tiny.head import TinyPrediction
from modelR.method import Method
from tests.dataloadR.assign.test_ga_heat import crowd
from tests.dataloadR.assign.test_targets import objects_of, random_objects
from tests.modelR.detectors.slow_boxes import box_overlaps, quad_overlaps
from tests.modelR.detectors.slow_loss import bce, sigmoid
from tests.modelR.test_network import tensors
from tests.training_runs import ROOT
from utils.errors import UserError
from utils.quads.geometry import hboxes_to_quads, quads_to_hboxes
from utils.quads.glides import glides_to_quads
from utils.records import Objects

CLASSES, SIZE = 4, (64, 96)
FORMS = [(name, horizontal) for name in ("ttfnet", "retinanet_s", "atss_s") for horizontal in (False, True)]
each_form = pytest.mark.parametrize(("name", "horizontal"), FORMS)


def yaml_of(name: str) -> str:
    return str(ROOT / f"cfg/detectors/{name}.yaml")


def method_of(name: str, horizontal: bool, *words: str) -> Method:
    config = load_config(None, [f"model.detector={name}", f"model.horizontal={horizontal}", *words])
    return build_method(config, CLASSES)


@pytest.mark.parametrize(
    ("name", "words", "classes", "whole", "rest"),
    [
        ("ttfnet_mitb1_ga", ["model.horizontal=true"], 8, 13_756_557, 605_133),
        ("ttfnet_mitb1_ga", [], 8, 13_756_882, 605_458),
        ("ttfnet_mitb1_ga", [], 15, 13_757_785, 606_361),
        ("ttfnet_ga", [], 15, 51_461_423, 10_876_495),
        ("atss_ga", [], 15, 51_461_423, 10_876_495),
        ("retinanet_s_ga", [], 15, 51_461_358, 10_876_430),  # 65 of the branch less
    ],
)
def test_parameters(name: str, words: list[str], classes: int, whole: int, rest: int) -> None:
    with torch.device("meta"):
        model = build_model(load_config(yaml_of(name), words), classes)
    counted = [sum(p.numel() for p in part.parameters()) for part in (model, model.neck, model.heads)]
    assert counted[0] == whole
    assert counted[1] + counted[2] == rest


def prediction_of(
    shape: tuple[int, ...], seed: int, horizontal: bool, name: str = "ttfnet"
) -> TinyPrediction:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((4,), (4,), (), (), (CLASSES,))
    fields = [torch.randn(*shape, *more, generator=generator, dtype=torch.float64) for more in sizes]
    if horizontal:
        fields[1], fields[2] = torch.zeros_like(fields[1]), torch.full_like(fields[2], 10.0)
    if name == "ttfnet":
        fields[0] = fields[0] / 2 + 0.4  # some edges behind the centre of their cell, which are on it then
    if name == "retinanet_s":
        fields[3] = torch.zeros_like(fields[3])
    return TinyPrediction(*fields, stride=4)


def case(method: Method, seed: int) -> tuple[TinyPrediction, HeatTargets]:
    objects = random_objects(np.random.default_rng(seed), 2, SIZE)
    (level,) = method.targets(objects, Pyramid(2, *SIZE, (4,)), None)
    return prediction_of(tuple(level.owner.shape), seed, method.is_horizontal, method.name), level


def smooth(found: float, true: float) -> float:
    away = abs(found - true)
    return away**2 * 4.5 if away < 1 / 9 else away - 1 / 18


def decoded_box(name: str, raw: list[float], row: int, column: int) -> list[float]:
    """Return the box of a cell: distances to the edges from its centre, or deltas from 12 px around it."""
    x, y = 4 * column + 2, 4 * row + 2
    if name != "ttfnet":
        dx, dy, dw, dh = raw
        cx, cy, w, h = (
            x + 0.1 * dx * 12,
            y + 0.1 * dy * 12,
            12 * math.exp(0.2 * dw),
            12 * math.exp(0.2 * dh),
        )
        return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]
    top, right, bottom, left = (16 * max(v, 0.0) for v in raw)
    return [x - left, y - top, x + right, y + bottom]


def decoded_shape(p: TinyPrediction, at: tuple[int, int, int]) -> tuple[list[float], float]:
    glides = [max(sigmoid(v) - 0.01, 0) / 0.99 for v in p.glide_logits[at].tolist()]
    return glides, min(max(float(p.ratio_logit[at]) / 6 + 0.5, 0.0), 1.0)


def location_terms(
    name: str, p: TinyPrediction, t: HeatTargets, at: tuple[int, int, int], horizontal: bool
) -> dict[str, float]:
    cells, (_, row, column) = t.cells, at
    found, truth = decoded_box(name, p.boxes[at].tolist(), row, column), cells.hboxes[at].tolist()
    weight = float(cells.mix_weight[at]) * (float(cells.area_weight[at]) if name == "ttfnet" else 1)
    glides, ratio = decoded_shape(p, at)
    if horizontal:
        iou, giou = box_overlaps(found, truth)
        shape = {}
    else:
        upright = float(cells.area_ratio[at]) > 0.9
        own = torch.tensor([0.0] * 4 if upright else glides).double()
        quads = [
            glides_to_quads(torch.tensor(b).double(), g).numpy()
            for b, g in ((found, own), (truth, cells.glides[at]))
        ]
        iou, giou = quad_overlaps(*quads)
        pairs = zip(glides, cells.glides[at].tolist(), strict=True)
        shape = {
            "glide": weight * sum(smooth(a, b) for a, b in pairs),
            "ratio": weight * 16 * smooth(ratio, float(cells.area_ratio[at])),
        }
    logit = float(p.quality_logit[at])
    quality = abs(sigmoid(logit) - iou) if name == "ttfnet" else bce(logit, iou)
    return {"box": weight * 2 * (1 - giou), "quality": weight * quality, **shape}


def class_term(name: str, p: TinyPrediction, t: HeatTargets, at: tuple[int, ...]) -> float:
    cell, label = at[:3], at[3]
    probability, heat = sigmoid(float(p.class_logits[at])), float(t.class_heat[at])
    if name != "ttfnet":
        true = t.owner[cell] >= 0 and label == int(t.labels[cell])
        focal = (
            0.25 * (1 - probability) ** 2 * -math.log(probability)
            if true
            else 0.75 * probability**2 * -math.log(1 - probability)
        )
        return 0.0 if t.ignore[cell] else float(t.cells.mix_weight[cell]) * focal
    if t.owner[cell] >= 0:
        if label != int(t.labels[cell]):
            return 0.0  # what is hot there belongs to an object that lost the cell
        return -float(t.cells.mix_weight[cell]) * (1 - probability) ** 2 * math.log(probability)
    if t.ignore[cell]:
        return 0.0
    return -((1 - heat) ** 4) * probability**2 * math.log(1 - probability)


def slow_losses(name: str, p: TinyPrediction, t: HeatTargets, horizontal: bool) -> dict[str, float]:
    sums: dict[str, float] = {
        "classes": sum(class_term(name, p, t, at) for at in np.ndindex(*t.class_heat.shape))
    }
    for cell in (t.owner >= 0).nonzero().tolist():
        for term, value in location_terms(name, p, t, tuple(cell), horizontal).items():
            sums[term] = sums.get(term, 0.0) + value
    return sums


@each_form
@pytest.mark.parametrize("seed", [0, 1, 4, 5])
def test_equals_the_slow_loop(name: str, horizontal: bool, seed: int) -> None:
    method = method_of(name, horizontal)
    prediction, target = case(method, seed)
    count = method.count([target])
    positive = target.owner >= 0
    objects = len(target.owner[positive].unique()) if name == "ttfnet" else int(positive.sum())
    assert count.tolist() == pytest.approx([int(positive.sum()), objects])
    found = method.loss([prediction], [target], count.clamp(min=1))
    expected = slow_losses(name, prediction, target, horizontal)
    assert tuple(found) == method.terms
    for term in method.terms:
        divisor = max(float(count[0 if term == "classes" else 1]), 1)
        value = expected.get(term, 0.0) / divisor
        assert float(found[term]) == pytest.approx(value, rel=1e-6, abs=1e-9), term


@each_form
def test_without_objects_there_is_only_background(name: str, horizontal: bool) -> None:
    method = method_of(name, horizontal)
    (level,) = method.targets(objects_of([]), Pyramid(1, 64, 64, (4,)), None)
    assert method.count([level]).tolist() == [0, 0]
    terms = method.loss([prediction_of((1, 16, 16), 0, horizontal, name)], [level], torch.ones(2))
    assert float(terms.pop("classes")) > 0
    assert all(float(value) == 0 for value in terms.values())


@each_form
def test_two_thousand_objects_are_finite(name: str, horizontal: bool) -> None:
    method = method_of(name, horizontal)
    (level,) = method.targets(crowd(), Pyramid(1, 512, 512, (4,)), None)
    prediction = prediction_of((1, 128, 128), 0, horizontal, name)
    leaves = [field.requires_grad_() for field in prediction[:-1]]
    terms = method.loss([prediction], [level], method.count([level]))
    torch.stack(list(terms.values())).sum().backward()
    for field in leaves:
        assert field.grad is None or field.grad.isfinite().all()
    assert all(value.isfinite() for value in terms.values())
    assert terms["box"] > 0


@each_form
def test_candidates_are_every_cell(name: str, horizontal: bool) -> None:
    method = method_of(name, horizontal)
    prediction = prediction_of((2, 5, 7), 3, horizontal, name)
    quads, scores = method.candidates([prediction], EvalConfig(class_weight=0.5, multi_label=True))
    assert quads.shape == (2, 35, 4, 2)
    assert method.is_horizontal == horizontal
    if horizontal:
        torch.testing.assert_close(quads, hboxes_to_quads(quads_to_hboxes(quads)))
    for at in np.ndindex(2, 5, 7):
        place = at[0], at[1] * 7 + at[2]
        due = decoded_box(name, prediction.boxes[at].tolist(), *at[1:])
        assert quads_to_hboxes(quads[place]).tolist() == pytest.approx(due)
        quality = sigmoid(float(prediction.quality_logit[at]))
        product = [sigmoid(v) * quality for v in prediction.class_logits[at].tolist()]
        plain = [sigmoid(v) for v in prediction.class_logits[at].tolist()]
        squares = [v**2 for v in plain] if name == "retinanet_s" else product
        assert scores[place].square().tolist() == pytest.approx(squares)


def perfect(name: str, target: HeatTargets) -> TinyPrediction:
    """Return what a network that knows everything would say."""
    cells, shape = target.cells, target.owner.shape
    glides = torch.logit((cells.glides * 0.99 + 0.01).clamp(0.01, 1 - 1e-9))
    classes = torch.full((*shape, CLASSES), -20.0, dtype=torch.float64)
    hot = classes.scatter(-1, cells.labels.unsqueeze(-1), 20.0)
    classes = torch.where((target.owner >= 0).unsqueeze(-1), hot, classes)
    sure = torch.full(shape, 20.0, dtype=torch.float64)
    boxes = cells.edge_dists / 16
    if name != "ttfnet":
        rows, columns = torch.meshgrid(*(torch.arange(n).double() for n in shape[1:]), indexing="ij")
        x_min, y_min, x_max, y_max = cells.hboxes.unbind(-1)
        deltas = [
            ((x_min + x_max) / 2 - 4 * columns - 2) / 1.2,
            ((y_min + y_max) / 2 - 4 * rows - 2) / 1.2,
            ((x_max - x_min).clamp(min=1) / 12).log() / 0.2,
            ((y_max - y_min).clamp(min=1) / 12).log() / 0.2,
        ]
        boxes = torch.stack(deltas, dim=-1)
    return TinyPrediction(boxes, glides, (cells.area_ratio - 0.5) * 6, sure, classes, 4)


@each_form
def test_a_perfect_prediction_costs_little_and_is_found(name: str, horizontal: bool) -> None:
    method = method_of(name, horizontal)
    quads = [[[20, 10], [60, 30], [50, 50], [10, 30]], [[70, 5], [74, 6], [73, 10], [69, 9]]]
    objects = objects_of(quads, labels=[1, 3])
    (target,) = method.targets(objects, Pyramid(1, *SIZE, (4,)), None)
    prediction = perfect(name, target)
    terms = method.loss([prediction], [target], method.count([target]))
    for term, value in terms.items():
        assert float(value) == pytest.approx(0, abs=2e-3), term
    found, scores = method.candidates([prediction], EvalConfig())
    hot = (scores > 0.9).nonzero()
    assert {int(label) for _, _, label in hot} == {1, 3}
    for image, cell, label in hot.tolist():
        due = objects.quads[objects.labels == label][0]
        due = hboxes_to_quads(quads_to_hboxes(due)) if horizontal else due
        torch.testing.assert_close(found[image, cell], due, atol=1e-3, rtol=0)


@each_form
def test_micro_batches_equal_one_large_batch(name: str, horizontal: bool) -> None:
    """Both normalisers are those of the whole batch, as the step adds them up."""
    method = method_of(name, horizontal)
    objects = random_objects(np.random.default_rng(5), 2, SIZE)
    parts, counts = [], []
    for image in (0, 1):
        own = Objects(*(field[objects.image_index == image] for field in objects))
        own = own._replace(image_index=torch.zeros_like(own.image_index))
        parts.append(method.targets(own, Pyramid(1, *SIZE, (4,)), None))
        counts.append(method.count(parts[-1]))
    (whole,) = method.targets(objects, Pyramid(2, *SIZE, (4,)), None)
    prediction = prediction_of((2, 16, 24), 1, horizontal, name)
    total = torch.stack(counts).sum(dim=0)
    torch.testing.assert_close(total, method.count([whole]))
    expected = method.loss([prediction], [whole], total)
    halves: list[dict[str, Any]] = []
    for image, targets in enumerate(parts):
        fields = [field[image : image + 1] for field in prediction[:-1]]
        halves.append(method.loss([TinyPrediction(*fields, stride=4)], targets, total))
    for term, value in expected.items():
        torch.testing.assert_close(sum(half[term] for half in halves), value)


@each_form
def test_the_network_starts_from_few_small_objects(name: str, horizontal: bool) -> None:
    words = [f"model.detector={name}", f"model.horizontal={horizontal}", "model.size=nano"]
    torch.manual_seed(0)
    model = build_model(load_config(None, words), CLASSES)
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        (level,) = model.eval()(images)
        quads, scores = model.method.candidates([level], Config().eval)
    assert level.class_logits.mean().item() == pytest.approx(-math.log(99), abs=0.2)
    boxes = quads_to_hboxes(quads)
    side = 8 if name == "ttfnet" else 12
    assert (boxes[..., 2:] - boxes[..., :2]).mean().item() == pytest.approx(side, abs=0.5)
    assert scores.max() < 0.2
    names = model.class_outputs()
    assert all("classes" in key for key in names)
    assert len(names) == 2
    model.train()
    sum(field.square().mean() for field in tensors(model(images))).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert all(field.isfinite().all() for field in tensors(model(255 * images)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ttfnet_ga", "ttfnet_mitb1_ga"])
def test_export_computes_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(load_config(yaml_of(name), ["model.size=nano"]), CLASSES).eval()
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    program = torch.export.export(model, (images,), strict=False)
    other = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        pairs = zip(tensors(program.module()(other)), tensors(model(other)), strict=True)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


def test_stride_8_and_not_two_levels() -> None:
    assert method_of("ttfnet", False, "model.strides=8").strides == (8,)
    message = r"model\.strides: expected none or one number, ttfnet has one level, got 8, 16"
    with pytest.raises(UserError, match=message):
        method_of("ttfnet", False, "model.strides=8,16")
    with pytest.raises(ConfigError, match=r"model\.horizontal: read by .*ttfnet.* alone, .* is gghl"):
        load_config(None, ["model.horizontal=true"])
    with pytest.raises(ConfigError, match=r"tiny\.box: read by ttfnet.* alone, model\.detector is gghl"):
        load_config(None, ["tiny.box=3"])
    with pytest.raises(ConfigError, match=r"tiny\.quality: read by ttfnet and atss_s alone, .* retinanet_s"):
        load_config(None, ["model.detector=retinanet_s", "tiny.quality=3"])
