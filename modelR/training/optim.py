"""Optimiser, learning rate and averaged weights (spec 6.2, 6.3)."""

import math
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from cfg.schema import TrainConfig
from modelR.training.muon import Muon

DEFAULT_LR = {"sgd": 0.02, "adamw": 4e-3, "muon": 0.016}  # at a batch of 16 images
Tensors = list[Tensor] | tuple[Tensor, ...]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Return two groups: kernels and matrices with decay, norm weights and all biases without.

    Frozen parameters are in neither.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_kernel = parameter.ndim > 1 and name.rpartition(".")[2] == "weight"
        (decayed if is_kernel else plain).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def build_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """Return the optimiser of the recipe; its rate is linear in the global batch."""
    groups = parameter_groups(model, config.weight_decay)
    base = DEFAULT_LR[config.optimizer] if config.lr is None else config.lr
    lr = base * config.batch_size / config.lr_batch
    match config.optimizer:
        case "sgd":
            return SGD(groups, lr=lr, momentum=config.momentum, nesterov=config.momentum > 0.0)
        case "adamw":
            return AdamW(groups, lr=lr, betas=(config.momentum, 0.999))
        case "muon":
            kernels = normalized_kernels(model)
            return Muon(kernels, _without(groups, kernels), lr, config.weight_decay)


def normalized_kernels(model: nn.Module) -> list[Tensor]:
    """Return the kernels of convolutions that a norm follows, known by their lack of a bias."""
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    return [c.weight for c in convolutions if c.bias is None and c.weight.requires_grad]


def _without(groups: list[dict[str, Any]], left_out: list[Tensor]) -> list[dict[str, Any]]:
    known = {id(parameter) for parameter in left_out}
    return [group | {"params": [p for p in group["params"] if id(p) not in known]} for group in groups]


def learning_rate(step: int, total_steps: int, warmup_steps: int, base: float, end: float) -> float:
    """Return the rate of optimiser step `step` (from 0): linear from 0 to `base`, then a cosine to `end`.

    Source: spec 6.3.
    """
    if step < warmup_steps:
        return base * step / warmup_steps
    progress = min((step - warmup_steps) / max(total_steps - warmup_steps, 1), 1.0)
    return end + 0.5 * (base - end) * (1.0 + math.cos(math.pi * progress))


def warmup_length(config: TrainConfig, steps_per_epoch: int) -> int:
    """Return the optimiser steps of the warm-up: its epochs, but no more than its share of all steps."""
    total_steps = config.epochs * steps_per_epoch
    return round(min(config.warmup_epochs * steps_per_epoch, config.warmup_share * total_steps))


def build_scheduler(optimizer: Optimizer, config: TrainConfig, steps_per_epoch: int) -> LambdaLR:
    """Return the schedule to step once after every optimiser step."""
    if steps_per_epoch < 1:
        raise ValueError(f"steps_per_epoch: expected at least 1, got {steps_per_epoch}")
    total_steps = config.epochs * steps_per_epoch
    warmup_steps = warmup_length(config, steps_per_epoch)

    def factor(step: int) -> float:
        return learning_rate(step, total_steps, warmup_steps, base=1.0, end=config.lr_end_share)

    return LambdaLR(optimizer, factor)


class ModelEma(AveragedModel):
    """Exponential moving average of the weights, ready to evaluate as `module`; buffers are copied.

    The decay ramps as decay (1 - exp(-updates / tau)), so that the first updates follow the model.
    """

    def __init__(self, model: nn.Module, decay: float, tau: float) -> None:
        def update(averages: Tensors, values: Tensors, updates: Tensor | int) -> None:
            share = 1.0 - ema_decay(int(updates), decay, tau)
            for average, value in zip(averages, values, strict=True):
                average.lerp_(value, share)

        super().__init__(model, multi_avg_fn=update)
        self.eval().requires_grad_(False)


def ema_decay(updates: int, decay: float, tau: float) -> float:
    """Return the decay after `updates` earlier updates: 0 at first, `decay` in the end."""
    return decay * (1.0 - math.exp(-updates / tau))
