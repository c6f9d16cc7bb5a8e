"""Groups, rates and averages against spec 6.2, 6.3 and slow loops."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW

from cfg.schema import TrainConfig
from modelR.training.optim import (
    ModelEma,
    build_optimizer,
    build_scheduler,
    learning_rate,
    parameter_groups,
    warmup_length,
)


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def test_only_kernels_and_matrices_decay() -> None:
    model = small_network()
    decayed, plain = parameter_groups(model, 0.1)
    assert [id(p) for p in decayed["params"]] == [id(model[0].weight), id(model[3].weight)]
    rest = [model[0].bias, model[1].weight, model[1].bias, model[3].bias]
    assert [id(p) for p in plain["params"]] == [id(p) for p in rest]
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.1, 0.0)


def test_frozen_parameters_are_left_out() -> None:
    model = small_network()
    model[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in parameter_groups(model, 0.1)) == 4


def test_optimizers_of_the_recipe() -> None:
    sgd = build_optimizer(small_network(), TrainConfig(optimizer="sgd", lr=0.02, lr_batch=16, batch_size=8))
    assert isinstance(sgd, SGD)
    assert [g["weight_decay"] for g in sgd.param_groups] == [5e-4, 0.0]
    assert all(g["lr"] == 0.01 and g["nesterov"] and g["momentum"] == 0.9 for g in sgd.param_groups)
    adamw = build_optimizer(small_network(), TrainConfig(optimizer="adamw", lr=1e-3, batch_size=32))
    assert isinstance(adamw, AdamW)
    assert all(g["lr"] == 2e-3 and g["betas"] == (0.9, 0.999) for g in adamw.param_groups)


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (1, 4e-7), (250, 1e-4), (500, 2e-4), (2050, 1.005e-4), (3599, 1.0000510939e-6), (9999, 1e-6)],
)
def test_golden_rates(step: int, expected: float) -> None:
    assert learning_rate(step, 3600, 500, 2e-4, 1e-6) == pytest.approx(expected, rel=1e-9)


def test_rates_without_warmup_and_with_nothing_else() -> None:
    assert learning_rate(0, 10, 0, 1.0, 0.1) == 1.0
    assert learning_rate(10, 10, 10, 1.0, 0.1) == 1.0


def test_warmup_is_the_shorter_of_epochs_and_share() -> None:
    assert warmup_length(TrainConfig(epochs=100, warmup_epochs=2, warmup_share=0.05), 10) == 20
    assert warmup_length(TrainConfig(epochs=10, warmup_epochs=5, warmup_share=0.05), 10) == 5
    assert warmup_length(TrainConfig(epochs=10, warmup_epochs=0), 10) == 0


def test_schedule_follows_the_rate_step_by_step_and_resumes() -> None:
    config = TrainConfig(epochs=10, lr=0.02, batch_size=16, warmup_epochs=1, warmup_share=1.0)
    optimizer = build_optimizer(small_network(), config)
    scheduler = build_scheduler(optimizer, config, steps_per_epoch=4)
    saved = {}
    for step in range(40):
        expected = learning_rate(step, 40, 4, 0.02, 0.0002)
        assert optimizer.param_groups[1]["lr"] == pytest.approx(expected, rel=1e-12, abs=1e-15)
        if step == 20:
            saved = copy.deepcopy({"o": optimizer.state_dict(), "s": scheduler.state_dict()})
        optimizer.step()
        scheduler.step()
    resumed = build_optimizer(small_network(), config)
    resumed_scheduler = build_scheduler(resumed, config, steps_per_epoch=4)
    resumed.load_state_dict(saved["o"])
    resumed_scheduler.load_state_dict(saved["s"])
    resumed.step()
    resumed_scheduler.step()
    assert resumed.param_groups[0]["lr"] == pytest.approx(learning_rate(21, 40, 4, 0.02, 0.0002), rel=1e-12)


def test_an_epoch_without_steps_is_refused() -> None:
    with pytest.raises(ValueError, match="steps_per_epoch: expected at least 1, got 0"):
        build_scheduler(build_optimizer(small_network(), TrainConfig()), TrainConfig(), 0)


def test_average_matches_a_loop_and_copies_buffers() -> None:
    model = small_network()
    ema = ModelEma(model, decay=0.9, tau=5.0)
    expected = [p.detach().clone().double() for p in model.parameters()]
    for step in range(20):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
            model[1].running_mean.add_(1.0)
            model[1].num_batches_tracked.add_(1)
        decay = 0.9 * (1 - math.exp(-step / 5.0))
        pairs = zip(expected, model.parameters(), strict=True)
        expected = [decay * e + (1 - decay) * p.detach() for e, p in pairs]
        ema.update_parameters(model)
    for e, p in zip(expected, ema.module.parameters(), strict=True):
        torch.testing.assert_close(p, e.float(), rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(ema.module.buffers(), model.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_average_evaluates_without_gradients_and_leaves_the_model_alone() -> None:
    model = small_network()
    ema = ModelEma(model, 0.9998, 2000.0)
    assert model.training
    assert not ema.module.training
    assert all(p.requires_grad for p in model.parameters())
    assert not any(p.requires_grad for p in ema.parameters())


def test_average_resumes_exactly() -> None:
    model = small_network()
    ema = ModelEma(model, 0.9, 3.0)
    other = ModelEma(small_network(), 0.9, 3.0)
    for step in range(6):
        with torch.no_grad():
            model[0].weight.add_(0.1 * (step + 1))
        ema.update_parameters(model)
        if step < 3:
            other.load_state_dict(ema.state_dict())
        else:
            other.update_parameters(model)
    for mine, theirs in zip(ema.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("name", "rate"), [("sgd", 0.02), ("adamw", 0.004), ("muon", 0.016)])
def test_default_rates_are_those_of_a_batch_of_16(name: str, rate: float) -> None:
    for batch, expected in ((16, rate), (4, rate / 4)):
        config = TrainConfig.model_validate({"optimizer": name, "batch_size": batch})
        groups = build_optimizer(small_network(), config).param_groups
        assert [group["lr"] for group in groups] == pytest.approx([expected] * len(groups))
