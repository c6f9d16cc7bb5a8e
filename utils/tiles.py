"""Tiles of large images: where they lie, and what they are called.

A tile is called `IMAGE__RATE__X___Y`, as DOTA_devkit does: the image was scaled by RATE, and the tile's left
upper corner lies at pixel (X, Y) of the scaled image.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from utils.errors import UserError
from utils.images import ROUNDING, Size
from utils.stretch import Slices

_NAME = re.compile(r"(?P<image>.+)__(?P<rate>\d{1,4}(?:\.\d{1,10})?)__(?P<x>\d{1,8})___(?P<y>\d{1,8})")


class Window(NamedTuple):
    """Whole pixels of one image, the right and lower bounds excluded."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int

    @property
    def place(self) -> Slices:
        """Rows and columns."""
        return (self.y_min, self.y_max), (self.x_min, self.x_max)


class Tile(NamedTuple):
    """One window of one scaled image."""

    image: str  # the name of the large image, without folder and suffix
    rate: float  # scale of the image before it was cut
    x: int  # left edge, pixels of the scaled image
    y: int  # upper edge

    @property
    def name(self) -> str:
        """Return the file name of the tile, without suffix."""
        return f"{self.image}__{self.rate:.10g}__{self.x}___{self.y}"


def parse_tile(name: str) -> Tile:
    """Return what a tile's name says, without folder and suffix; the image's own name may hold `__`.

    Raises:
        UserError: the name is not of the form `IMAGE__RATE__X___Y`, or the rate is 0.
    """
    match = _NAME.fullmatch(name)
    if match is None or not float(match["rate"]):
        raise UserError(f"tile name: expected IMAGE__RATE__X___Y such as P0006__1__600___0, got {name!r}")
    return Tile(match["image"], float(match["rate"]), int(match["x"]), int(match["y"]))


def tile_starts(length: int, size: int, overlap: int) -> list[int]:
    """Return where tiles begin along a side of `length` px; the last is shifted inside, as the devkit does.

    A side that fits into one tile has one, from 0.
    """
    starts = list(range(0, max(length - size, 0), size - overlap))
    return [*starts, max(length - size, 0)]


def start_count(length: int, size: int, overlap: int) -> int:
    """Return how many tiles `tile_starts` gives, of any length at once."""
    return -(-max(length - size, 0) // (size - overlap)) + 1


class Grid(NamedTuple):
    """How images are cut."""

    side: int  # width and height of a tile, pixels of the scaled image
    overlap: int  # pixels that neighbours share at least
    rates: tuple[float, ...]  # scales of the image before it is cut


def scaled_size(size: Size, rate: float) -> Size:
    """Return height and width of a scaled image; a pixel that is only partly covered counts."""
    height, width = (max(1, math.ceil(length * rate - ROUNDING)) for length in size)
    return height, width


def tile_windows(name: str, size: Size, grid: Grid) -> Iterator[tuple[Tile, Window]]:
    """Yield the tiles of an image and where they lie, rate by rate and row by row.

    Windows are in pixels of the scaled image: a point p of the image lies at p * rate, and in the tile at
    p * rate - (x, y).  A side shorter than a tile gives tiles of that length.

    Args:
        size: height and width of the image before it is scaled.
    """
    for rate in grid.rates:
        height, width = scaled_size(size, rate)
        for y in tile_starts(height, grid.side, grid.overlap):
            for x in tile_starts(width, grid.side, grid.overlap):
                window = Window(x, y, min(x + grid.side, width), min(y + grid.side, height))
                yield Tile(name, rate, x, y), window


def tile_count(size: Size, grid: Grid) -> int:
    """Return how many tiles `tile_windows` gives, of an image of any size at once."""
    sides = (scaled_size(size, rate) for rate in grid.rates)
    return sum(math.prod(start_count(side, grid.side, grid.overlap) for side in scaled) for scaled in sides)
