"""Optimiser step, over all of its micro-batches and processes."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel

from cfg.schema import LossConfig, TrainConfig
from modelR.gghl import GGHL
from modelR.losses.joint import JointLoss, Losses, positive_count
from utils.distributed import sum_over_ranks, world_size
from utils.optim import ModelEma, build_optimizer, build_scheduler
from utils.precision import half_type, mixed_precision
from utils.records import LevelTargets
from utils.resume import Stateful


class Stepper:
    """Moves the weights of a model, their average and the learning rate."""

    def __init__(
        self, model: GGHL, config: TrainConfig, loss: LossConfig, device: torch.device, steps_per_epoch: int
    ) -> None:
        self.model = model
        self.config = config
        self.device = device
        self.criterion = JointLoss(loss)
        self.ema = ModelEma(model, config.ema_decay, config.ema_tau)
        self.optimizer = build_optimizer(model, config)
        self.scheduler = build_scheduler(self.optimizer, config, steps_per_epoch)
        half = half_type(device) if config.amp else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=half == torch.float16)
        self.shared: DistributedDataParallel | None = None
        if world_size() > 1:
            ids = [device] if device.type == "cuda" else None
            self.shared = DistributedDataParallel(model, device_ids=ids)
        forward: nn.Module = self.shared or model
        self.forward = torch.compile(forward) if config.compile else forward

    @property
    def parts(self) -> dict[str, Stateful]:
        """What has a state that a resume needs."""
        names = ("model", "ema", "optimizer", "scheduler", "scaler")
        return {name: getattr(self, name) for name in names}

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def train_mode(self) -> None:
        """Put the model into training mode, but for frozen statistics."""
        self.model.train()
        if self.config.freeze_norm:
            for module in self.model.modules():
                if isinstance(module, _NormBase):
                    module.eval()

    def step(self, images: Sequence[Tensor], targets: Sequence[list[LevelTargets]]) -> Tensor | None:
        """Move the weights by one batch in micro-batches and return its losses as in `Losses`, float32.

        One normaliser serves all micro-batches and processes, so that they add up to one large batch.
        None where a loss or a gradient is not finite in any process: then nothing but the schedule moves.
        """
        positives = sum_over_ranks(torch.stack([positive_count(levels) for levels in targets]).sum())
        normalizer = positives.clamp(min=1) / world_size()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(len(Losses._fields), device=self.device)
        for number, (image, levels) in enumerate(zip(images, targets, strict=True), start=1):
            with self._syncing(number == len(images)):
                with mixed_precision(self.device, self.config.amp):
                    predictions = self.forward(image)
                losses = self.criterion(predictions, levels, normalizer)
                self.scaler.scale(losses.total).backward()  # type: ignore[no-untyped-call]
            total += torch.stack(losses).detach()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        *sums, length = torch.cat([sum_over_ranks(total), norm.view(1).float()]).cpu()  # the step's only wait
        if not sums[0].isfinite():
            self.scaler.update(self.scaler.get_scale())  # as it was: the fault lies with the loss
            self._skip()
            return None
        if not length.isfinite() and self.scaler.get_scale() <= 1:  # above 1 a smaller scale may do
            self.scaler.update()
            self._skip()
            return None
        self.scaler.step(self.optimizer)  # leaves a step out whose gradients are not finite
        self.scaler.update()
        self.scheduler.step()
        self.ema.update_parameters(self.model)
        return torch.stack(sums) / world_size()

    def _syncing(self, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients after the last micro-batch alone."""
        if self.shared is None or last:
            return nullcontext()
        return self.shared.no_sync()

    def _skip(self) -> None:
        """Leave everything as the last good step left it, the statistics of batch norm included."""
        for buffer, kept in zip(self.model.buffers(), self.ema.module.buffers(), strict=True):
            buffer.copy_(kept)  # the average copies buffers after every good step
        self.optimizer.zero_grad(set_to_none=True)
        self.scheduler.step()
