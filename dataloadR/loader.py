"""Samples become batches, in worker processes."""

import atexit
import multiprocessing
import os
import signal
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from cfg.schema import AugmentConfig, DataConfig, TrainConfig
from dataloadR.dataset import RotatedDataset
from dataloadR.samplers import EvalBatches, TrainBatches, repeat_factors, training_batches
from utils.records import Annotation, Batch, Objects, Sample

PREFETCH = 2  # batches; torch's own default


def collate(samples: Sequence[Sample]) -> Batch:
    """Return the batch of samples of one size: uint8 images (B, 3, H, W) and all objects, one row each.

    The images lie in memory as they come from OpenCV, channels last, which is the order the networks use.
    """
    sizes = {sample.image.shape for sample in samples}
    if len(sizes) != 1:
        raise ValueError(f"expected images of one size in a batch, got {sorted(sizes)}")
    images = default_collate([torch.from_numpy(sample.image) for sample in samples])  # in shared memory
    counts = [len(sample.quads) for sample in samples]
    objects = Objects(
        quads=_join([sample.quads for sample in samples], np.float32),
        labels=_join([sample.labels for sample in samples], np.int64),
        weights=_join([sample.weights for sample in samples], np.float32),
        ignore=_join([sample.ignore for sample in samples], np.bool_),
        image_index=torch.from_numpy(np.repeat(np.arange(len(samples)), counts)),
    )
    return Batch(
        images=images.permute(0, 3, 1, 2),
        objects=objects,
        frames=[sample.frame for sample in samples],
        indices=torch.tensor([sample.row for sample in samples], dtype=torch.int64),
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
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def end_workers() -> None:
    """Kill the workers that are left, as those of a loop that an error ended.

    They ignore the signal by which multiprocessing ends them, and it would wait for them forever.
    """
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise for each of them
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _loader(
    dataset: RotatedDataset,
    batches: TrainBatches | EvalBatches,
    workers: int,
    context: str | None,
    device: torch.device | None,
    prefetch: int,
) -> DataLoader[Sample]:
    workers = min(workers, usable_cpus())
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=init_worker,
        generator=torch.Generator(),  # else each epoch draws from the state that a resume brings back
        persistent_workers=workers > 0,
        multiprocessing_context=context if workers > 0 else None,
        pin_memory=device is not None and device.type == "cuda",  # `to_device` then copies beside the work
        prefetch_factor=prefetch if workers > 0 else None,
    )


def train_loader(
    dataset: RotatedDataset,
    batches: TrainBatches,
    workers: int,
    context: str | None = None,
    device: torch.device | None = None,
    prefetch: int = PREFETCH,
) -> DataLoader[Sample]:
    """Return the loader of training batches (`Batch`); call `batches.set_epoch` before each epoch.

    Args:
        workers: processes, at most one per core; 0: the calling one.
        context: a start method of multiprocessing, None for the platform's own.
        device: where the batches go; for a GPU they lie in pinned memory.
        prefetch: batches that each worker keeps ready.
    """
    return _loader(dataset, batches, workers, context, device, prefetch)


def eval_loader(
    dataset: RotatedDataset,
    batches: EvalBatches,
    workers: int,
    context: str | None = None,
    device: torch.device | None = None,
    prefetch: int = PREFETCH,
) -> DataLoader[Sample]:
    """Return the loader of evaluation batches (`Batch`): every image once, in order; see `train_loader`."""
    return _loader(dataset, batches, workers, context, device, prefetch)


def training_data(
    annotations: Sequence[Annotation],
    data: DataConfig,
    augment: AugmentConfig,
    train: TrainConfig,
    min_side: float,
    device: torch.device,
) -> tuple[TrainBatches, DataLoader[Sample]]:
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
    return batches, train_loader(dataset, batches, data.workers, None, device, data.prefetch)
