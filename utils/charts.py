"""Charts as plain shapes, which `utils/pages.html` draws as SVG."""

from collections.abc import Sequence
from typing import NamedTuple


class Bar(NamedTuple):
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    title: str  # shown under the pointer


class Word(NamedTuple):
    """A text; y is its base line."""

    x: float
    y: float
    text: str
    anchor: str = "middle"


class Line(NamedTuple):
    """A line through points."""

    points: list[tuple[float, float]]
    colour: str
    width: float = 1.5
    dashes: str = ""  # as SVG has them: "4 3" is 4 drawn, 3 left out


class Chart(NamedTuple):
    """One drawing, in units that the page scales."""

    title: str
    width: float
    height: float
    bars: Sequence[Bar]
    words: Sequence[Word]
    lines: Sequence[Line] = ()


def shorten_text(name: str, characters: int) -> str:
    """Return the name, its end cut off where it is longer than so many characters."""
    return name if len(name) <= characters else name[: characters - 1] + "…"
