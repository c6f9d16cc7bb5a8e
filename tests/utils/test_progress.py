"""Progress bars, and progress of several processes, seen by one of them."""

from collections.abc import Iterator

import pytest

from utils.progress import bar_over, counting_for_all


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("count", [0, 3])
def test_items_pass_under_a_bar(count: int, hidden: bool, capsys: pytest.CaptureFixture[str]) -> None:
    items = (number for number in range(count))
    assert list(bar_over(items, "cut", "part", count, hidden)) == [*range(count)]
    said = capsys.readouterr().err
    assert ("cut" in said) != hidden
    assert ("3/3" in said) == (count == 3 and not hidden)


def test_items_are_closed_with_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    closed = []

    def read() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            closed.append(True)

    bar = bar_over(read(), "read", "image")
    assert next(bar) == 0
    bar.close()
    assert closed
    assert "read" in capsys.readouterr().err


@pytest.mark.parametrize(("own", "total"), [(3, 7), (5, 5), (1, 100), (40, 121), (3, 0), (0, 0)])
def test_a_share_of_the_work_stands_for_all_of_it(own: int, total: int) -> None:
    counts: list[int] = []
    count = counting_for_all(counts.append, own, total)
    for k in range(own):
        count(1)
        assert abs(sum(counts) - total * (k + 1) / own) < 1
    assert sum(counts) == (total if own else 0)
