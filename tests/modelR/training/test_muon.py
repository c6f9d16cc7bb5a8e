import copy

import pytest
import torch
from torch import nn

from cfg.schema import TrainConfig
from modelR.training.muon import ITERATIONS, NEWTON_SCHULZ, Muon, gram_factor, newton_schulz, orthogonalized
from modelR.training.optim import build_optimizer, build_scheduler


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1)).to(
        memory_format=torch.channels_last
    )


def backward(model: nn.Module, seed: int) -> None:
    model.zero_grad()
    images = torch.randn(2, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    model(images).square().mean().backward()


@pytest.mark.parametrize("shape", [(8, 27), (27, 8), (16, 16), (1, 5)])
def test_singular_values_become_alike(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalized(matrix).float()
    assert found.shape == shape
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3
    cosine = (found * (u @ v)).sum() / (found.norm() * (u @ v).norm())
    assert cosine > 0.97


@pytest.mark.parametrize("shape", [(8, 27), (24, 72), (1, 5), (3, 4000)])
@pytest.mark.parametrize("smallest", [0, -4, -9])
def test_steps_act_on_each_singular_value(shape: tuple[int, int], smallest: int) -> None:
    generator = torch.Generator().manual_seed(1)
    u, _, v = torch.linalg.svd(
        torch.randn(shape, generator=generator, dtype=torch.float64), full_matrices=False
    )
    values = torch.logspace(0, smallest, len(v), dtype=torch.float64)
    values = values / values.norm()
    matrix = ((u * values) @ v).float()
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    expected = ((u * values) @ v).float()
    torch.testing.assert_close(newton_schulz(matrix), expected, atol=1e-3, rtol=0)
    torch.testing.assert_close(gram_factor(matrix @ matrix.T) @ matrix, expected, atol=1e-3, rtol=0)


def test_tiny_gradients_count_as_large_ones() -> None:
    matrix = torch.randn(8, 27, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(orthogonalized(matrix * 1e-8), orthogonalized(matrix), atol=0.02, rtol=0.02)


def test_no_gradient_moves_nothing() -> None:
    assert not orthogonalized(torch.zeros(4, 6)).any()
    model = network()
    before = copy.deepcopy(model.state_dict())
    build_optimizer(model, TrainConfig(optimizer="muon")).step()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_kernels_move_by_muon_and_the_rest_by_adamw() -> None:
    model, twin = network(), network()
    config = TrainConfig(optimizer="muon", lr=0.01, batch_size=16, weight_decay=0.1)
    optimizer = build_optimizer(model, config)
    assert isinstance(optimizer, Muon)
    rest = torch.optim.AdamW(
        [
            {"params": [twin[3].weight], "weight_decay": 0.1},
            {"params": [twin[1].weight, twin[1].bias, twin[3].bias]},
        ],
        lr=0.01,
        weight_decay=0.0,
    )
    kernel, momentum = twin[0].weight, torch.zeros_like(twin[0].weight)
    for seed in range(3):
        backward(model, seed)
        backward(twin, seed)
        momentum = 0.95 * momentum + 0.05 * kernel.grad
        direction = orthogonalized((0.05 * kernel.grad + 0.95 * momentum).reshape(8, 27)).float()
        with torch.no_grad():
            kernel.copy_(kernel * (1 - 0.01 * 0.1) - 0.01 * 0.2 * 27**0.5 * direction.reshape(8, 3, 3, 3))
        optimizer.step()
        rest.step()
    for (name, found), expected in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3, msg=name)


def test_resumes_exactly_and_follows_the_schedule() -> None:
    config = TrainConfig(optimizer="muon", lr=0.01, batch_size=16, epochs=4, warmup_epochs=0)
    model = network()
    optimizer = build_optimizer(model, config)
    scheduler = build_scheduler(optimizer, config, steps_per_epoch=2)
    for seed in range(3):
        backward(model, seed)
        optimizer.step()
        scheduler.step()
    assert len({group["lr"] for group in optimizer.param_groups}) == 1
    assert optimizer.param_groups[0]["lr"] < 0.01
    twin = network()
    twin.load_state_dict(model.state_dict())
    resumed = build_optimizer(twin, config)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in (3, 4):
        for m, o in ((model, optimizer), (twin, resumed)):
            backward(m, seed)
            o.step()
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)
