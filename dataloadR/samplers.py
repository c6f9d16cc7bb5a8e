"""Which images form a batch, in which order and at which size; all of it follows from seed and epoch."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import Sampler

from cfg.schema import SIZE_STEP, AugmentConfig, DataConfig, TrainConfig
from dataloadR.dataset import SampleKey
from utils.distributed import rank, world_size
from utils.errors import UserError
from utils.images import Size

ORDER, SIZE = 0, 1  # separate streams of chance for the order of an epoch and the size of its batches


def draw_size(base: Size, steps: int, key: tuple[int, int, int]) -> Size:
    """Return base + 32 k per side, k uniform in -steps..steps, from (seed, epoch, block) alone (spec 6.4)."""
    if steps == 0:
        return base
    change = SIZE_STEP * int(np.random.default_rng((SIZE, *key)).integers(-steps, steps + 1))
    return max(base[0] + change, SIZE_STEP), max(base[1] + change, SIZE_STEP)


@dataclass
class TrainBatches(Sampler[list[SampleKey]]):
    """Shuffled batches of one size each; every process takes its part of the same global batch.

    A last batch that is short is left out, unless it is the only one.
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
    epoch: int = field(default=0, init=False)
    start: int = field(default=0, init=False)  # batches already done, after a resume within an epoch

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"expected at least one image to train on, got {self.count}")

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
        return max(self.count // self.global_batch, 1)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        order = np.random.default_rng((ORDER, self.seed, self.epoch)).permutation(self.count)
        parts = self.world_size * self.accumulate
        if self.count < parts:
            order = np.resize(order, parts)  # every process needs an image in every micro-batch
        for batch in range(self.start, self.steps_per_epoch * self.accumulate):
            step, micro = divmod(batch, self.accumulate)
            size = draw_size(self.size, self.steps, (self.seed, self.epoch, step // self.every))
            positions = np.arange(step * self.global_batch, min((step + 1) * self.global_batch, len(order)))
            mine = np.array_split(positions, parts)[micro * self.world_size + self.rank]
            yield [(self.epoch, int(position), int(order[position]), size) for position in mine]


@dataclass
class EvalBatches(Sampler[list[SampleKey]]):
    """Every image once, in order, the short last batch included; process r of n takes each n-th batch."""

    count: int
    batch_size: int
    size: Size
    rank: int = 0
    world_size: int = 1

    def __len__(self) -> int:
        return len(range(self.rank * self.batch_size, self.count, self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for first in range(self.rank * self.batch_size, self.count, self.batch_size * self.world_size):
            rows = range(first, min(first + self.batch_size, self.count))
            yield [(0, row, row, self.size) for row in rows]


def training_batches(
    images: int, data: DataConfig, train: TrainConfig, augment: AugmentConfig
) -> TrainBatches:
    """Return the micro-batches of this process over the epochs: shuffled, those of a step of one input size.

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
    )
