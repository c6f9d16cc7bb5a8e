"""Threads: slices of a loop, for kernels that hold no lock, and iterables that are drawn ahead."""

import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

T = TypeVar("T")
SLICES_PER_THREAD = 4  # slices differ in work: whoever is done early takes another
_here = threading.local()  # marks the threads of the pool


def in_slices(task: Callable[[int, int], object], count: int, least: int = 1) -> None:
    """Call `task(first, last)` on slices of `range(count)`, on as many threads as torch uses.

    Inside such a task everything runs on its own thread: waiting for the others there could wait forever.

    Args:
        least: rows that are worth a thread.
    """
    threads = min(torch.get_num_threads(), count // least)
    if threads < 2 or getattr(_here, "in_pool", False):
        task(0, count)
        return
    bounds = [count * k // (threads * SLICES_PER_THREAD) for k in range(threads * SLICES_PER_THREAD + 1)]
    pool = _pool(os.getpid(), threads)
    futures = [pool.submit(task, first, last) for first, last in itertools.pairwise(bounds)]
    for future in futures:
        future.result()


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Return the threads of this process: a fork has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix="quads", initializer=_mark)


def _mark() -> None:
    _here.in_pool = True


def read_ahead(items: Iterable[T], count: int = 1) -> Generator[T, None, None]:
    """Yield the items while a thread draws the next `count` of them.

    An error of the iterable is raised where its item would have come.  A generator that is left early ends in
    the thread that it ran in.
    """
    source, end = iter(items), object()
    with ThreadPoolExecutor(1, thread_name_prefix="read ahead") as thread:
        waiting = deque(thread.submit(next, source, end) for _ in range(count))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, source, end))
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()
            thread.submit(getattr(source, "close", lambda: None)).result()
