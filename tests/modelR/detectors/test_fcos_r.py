"""FCOS-R: its own term and its scores; all else is GGHL's and tested there."""

import math

import numpy as np
import pytest
import torch

from cfg.schema import Config, FcosConfig, LossConfig
from dataloadR.assign.engine import build_targets
from dataloadR.assign.fcos import fcos_rule
from dataloadR.assign.shapes import Pyramid
from modelR.detectors.fcos_r import fcos_r
from modelR.detectors.gghl.detector import candidates
from modelR.detectors.gghl.loss import JointLoss, positive_count
from tests.dataloadR.assign.test_targets import random_objects
from tests.modelR.detectors.levels import split

METHOD = fcos_r(FcosConfig(), LossConfig(), None)
CONFIG = Config().eval


def case(seed: int) -> tuple[list[tuple[object, torch.Tensor]], list[object]]:
    rng = np.random.default_rng(seed)
    rule = fcos_rule(FcosConfig(level_bounds=(40, 80)))
    targets = build_targets(random_objects(rng, 2, (128, 160)), Pyramid(2, 128, 160, (8, 16, 32)), rule)
    generator = torch.Generator().manual_seed(seed)
    predictions = []
    for level in targets:
        raw = torch.randn(*level.owner.shape, 15, generator=generator, dtype=torch.float64)
        predictions.append((split(raw[..., :-1], level.stride), raw[..., -1]))
    return predictions, targets  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(6))
def test_centerness_is_the_cross_entropy_of_positive_cells(seed: int) -> None:
    predictions, targets = case(seed)
    normalizer = positive_count(targets).clamp(min=1)  # type: ignore[arg-type]
    found = METHOD.loss(predictions, targets, normalizer)
    joint = JointLoss(LossConfig())([level for level, _ in predictions], targets, normalizer)  # type: ignore[arg-type, misc]
    assert {name: found[name] for name in joint} == joint
    expected = 0.0
    for (_, logits), level in zip(predictions, targets, strict=True):
        for at in (level.owner >= 0).nonzero().tolist():  # type: ignore[attr-defined]
            p = 1 / (1 + math.exp(-float(logits[tuple(at)])))
            true, mix = float(level.heat[tuple(at)]), float(level.mix_weight[tuple(at)])  # type: ignore[attr-defined]
            expected -= mix * (true * math.log(p) + (1 - true) * math.log(1 - p))
    assert float(found["centerness"]) == pytest.approx(expected / float(normalizer), rel=1e-9)


def test_scores_fall_with_the_root_of_centerness() -> None:
    predictions, _ = case(3)
    config = CONFIG.model_copy(update={"class_weight": 0.5})
    quads, scores = METHOD.candidates(predictions, config)
    plain_quads, plain = candidates([level for level, _ in predictions], config)  # type: ignore[misc]
    central = torch.cat([logits.sigmoid().flatten(1) for _, logits in predictions], dim=1)
    torch.testing.assert_close(scores, plain * central.sqrt().unsqueeze(-1))
    assert torch.equal(quads, plain_quads)
