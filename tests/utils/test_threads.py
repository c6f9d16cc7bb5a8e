"""Slices on threads: every row once, no deadlock, errors and forks survive."""

import os
import threading
from collections.abc import Iterator

import pytest
import torch

from utils.threads import in_slices


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def rows_of(count: int, least: int = 1) -> tuple[list[int], set[str]]:
    rows: list[int] = []
    names: set[str] = set()

    def task(first: int, last: int) -> None:
        names.add(threading.current_thread().name)
        rows.extend(range(first, last))

    in_slices(task, count, least)
    return sorted(rows), names


@pytest.mark.parametrize("count", [0, 1, 2, 5, 100])
def test_every_row_once(count: int) -> None:
    assert rows_of(count)[0] == list(range(count))


def test_little_work_stays_on_the_calling_thread() -> None:
    assert rows_of(100, least=51)[1] == {threading.current_thread().name}
    assert rows_of(100, least=10)[1] != {threading.current_thread().name}


def test_slices_inside_slices_do_not_wait_for_each_other() -> None:
    done: list[int] = []
    in_slices(
        lambda first, last: [
            in_slices(lambda a, b: done.extend(range(a, b)), 50) for _ in range(first, last)
        ],
        6,
    )
    assert sorted(done) == sorted(list(range(50)) * 6)


def test_errors_reach_the_caller() -> None:
    def task(first: int, last: int) -> None:
        if first <= 7 < last:
            raise ValueError("row 7")

    with pytest.raises(ValueError, match="row 7"):
        in_slices(task, 20)


def test_a_fork_has_its_own_threads() -> None:
    rows_of(20)
    child = os.fork()
    if child == 0:
        os._exit(0 if rows_of(20)[0] == list(range(20)) else 1)
    assert os.waitpid(child, 0)[1] == 0
