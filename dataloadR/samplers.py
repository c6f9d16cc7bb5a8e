"""Batch samplers: images, order and input size of each batch; all of it follows from seed and epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from cfg.schema import SIZE_STEP, AugmentConfig, DataConfig, TrainConfig
from dataloadR.dataset import SampleKey
from utils.arrays import F64
from utils.distributed import rank, world_size
from utils.errors import UserError
from utils.images import Size
from utils.records import Annotation

# separate streams of chance for the order of an epoch, the size of its batches and what it repeats
ORDER, SIZE, REPEATS = 0, 1, 2
ROUNDING = 1e-6  # images; a sum that should be whole is not always


def draw_size(base: Size, steps: int, key: tuple[int, int, int]) -> Size:
    """Return base + 32 k per side, k uniform in -steps..steps, from (seed, epoch, block) alone (spec 6.4)."""
    if steps == 0:
        return base
    change = SIZE_STEP * int(np.random.default_rng((SIZE, *key)).integers(-steps, steps + 1))
    return max(base[0] + change, SIZE_STEP), max(base[1] + change, SIZE_STEP)


def repeat_factors(annotations: Sequence[Annotation], threshold: float | None) -> F64 | None:
    """Return the repeat factor of each image, its mean number in an epoch, (N,), at least 1; None: each once.

    That of a class is max(1, sqrt(threshold / share of the images with it)), that of an image the largest of
    its classes; without objects 1.  Ignore regions do not count.  Source: LVIS (arXiv:1908.03195).
    """
    if threshold is None:
        return None
    classes = [np.unique(a.labels[a.difficult != 2]) for a in annotations]
    images = np.bincount(np.concatenate([*classes, np.zeros(0, np.int64)]))  # of each class
    by_class = np.sqrt(threshold * len(annotations) / np.maximum(images, 1))
    return np.array([by_class[labels].max(initial=1.0) for labels in classes])


def draw_repeats(factors: F64, key: tuple[int, int]) -> NDArray[np.int64]:
    """Return the rows of an epoch, shuffled, from (seed, epoch) alone; always floor(sum of factors) of them.

    Each row occurs floor(factor) or ceil(factor) times, on average factor times: as often as the running sum
    over the rows in random order, from a random start, passes a whole number (systematic sampling).  An epoch
    thus has the same number of steps every time, and the schedule of the learning rate is known.
    """
    rng = np.random.default_rng((REPEATS, *key))
    order = rng.permutation(len(factors))
    ends = np.floor(np.cumsum(factors[order]) + rng.random()).astype(np.int64)
    rows = np.repeat(order, np.diff(ends, prepend=0))
    return np.asarray(rng.permutation(rows)[: epoch_length(factors)])


def epoch_length(factors: F64) -> int:
    """Return the number of images that one epoch shows."""
    return int(np.floor(factors.sum() + ROUNDING))


@dataclass
class TrainBatches(Sampler[list[SampleKey]]):
    """Shuffled batches of one size each; every process takes its part of the same global batch.

    A last batch that is short is left out, unless it is the only one.  With `factors` (`repeat_factors`) some
    images come more than once in an epoch.
    """

    count: int  # images of the dataset
    batch_size: int  # images of one process in one micro-batch
    size: Size  # base size of the network input
    seed: int = 0
    steps: int = 0  # multi-scale: sizes of base + 32 {-steps..steps}
    every: int = 10  # batches of one size
    rank: int = 0
    world_size: int = 1
    accumulate: int = 1  # micro-batches of a step: batches below
    factors: F64 | None = None  # (count,) how often an epoch shows each image; None: once
    epoch: int = field(default=0, init=False)
    start: int = field(default=0, init=False)  # batches already done, after a resume within an epoch

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"expected at least one image to train on, got {self.count}")
        if self.factors is not None and len(self.factors) != self.count:
            raise ValueError(f"expected {self.count} repeat factors, got {len(self.factors)}")

    @property
    def global_batch(self) -> int:
        """Images of one step over all processes and micro-batches."""
        return self.batch_size * self.world_size * self.accumulate

    def set_epoch(self, epoch: int, start: int = 0) -> None:
        """Choose the epoch, counted from 0, and the batch to start at."""
        self.epoch, self.start = epoch, start

    def __len__(self) -> int:
        return self.steps_per_epoch * self.accumulate - self.start

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return max(self._images // self.global_batch, 1)

    @property
    def _images(self) -> int:
        """Images that an epoch shows."""
        return self.count if self.factors is None else epoch_length(self.factors)

    def _rows(self) -> NDArray[np.int64]:
        """Return the rows of the epoch in their order."""
        if self.factors is None:
            return np.random.default_rng((ORDER, self.seed, self.epoch)).permutation(self.count)
        return draw_repeats(self.factors, (self.seed, self.epoch))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = self._rows()
        parts = self.world_size * self.accumulate
        if len(order) < parts:
            order = np.resize(order, parts)  # every process needs an image in every micro-batch
        for batch in range(self.start, self.steps_per_epoch * self.accumulate):
            step, micro = divmod(batch, self.accumulate)
            size = draw_size(self.size, self.steps, (self.seed, self.epoch, step // self.every))
            positions = np.arange(step * self.global_batch, min((step + 1) * self.global_batch, len(order)))
            mine = np.array_split(positions, parts)[micro * self.world_size + self.rank]
            yield [(self.epoch, int(position), int(order[position]), size) for position in mine]


@dataclass
class EvalBatches(Sampler[list[SampleKey]]):
    """Every image once, in order, the short last batch included; process r of n takes each n-th batch.

    Each batch comes in `size` and then, of the same images, in each of `more_sizes`.
    """

    count: int
    batch_size: int
    size: Size
    rank: int = 0
    world_size: int = 1
    more_sizes: tuple[Size, ...] = ()

    def __len__(self) -> int:
        blocks = range(self.rank * self.batch_size, self.count, self.batch_size * self.world_size)
        return len(blocks) * (1 + len(self.more_sizes))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for first in range(self.rank * self.batch_size, self.count, self.batch_size * self.world_size):
            rows = range(first, min(first + self.batch_size, self.count))
            for size in (self.size, *self.more_sizes):
                yield [(0, row, row, size) for row in rows]


def training_batches(
    images: int, data: DataConfig, train: TrainConfig, augment: AugmentConfig, factors: F64 | None = None
) -> TrainBatches:
    """Return the micro-batches of this process over the epochs: shuffled, those of a step of one input size.

    Args:
        factors: how often an epoch shows each image, see `repeat_factors`; None: once.

    Raises:
        UserError: a step cannot be divided among the processes and micro-batches.
    """
    parts = world_size() * train.accumulate
    if train.batch_size % parts:
        raise UserError(
            f"train.batch_size={train.batch_size}: expected a multiple of {parts}, the processes times "
            "train.accumulate, for it counts the images of a whole step"
        )
    return TrainBatches(
        count=images,
        batch_size=train.batch_size // parts,
        size=data.input_size,
        seed=train.seed,
        steps=augment.multi_scale_steps,
        every=augment.multi_scale_every,
        rank=rank(),
        world_size=world_size(),
        accumulate=train.accumulate,
        factors=factors,
    )
