"""Tiles of large images: where they lie, and what they are called.

A tile is called `IMAGE__RATE__X___Y`, as DOTA_devkit does: the image was scaled by RATE, and the tile's left
upper corner lies at pixel (X, Y) of the scaled image.
"""

import re
from typing import NamedTuple

from utils.errors import UserError

_NAME = re.compile(r"(?P<image>.+)__(?P<rate>\d+(?:\.\d+)?)__(?P<x>\d+)___(?P<y>\d+)")


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
