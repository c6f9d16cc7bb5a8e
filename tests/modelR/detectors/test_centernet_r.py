"""CenterNet-R: its loss against a loop over cells, its peaks against a search."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from cfg.load import load_config
from cfg.schema import CenternetConfig, Config
from dataloadR.assign.center import CenterTargets, center_targets
from dataloadR.assign.shapes import Pyramid
from modelR.build import build_model
from modelR.detectors.centernet_r.detector import centernet_r, peaks
from modelR.detectors.centernet_r.head import CenterPrediction, decode_centers
from modelR.detectors.centernet_r.loss import center_count
from tests.dataloadR.assign.test_targets import objects_of, random_objects
from tests.training_runs import ROOT
from utils.quads.glides import glides_to_quads, settle_glides

CLASSES = 4
METHOD = centernet_r(CenternetConfig(), CLASSES, None)
CONFIG = Config().eval


def test_large_has_the_parameters_of_the_reference() -> None:
    config = load_config([ROOT / "cfg/dota.yaml", ROOT / "cfg/detectors/centernet_r.yaml"])
    with torch.device("meta"):
        model = build_model(config, 15)
    assert sum(p.numel() for p in model.parameters()) == 48_588_152
    assert sum(p.numel() for p in model.neck.parameters()) + sum(
        p.numel() for p in model.heads.parameters()
    ) == pytest.approx(8_003_224, abs=0)


def prediction_of(shape: tuple[int, ...], seed: int) -> CenterPrediction:
    generator = torch.Generator().manual_seed(seed)
    sizes = ((2,), (2,), (4,), (), (CLASSES,))
    fields = [torch.randn(*shape, *more, generator=generator, dtype=torch.float64) for more in sizes]
    return CenterPrediction(*fields, stride=4)


def case(seed: int) -> tuple[CenterPrediction, CenterTargets]:
    objects = random_objects(np.random.default_rng(seed), 2, (64, 96))
    (level,) = center_targets(objects, Pyramid(2, 64, 96, (4,)), CLASSES, 4.0)
    return prediction_of(tuple(level.owner.shape), seed), level


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def smooth(found: float, true: float, beta: float) -> float:
    away = abs(found - true)
    return away**2 / (2 * beta) if away < beta else away - beta / 2


def giou(a: list[float], b: list[float]) -> float:
    wide, high = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
    shared = max(wide, 0.0) * max(high, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return shared / union - (hull - union) / hull


def center_terms(p: CenterPrediction, t: CenterTargets, at: tuple[int, int, int]) -> dict[str, float]:
    _, row, column = at
    truth, mix = t.hboxes[at].tolist(), float(t.mix_weight[at])
    offsets = [sigmoid(v) * 1.05 - 0.025 for v in p.offset_logits[at].tolist()]
    cx, cy = ((n + o) * 4 for n, o in zip((column, row), offsets, strict=True))
    w, h = (math.exp(v) * 4 for v in p.size_logits[at].tolist())
    area = (truth[2] - truth[0]) * (truth[3] - truth[1])
    scale = 2 - min(area / (64 * 96), 1)
    sides = truth[2] - truth[0], truth[3] - truth[1]
    logs = zip(p.size_logits[at].tolist(), sides, strict=True)
    glides = zip(p.glide_logits[at].tolist(), t.glides[at].tolist(), strict=True)
    places = zip(offsets, t.offsets[at].tolist(), strict=True)
    ratio = smooth(sigmoid(float(p.ratio_logit[at])), float(t.area_ratio[at]), 1 / 9)
    return {
        "iou": mix * scale * (1 - giou([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], truth)),
        "offset": mix * sum(smooth(a, b, 1.0) for a, b in places),
        "size": mix * scale * sum(smooth(a, math.log(side / 4), 1.0) for a, side in logs),
        "glide": mix * sum(smooth(sigmoid(a), b, 1 / 9) for a, b in glides),
        "ratio": 16 * mix * ratio,
    }


def slow_losses(p: CenterPrediction, t: CenterTargets) -> dict[str, float]:
    sums: dict[str, Any] = dict.fromkeys(("classes", "iou", "offset", "size", "glide", "ratio"), 0.0)
    for at in np.ndindex(*t.class_heat.shape):
        probability, heat = sigmoid(float(p.class_logits[at])), float(t.class_heat[at])
        soft = 0.99 * heat + 0.01 / CLASSES
        if t.ignore[at[:3]]:
            continue
        if heat == 1:
            mix = float(t.mix_weight[at[:3]])
            sums["classes"] -= 5 * mix * soft * (1 - probability) ** 2 * math.log(probability)
        else:
            sums["classes"] -= (1 - soft) ** 4 * probability**2 * math.log(1 - probability)
    for image, row, column in (t.owner >= 0).nonzero().tolist():
        for name, value in center_terms(p, t, (image, row, column)).items():
            sums[name] += value
    return sums


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_slow_loop(seed: int) -> None:
    prediction, target = case(seed)
    count = center_count([target])
    assert int(count) == int((target.owner >= 0).sum())
    found = METHOD.loss([prediction], [target], count.clamp(min=1))
    expected = slow_losses(prediction, target)
    assert tuple(found) == METHOD.terms
    for name, value in expected.items():
        assert float(found[name]) * max(float(count), 1) == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_without_objects_there_is_only_background() -> None:
    (level,) = center_targets(objects_of([]), Pyramid(1, 64, 64, (4,)), CLASSES, 4.0)
    prediction = prediction_of((1, 16, 16), 0)
    terms = METHOD.loss([prediction], [level], torch.ones(()))
    assert terms["classes"] > 0
    assert all(float(terms[name]) == 0 for name in METHOD.terms if name != "classes")


@pytest.mark.parametrize("top_k", [1, 7, 150])
def test_peaks_are_the_highest_of_their_neighbourhood(top_k: int) -> None:
    prediction = prediction_of((2, 12, 9), 5)
    quads, scores = peaks([prediction], CONFIG, top_k)
    decoded = decode_centers(prediction)
    heat = decoded.class_scores.numpy()
    for image in range(2):
        found = []
        for row, column, label in np.ndindex(*heat.shape[1:]):
            near = heat[image, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2, label]
            if heat[image, row, column, label] == near.max():
                found.append((float(heat[image, row, column, label]), row, column, label))
        found = sorted(found, reverse=True)[:top_k]
        count = len(found)
        for k, (score, row, column, label) in enumerate(found):
            assert float(scores[image, k, label]) == pytest.approx(score)
            assert int((scores[image, k] > 0).sum()) == 1
            at = image, row, column
            expected = glides_to_quads(
                decoded.hboxes[at][None],
                settle_glides(decoded.glides[at][None], decoded.area_ratio[at][None]),
            )
            torch.testing.assert_close(quads[image, k], expected[0])
        assert not scores[image, count:].any()


def test_a_perfect_prediction_costs_little() -> None:
    _, target = case(2)
    shape = target.owner.shape
    offsets = torch.logit((target.offsets - 0.5) / 1.05 + 0.5)
    sides = (target.hboxes[..., 2:] - target.hboxes[..., :2]).clamp(min=1e-3)
    glides, ratio = (torch.logit(x.clamp(1e-6, 1 - 1e-6)) for x in (target.glides, target.area_ratio))
    logits = torch.full((*shape, CLASSES), -20.0, dtype=torch.float64)
    prediction = CenterPrediction(offsets, (sides / 4).log(), glides, ratio, logits, 4)
    terms = METHOD.loss([prediction], [target], center_count([target]).clamp(min=1))
    for name in ("iou", "offset", "size", "glide", "ratio"):
        assert float(terms[name]) == pytest.approx(0, abs=1e-4), name
