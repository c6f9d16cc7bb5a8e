"""Parallel jobs: the same task on many items, in several processes, under a progress bar."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2
import torch

from utils.errors import UserError
from utils.progress import bar_over

logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


def run_jobs(
    task: Callable[[T], R], items: Sequence[T], processes: int, name: str, unit: str = "image"
) -> Iterator[R]:
    """Yield what `task` returns for each item, in the order of the items; an error of a task is raised here.

    Ctrl-C, an error or leaving the loop lets the tasks at work finish and starts no others.

    Args:
        task: a function of a module, or a partial of one; both it and the items are sent to the processes.
        processes: at most one per core and per item; 1: the calling one.
        name: what the progress bar says.
    """
    processes = min(processes, os.cpu_count() or 1, len(items))
    yield from bar_over(_results(task, items, processes), name, unit, len(items))


def _results(task: Callable[[T], R], items: Sequence[T], processes: int) -> Iterator[R]:
    if processes < 2:
        yield from map(task, items)
        return
    others = set(multiprocessing.active_children())
    context, pool = multiprocessing.get_context(), None
    try:
        try:  # the second starts processes and threads
            pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin)
            results = pool.map(task, items, chunksize=1)
        except (OSError, RuntimeError, ImportError) as error:  # no semaphores without /dev/shm; ulimit -u
            pool = None
            _end_all_but(others)
            logger.warning("one process instead of %d, for more cannot be started here: %s", processes, error)
            results = map(task, items)
        yield from results
    except BrokenProcessPool:
        raise UserError(
            "a process of the tool was killed, most likely for lack of memory; --processes 1 needs least"
        ) from None
    finally:
        if pool:
            pool.shutdown(wait=True, cancel_futures=True)
        _end_all_but(others)


def _end_all_but(others: Collection[object]) -> None:
    """Kill the processes that are left: without the thread that feeds them they would wait for ever."""
    for child in multiprocessing.active_children():
        if child not in others:
            child.kill()


def _begin() -> None:
    """Leave Ctrl-C to the parent, which waits for what is at work; one thread for each process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
