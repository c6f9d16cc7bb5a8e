import errno
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import pytest
import torch

from datasets_tools.jobs import run_jobs
from utils.errors import UserError


def square(number: int) -> int:
    if number == 13:
        raise UserError("13 is refused")
    return number * number


def leave_a_file(path: Path) -> None:
    path.write_text("done", encoding="utf-8")


def threads(_: int) -> tuple[int, int]:
    return torch.get_num_threads(), cv2.getNumThreads()


def end_badly(_: int) -> None:
    os._exit(1)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 10])
def test_results_come_in_order(processes: int, count: int) -> None:
    assert list(run_jobs(square, range(count), processes, "squares")) == [k * k for k in range(count)]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_raised_here(processes: int) -> None:
    with pytest.raises(UserError, match="13 is refused"):
        list(run_jobs(square, range(20), processes, "squares"))


def test_who_leaves_early_starts_no_more(tmp_path: Path) -> None:
    paths = [tmp_path / str(k) for k in range(500)]
    for _ in run_jobs(leave_a_file, paths, 2, "files"):
        break
    assert 0 < len(list(tmp_path.iterdir())) < len(paths)


def test_a_process_that_dies_is_an_error_and_no_wait() -> None:
    with pytest.raises(UserError, match="killed"):
        list(run_jobs(end_badly, range(4), 2, "deaths"))


def test_a_process_has_one_thread() -> None:
    assert set(run_jobs(threads, range(4), 2, "threads")) == {(1, 1)}


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSYS, "Function not implemented"), ImportError("sem_open"), NotImplementedError("few")],
)
def test_without_semaphores_there_is_one_process(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where /dev/shm is missing or read-only."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(multiprocessing.context.BaseContext, "Lock", refuse)
    assert list(run_jobs(square, range(5), 2, "squares")) == [0, 1, 4, 9, 16]
    (record,) = caplog.records
    assert str(error) in record.getMessage()


def test_without_threads_there_is_one_process_and_no_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As under `ulimit -u`: processes start, and then not the thread that feeds them."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    before = set(multiprocessing.active_children())
    monkeypatch.setattr(threading.Thread, "start", start)
    assert list(run_jobs(square, range(5), 2, "squares")) == [0, 1, 4, 9, 16]
    assert "can't start new thread" in caplog.text
    assert_no_child_but(before)


def test_an_interrupt_while_processes_start_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a thread that ended for want of another: see `utils.cli.run_script`."""
    submit = ProcessPoolExecutor.submit

    def submit_one(self: ProcessPoolExecutor, *words: object) -> object:
        submit(self, *words)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    before = set(multiprocessing.active_children())
    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit_one)
    with pytest.raises(KeyboardInterrupt):
        list(run_jobs(square, range(5), 2, "squares"))
    assert_no_child_but(before)


def assert_no_child_but(before: set[multiprocessing.process.BaseProcess]) -> None:
    for child in set(multiprocessing.active_children()) - before:
        child.join(10)
    assert set(multiprocessing.active_children()) == before
