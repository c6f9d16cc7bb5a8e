"""Progress bars."""

from collections.abc import Iterator

import pytest

from utils.progress import bar_over


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
