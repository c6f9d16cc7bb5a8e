"""Progress bars and lines: how long work goes."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tqdm import tqdm

from utils.resume import Position

MEBI = 2**20
PATIENCE = 2.0  # s before a bar appears


def steps_bar(name: str, total: int, done: int, hidden: bool) -> "tqdm[Any]":
    """Return a progress bar over the optimiser steps of an epoch, some of which may be done already."""
    return tqdm(
        desc=name, total=total, initial=done, unit="step", dynamic_ncols=True, mininterval=1, disable=hidden
    )


@contextmanager
def counting(name: str, total: int, unit: str, hidden: bool) -> Iterator[Callable[[int], object]]:
    """Yield what counts units that are done; a bar shows them from the third second on, until all are."""
    if hidden:  # not even a bar that shows nothing: tqdm settles how the program may start processes
        yield lambda _: None
        return
    with tqdm(desc=name, total=total, unit=unit, leave=False, dynamic_ncols=True, delay=PATIENCE) as progress:
        yield progress.update


def progress_text(position: Position, batch_size: int, device: torch.device) -> str:
    """Return the mean loss so far, images per second, the share of waiting for data, and memory."""
    loss = float(position.sums[0]) / max(position.steps, 1)
    seconds = max(position.seconds, 1e-9)
    return (
        f"loss={loss:.3f}, {position.steps * batch_size / seconds:.1f} images/s, "
        f"data {position.waited / seconds:.0%}, {_memory(device) / 1024:.1f} GiB"
    )


def _memory(device: torch.device) -> float:
    """Return the MiB in use at most so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEBI
    if sys.platform == "win32":
        return 0.0
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEBI if sys.platform == "darwin" else peak / 1024  # bytes there, KiB on Linux
