"""Optimiser step, over all of its micro-batches and processes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel

from cfg.schema import TrainConfig
from dataloadR.assign.shapes import Pyramid
from modelR.method import Method, Predictions, Targets, Teacher
from modelR.network import Network
from modelR.training.optim import ModelEma, build_optimizer, build_scheduler
from utils.distributed import sum_over_ranks, world_size
from utils.precision import half_type, mixed_precision
from utils.records import Batch, Objects
from utils.resume import Stateful

TOTAL = "total"  # the sum of all terms


class Stepper:
    """Moves the weights of a model, their average and the learning rate."""

    def __init__(
        self,
        model: Network,
        config: TrainConfig,
        device: torch.device,
        steps_per_epoch: int,
        teacher: Teacher | None = None,
    ) -> None:
        self.model = model
        self.teacher = teacher
        self.config = config
        self.device = device
        if isinstance(model.method.loss, nn.Module):
            model.method.loss.to(device)
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
    def method(self) -> Method:
        """What the network learns, and how."""
        return self.model.method

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses of a step, their sum first."""
        return (TOTAL, *self.method.terms, *(self.teacher.terms if self.teacher else ()))

    @property
    def parts(self) -> dict[str, Stateful]:
        """What has a state that a resume needs."""
        names = ("model", "ema", "optimizer", "scheduler", "scaler")
        parts = {name: getattr(self, name) for name in names}
        return parts | ({"loss": self.method.loss} if self._loss_state() else {})

    def _loss_state(self) -> dict[str, Tensor]:
        """Return the state of the loss; empty where it holds none."""
        loss = self.method.loss
        return loss.state_dict() if isinstance(loss, nn.Module) else {}

    @property
    def histograms(self) -> dict[str, Tensor]:
        """The last histograms of the loss, counts by name; none of a loss that keeps none."""
        ask: Callable[[], dict[str, Tensor]] = getattr(self.method.loss, "histograms", dict)
        return ask()

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

    def targets(self, objects: Objects, images: Tensor, predictions: Predictions | None) -> Targets:
        """Return what a micro-batch shall learn."""
        return self.method.targets(objects, Pyramid.of(images, self.method.strides), predictions)

    def step(self, batches: Sequence[Batch]) -> dict[str, Tensor] | None:
        """Move the weights by one batch in micro-batches; return its losses by name, `TOTAL` first, float32.

        One normaliser serves all micro-batches and processes, so that they add up to one large batch.
        None where a loss or a gradient is not finite in any process: then nothing but the schedule moves.
        """
        before = {name: value.clone() for name, value in self._loss_state().items()}
        self.optimizer.zero_grad(set_to_none=True)
        sums = self._dynamic_losses(batches) if self.method.is_dynamic else self._losses(batches)
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        *means, length = torch.cat([sum_over_ranks(sums), norm.view(1).float()]).cpu()  # the step's only wait
        if not means[0].isfinite():
            self.scaler.update(self.scaler.get_scale())  # as it was: the fault lies with the loss
            self._skip(before)
            return None
        if not length.isfinite() and self.scaler.get_scale() <= 1:  # above 1 a smaller scale may do
            self.scaler.update()
            self._skip(before)
            return None
        self.scaler.step(self.optimizer)  # leaves a step out whose gradients are not finite
        self.scaler.update()
        self.scheduler.step()
        self.ema.update_parameters(self.model)
        return dict(zip(self.terms, torch.stack(means) / world_size(), strict=True))

    def _losses(self, batches: Sequence[Batch]) -> Tensor:
        """Leave the gradients of a batch whose targets are known before the network has looked."""
        targets = [self.targets(batch.objects, batch.images, None) for batch in batches]
        normalizer = self._normalizer([self.method.count(levels) for levels in targets])
        total = torch.zeros(len(self.terms), device=self.device)
        for number, (batch, levels) in enumerate(zip(batches, targets, strict=True), start=1):
            with self._syncing(number == len(batches)):
                predictions = self._look(batch.images)
                total += self._backward(batch.images, predictions, levels, normalizer)
        return total

    def _dynamic_losses(self, batches: Sequence[Batch]) -> Tensor:
        """Leave the gradients of a batch whose targets look at predictions: the normaliser comes last."""
        total = torch.zeros(len(self.terms), device=self.device)
        counts = []
        for number, batch in enumerate(batches, start=1):
            with self._syncing(number == len(batches)):
                predictions = self._look(batch.images)
                with torch.no_grad():
                    levels = self.targets(batch.objects, batch.images, predictions)
                counts.append(self.method.count(levels))
                total += self._backward(batch.images, predictions, levels, torch.ones_like(counts[0]))
        normalizer = self._normalizer(counts)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.div_(normalizer)
        return total / normalizer

    def _normalizer(self, counts: Sequence[Tensor]) -> Tensor:
        return sum_over_ranks(torch.stack(list(counts)).sum(dim=0)).clamp(min=1) / world_size()

    def _look(self, images: Tensor) -> Predictions:
        with mixed_precision(self.device, self.config.amp):
            predictions: Predictions = self.forward(images)
        return predictions

    def _backward(
        self, images: Tensor, predictions: Predictions, levels: Targets, normalizer: Tensor
    ) -> Tensor:
        """Add the gradients of a micro-batch and return its losses in the order of `terms`."""
        losses = self.method.loss(predictions, levels, normalizer)
        if self.teacher:
            losses = losses | self.teacher(images, predictions, levels, normalizer)
        every = torch.stack([losses[name] for name in self.terms if name != TOTAL])
        total = every.sum()
        self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
        return torch.cat([total.view(1), every]).detach()

    def _syncing(self, last: bool) -> AbstractContextManager[None]:
        """Exchange gradients after the last micro-batch alone."""
        if self.shared is None or last:
            return nullcontext()
        return self.shared.no_sync()

    def _skip(self, loss: dict[str, Tensor]) -> None:
        """Leave everything as the last good step left it, statistics of norms and of the loss included."""
        for buffer, kept in zip(self.model.buffers(), self.ema.module.buffers(), strict=True):
            buffer.copy_(kept)  # the average copies buffers after every good step
        if isinstance(self.method.loss, nn.Module):
            self.method.loss.load_state_dict(loss)
        self.optimizer.zero_grad(set_to_none=True)
        self.scheduler.step()
