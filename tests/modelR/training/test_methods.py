"""What the training step does for methods of other kinds: dynamic targets, a loss with a state, a teacher."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfg.schema import Config, ModelConfig, TrainConfig
from modelR.build import build_model
from modelR.method import Predictions, Targets
from modelR.network import Network
from modelR.training.stepper import Stepper
from tests.dataloadR.assign.test_targets import random_objects
from utils.records import Batch

CPU = torch.device("cpu")
TRAIN = TrainConfig(amp=False, optimizer="sgd", warmup_epochs=0, clip_norm=1e9)


def network() -> Network:
    torch.manual_seed(0)
    return build_model(Config(model=ModelConfig(size="nano", dropblock=0.0)), 4).eval()


def batches(count: int = 2) -> list[Batch]:
    found = []
    for seed in range(1, count + 1):
        objects = random_objects(np.random.default_rng(seed), 2, (64, 64))
        objects = objects._replace(quads=objects.quads.float(), weights=objects.weights.float())
        generator = torch.Generator().manual_seed(seed)
        found.append(Batch(torch.rand(2, 3, 64, 64, generator=generator), objects, [], torch.arange(2)))
    return found


def test_a_dynamic_method_equals_the_same_targets_known_before() -> None:
    """The normaliser comes after the gradients, which changes nothing but their rounding."""
    plain, seen = network(), []
    dynamic = copy.deepcopy(plain)

    def targets(objects: Any, pyramid: Any, predictions: Predictions | None) -> Targets:
        assert predictions is not None
        assert not torch.is_grad_enabled()
        seen.append(len(predictions))
        return plain.method.targets(objects, pyramid, None)

    dynamic.method = replace(plain.method, targets=targets, is_dynamic=True)
    losses = [Stepper(model, TRAIN, CPU, 10).step(batches()) for model in (plain, dynamic)]
    assert seen == [3, 3]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)
    for a, b in zip(dynamic.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


class Counting(nn.Module):
    """JOL, and how often it was asked."""

    steps: Tensor

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, predictions: Predictions, targets: Targets, normalizer: Tensor) -> dict[str, Tensor]:
        self.steps += 1
        terms: dict[str, Tensor] = self.inner(predictions, targets, normalizer)
        return terms


def test_the_state_of_a_loss_is_kept_and_a_bad_step_leaves_it() -> None:
    model = network()
    model.method = replace(model.method, loss=Counting(model.method.loss))
    stepper = Stepper(model, TRAIN, CPU, 10)
    assert stepper.step(batches()) is not None
    assert stepper.parts["loss"].state_dict()["steps"] == 2
    first, second = batches()
    assert stepper.step([first, second._replace(images=second.images * torch.nan)]) is None
    assert stepper.parts["loss"].state_dict()["steps"] == 2
    assert "loss" not in Stepper(network(), TRAIN, CPU, 10).parts


class Teacher:
    """Wants all objectness logits to be 1."""

    terms = ("imitation",)

    def __call__(
        self, _: Tensor, predictions: Predictions, __: Targets, normalizer: Tensor
    ) -> dict[str, Tensor]:
        away = [(level.objectness_logit.float() - 1).square().sum() for level in predictions]
        return {"imitation": torch.stack(away).sum() / normalizer}


def test_a_teacher_adds_its_terms() -> None:
    plain, taught = (Stepper(network(), TRAIN, CPU, 10, teacher) for teacher in (None, Teacher()))
    assert taught.terms == (*plain.terms, "imitation")
    expected, found = plain.step(batches()), taught.step(batches())
    assert expected is not None
    assert found is not None
    assert float(found["imitation"]) > 0
    assert float(found["total"]) == pytest.approx(float(expected["total"] + found["imitation"]), rel=1e-6)
    pairs = zip(plain.model.parameters(), taught.model.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
