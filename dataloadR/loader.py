"""Data loaders: samples become batches, in worker processes."""

import atexit
import errno
import math
import multiprocessing
import os
import re
import signal
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partialmethod
from multiprocessing.queues import Queue
from multiprocessing.util import get_temp_dir
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from cfg.schema import AugmentConfig, DataConfig, TrainConfig
from dataloadR.dataset import RotatedDataset, SampleKey
from dataloadR.samplers import EvalBatches, TrainBatches, repeat_factors, training_batches
from dataloadR.sharing import can_share
from utils.exhaustion import exhaustion
from utils.records import Annotation, Batch, Objects, Sample

NO_IMAGE = np.zeros((0, 0, 3), np.uint8)


class Ahead(NamedTuple):
    """How many batches are ready, and how many are in use."""

    prefetch: int = 2  # that each worker keeps ready; torch's own default
    held: int = 0  # that are in use at the same time, see `Batches`; 0: any number


AHEAD = Ahead()


Allocate = Callable[[tuple[int, ...]], Tensor]


def new_images(shape: tuple[int, ...]) -> Tensor:
    """Return memory for the images of a batch, uint8 (B, H, W, 3)."""
    return torch.empty(shape, dtype=torch.uint8)


def collate(samples: Iterable[Sample], count: int, allocate: Allocate = new_images) -> Batch:
    """Return the batch of `count` samples of one size: uint8 images (B, 3, H, W) and all objects, a row each.

    The images lie in memory as they come from OpenCV, channels last, which is the order the networks use.
    Each is copied into its place before the next is drawn.
    """
    images, rest = new_images((0, 0, 0, 3)), []
    for place, sample in enumerate(samples):
        if place == 0:
            images = allocate((count, *sample.image.shape))
        if sample.image.shape != images.shape[1:]:
            expected = f"expected images of one size in a batch, {tuple(images.shape[1:])}"
            raise ValueError(f"{expected}, got {sample.image.shape}")
        images[place] = torch.from_numpy(sample.image)
        rest.append(sample._replace(image=NO_IMAGE))
    counts = [len(sample.quads) for sample in rest]
    objects = Objects(
        quads=_join([sample.quads for sample in rest], np.float32),
        labels=_join([sample.labels for sample in rest], np.int64),
        weights=_join([sample.weights for sample in rest], np.float32),
        ignore=_join([sample.ignore for sample in rest], np.bool_),
        image_index=torch.from_numpy(np.repeat(np.arange(len(rest)), counts)),
    )
    return Batch(
        images=images.permute(0, 3, 1, 2),
        objects=objects,
        frames=[sample.frame for sample in rest],
        indices=torch.tensor([sample.row for sample in rest], dtype=torch.int64),
    )


def _join(arrays: Sequence[np.ndarray], dtype: type[np.generic]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays).astype(dtype, copy=False))


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with images and objects on the device; frames and indices stay."""
    return batch._replace(
        images=batch.images.to(device, non_blocking=True),
        objects=Objects(*(field.to(device, non_blocking=True) for field in batch.objects)),
    )


def usable_cpus() -> int:
    """Return the number of CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def init_worker(_: int) -> None:
    """Keep a worker to one thread, for there is one worker per core, and leave signals to its parent.

    What is sent to the whole group must not end the workers before the parent has saved.
    """
    Queue._on_queue_feeder_error = staticmethod(_end_with_error)  # type: ignore[attr-defined] # noqa: SLF001
    Queue._start_thread = partialmethod(_start_or_end, Queue._start_thread)  # type: ignore[attr-defined] # noqa: SLF001
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _end_with_error(error: Exception, _: object) -> None:
    """End a worker whose batch cannot be sent, and for which its parent would wait for ever.

    The number of the system's error becomes the exit code, which `utils.exhaustion` knows.
    """
    number = re.search(r"\((\d+)\)$", str(error))  # at the end of torch's messages
    code = error.errno if isinstance(error, OSError) else int(number[1]) if number else None
    if code is None and exhaustion(error):  # a thread that cannot be started
        code = errno.EAGAIN
    if code is None:
        traceback.print_exception(error)
    os._exit(code or 1)


def _start_or_end(queue: "Queue[Any]", start: Callable[["Queue[Any]"], None]) -> None:
    """Start the thread that sends the batches of a worker."""
    try:
        start(queue)
    except RuntimeError as error:  # no more threads may be started
        _end_with_error(error, None)


def end_workers() -> None:
    """Kill the workers that are left, as those of a loop that an error ended.

    They ignore the signal by which multiprocessing ends them, and it would wait for them forever.
    """
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise for each of them
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


class Batches(Dataset[Batch]):
    """Batches of a dataset by the keys of their samples.

    Args:
        held: batches that are in use at the same time; a worker then draws into shared memory that it uses
            again when they and those on their way are done with.  Fresh pages cost a quarter of the time of
            a batch (docs/benchmarks.md).  0: any number, in memory of their own.
        prefetch: batches on their way from a worker.
    """

    def __init__(self, samples: RotatedDataset, held: int, prefetch: int) -> None:
        self.samples = samples
        self.slots = held + prefetch + 1 if held else 0
        self.memory: list[Tensor] = []
        self.drawn = 0

    def __getitem__(self, keys: Sequence[SampleKey]) -> Batch:
        reuses = self.slots and get_worker_info() is not None
        return collate((self.samples[key] for key in keys), len(keys), self._reused if reuses else new_images)

    def _reused(self, shape: tuple[int, ...]) -> Tensor:
        size, slot = math.prod(shape), self.drawn % self.slots
        self.drawn += 1
        if slot == len(self.memory):
            self.memory.append(torch.empty(0, dtype=torch.uint8))
        if self.memory[slot].numel() < size:
            self.memory[slot] = torch.empty(size, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
        return self.memory[slot][:size].view(shape)


def _as_it_is(batch: Any) -> Any:
    """Return a batch instead of a copy whose arrays became tensors."""
    return batch


def _loader(
    dataset: RotatedDataset,
    batches: TrainBatches | EvalBatches,
    workers: int,
    context: str | None,
    device: torch.device | None,
    ahead: Ahead,
) -> DataLoader[Batch]:
    workers = min(workers, usable_cpus())
    workers = workers if workers and can_share() else 0
    if workers:
        get_temp_dir()  # theirs, too, and removed at the end: those of workers that are killed would stay
        atexit.unregister(end_workers)  # once, and in programs alone that have workers of ours
        atexit.register(end_workers)
    return DataLoader(
        Batches(dataset, ahead.held, ahead.prefetch),
        sampler=batches,
        batch_size=None,  # the sampler's keys are those of whole batches
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=init_worker,
        generator=torch.Generator(),  # else each epoch draws from the state that a resume brings back
        persistent_workers=workers > 0,
        multiprocessing_context=context if workers > 0 else None,
        pin_memory=device is not None and device.type == "cuda",  # `to_device` then copies beside the work
        prefetch_factor=ahead.prefetch if workers > 0 else None,
    )


def train_loader(
    dataset: RotatedDataset,
    batches: TrainBatches,
    workers: int,
    context: str | None = None,
    device: torch.device | None = None,
    ahead: Ahead = AHEAD,
) -> DataLoader[Batch]:
    """Return the loader of training batches (`Batch`); call `batches.set_epoch` before each epoch.

    Args:
        workers: processes, at most one per core; 0: the calling one.
        context: a start method of multiprocessing, None for the platform's own.
        device: where the batches go; for a GPU they lie in pinned memory.
        ahead: how many batches are ready and in use.
    """
    return _loader(dataset, batches, workers, context, device, ahead)


def eval_loader(
    dataset: RotatedDataset,
    batches: EvalBatches,
    workers: int,
    context: str | None = None,
    device: torch.device | None = None,
    ahead: Ahead = AHEAD,
) -> DataLoader[Batch]:
    """Return the loader of evaluation batches (`Batch`): every image once, in order; see `train_loader`."""
    return _loader(dataset, batches, workers, context, device, ahead)


def training_data(
    annotations: Sequence[Annotation],
    data: DataConfig,
    augment: AugmentConfig,
    train: TrainConfig,
    min_side: float,
    device: torch.device,
) -> tuple[TrainBatches, DataLoader[Batch]]:
    """Return the order of the training batches of this process, and their loader, as the settings say.

    Args:
        min_side: px; smaller objects are ignore regions.
        device: where the batches go.

    Raises:
        UserError: as `samplers.training_batches`.
    """
    factors = repeat_factors(annotations, data.repeat_threshold)
    batches = training_batches(len(annotations), data, train, augment, factors)
    dataset = RotatedDataset(annotations, augment, min_side, train.seed, train.epochs, data)
    return batches, train_loader(
        dataset, batches, data.workers, None, device, Ahead(data.prefetch, train.accumulate)
    )
