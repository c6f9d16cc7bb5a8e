"""Progress bars and lines: how long work goes."""

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

import torch
from tqdm import tqdm

from utils.resume import Position

MEBI = 2**20
PATIENCE = 2.0  # s before a bar appears
T = TypeVar("T")
ProgressBar: TypeAlias = "tqdm[Any]"


def units_bar(name: str, total: int, unit: str, hidden: bool) -> ProgressBar:
    """Return a bar whose total and unit may change on the way."""
    return tqdm(desc=name, total=total, unit=unit, dynamic_ncols=True, disable=hidden)


def steps_bar(name: str, total: int, done: int, hidden: bool) -> ProgressBar:
    """Return a progress bar over the optimiser steps of an epoch, some of which may be done already."""
    return tqdm(
        desc=name, total=total, initial=done, unit="step", dynamic_ncols=True, mininterval=1, disable=hidden
    )


def bar_over(
    items: Iterable[T], name: str, unit: str, total: int | None = None, hidden: bool = False
) -> Generator[T, None, None]:
    """Yield the items below a bar that stays when all are done.

    Args:
        total: how many items without a length there are; None: not known.
        hidden: without a bar, not even one that shows nothing, see `counting`.
    """
    yield from items if hidden else tqdm(items, name, total, unit=unit, dynamic_ncols=True)


@contextmanager
def counting(name: str, total: int, unit: str, hidden: bool) -> Iterator[Callable[[int], object]]:
    """Yield what counts units that are done; a bar shows them from the third second on, until all are."""
    if hidden:  # not even a bar that shows nothing: tqdm settles how the program may start processes
        yield lambda _: None
        return
    with tqdm(desc=name, total=total, unit=unit, leave=False, dynamic_ncols=True, delay=PATIENCE) as progress:
        yield progress.update


def counting_for_all(count: Callable[[int], object], own: int, total: int) -> Callable[[int], None]:
    """Return what counts the work of all processes by the share that this one does.

    Args:
        own: what this process will count, all in all.
        total: what shall then be counted.
    """
    done = 0

    def count_all(number: int) -> None:
        nonlocal done
        before = done * total // own
        done += number
        count(done * total // own - before)

    return count_all


def progress_text(position: Position, batch_size: int, device: torch.device) -> str:
    """Return the mean loss so far, images per second, the share of waiting for data, and memory."""
    loss = float(next(iter(position.sums.values()))) / max(position.steps, 1)
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
