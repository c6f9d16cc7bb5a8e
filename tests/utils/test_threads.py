"""Slices on threads: every row once, no deadlock, errors and forks survive; items drawn ahead."""

import os
import threading
from collections.abc import Iterator

import pytest
import torch

from utils.threads import in_slices, read_ahead


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


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("total", [0, 1, 20])
def test_items_come_in_order_drawn_by_one_other_thread(total: int, count: int) -> None:
    names = set()

    def draw() -> Iterator[int]:
        for item in range(total):
            names.add(threading.current_thread().name)
            yield item

    assert list(read_ahead(draw(), count)) == list(range(total))
    assert len(names) == (total > 0)
    assert threading.current_thread().name not in names


def test_so_many_items_are_drawn_ahead_and_no_more() -> None:
    drawn: list[int] = []
    third = threading.Event()

    def draw() -> Iterator[int]:
        for item in range(9):
            drawn.append(item)
            if item == 2:
                third.set()
            yield item

    items = read_ahead(draw(), 2)
    next(items)
    assert third.wait(10)
    threading.Event().wait(0.05)
    assert drawn == [0, 1, 2]
    items.close()


def test_an_error_comes_after_the_items_before_it() -> None:
    def draw() -> Iterator[int]:
        yield 1
        raise ValueError("second")

    items = read_ahead(draw(), 3)
    assert next(items) == 1
    with pytest.raises(ValueError, match="second"):
        next(items)


def test_whoever_stops_early_ends_the_generator_in_its_thread() -> None:
    ended = []

    def draw() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            ended.append(threading.current_thread().name)

    before = threading.active_count()
    items = read_ahead(read_ahead(draw()))
    next(items)
    items.close()
    assert len(ended) == 1
    assert threading.current_thread().name not in ended
    assert threading.active_count() == before
