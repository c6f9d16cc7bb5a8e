"""Bands of rows: the tiles of a raster at one rate, every pixel decoded about once."""

import math

import cv2
import numpy as np

from utils.arrays import U8
from utils.images import ROUNDING, area_factor, warp_image
from utils.rasters import Raster
from utils.tiles import Window

CHUNK_ROWS = 256  # of the raster that are read at once
MARGIN = 2  # pixels beside a tile that its interpolation may touch


class Bands:
    """Tiles of a scaled raster, cut from the band of rows that holds them.

    Ask for the tiles row by row, downwards: a band keeps the rows that it shares with the next, because rows
    of strips and blocks cost as much to decode for one tile as for all.  Pixels depend on their place in
    the whole image alone, so that neighbours agree where they overlap.  Scaling is that of `warp_image`:
    whole factors by area first, then linear.
    """

    def __init__(self, raster: Raster, rate: float) -> None:
        self._raster = raster
        self._factor = area_factor(rate)  # pixels of the raster for one of the band, each way
        self._scale = rate * self._factor
        height, width = (-(-length // self._factor) for length in raster.size)
        self._size = height, width
        self._top = 0  # row of the reduced raster that the buffer begins with
        self._count = 0  # rows in the buffer
        self._buffer = np.zeros((0, width, 3), np.uint8)

    def tile(self, window: Window) -> U8:
        """Return the pixels (H, W, 3) of a window of the scaled raster."""
        if abs(self._scale - 1) < ROUNDING * 1e-3:
            return self._crop(window).copy()
        x_min, y_min = (math.floor(value / self._scale) - MARGIN for value in window[:2])
        x_max, y_max = (math.ceil(value / self._scale) + MARGIN for value in window[2:])
        height, width = self._size
        inside = Window(max(x_min, 0), max(y_min, 0), min(x_max, width), min(y_max, height))
        padding = inside.y_min - y_min, y_max - inside.y_max, inside.x_min - x_min, x_max - inside.x_max
        source = cv2.copyMakeBorder(self._crop(inside), *padding, cv2.BORDER_REPLICATE)
        to_tile = np.array(
            [
                [self._scale, 0.0, self._scale * x_min - window.x_min],
                [0.0, self._scale, self._scale * y_min - window.y_min],
            ]
        )
        size = window.y_max - window.y_min, window.x_max - window.x_min
        return warp_image(np.asarray(source, np.uint8), to_tile, size)

    def _crop(self, window: Window) -> U8:
        """Return a window of the reduced raster; it shares memory with the band."""
        if self._factor == 1 and not self._raster.windowed:
            return self._raster.read(window)
        self._load(window.y_min, window.y_max)
        rows = self._buffer[window.y_min - self._top : window.y_max - self._top]
        return rows[:, window.x_min : window.x_max]

    def _load(self, top: int, bottom: int) -> None:
        """Have rows of the reduced raster in the buffer; those that are there are not read again."""
        first, end = self._top, self._top + self._count
        if first <= top and bottom <= end:
            return
        shared = end - top if first <= top < end else 0
        kept = self._buffer[top - first : top - first + shared]
        if bottom - top > len(self._buffer):
            self._buffer = np.empty((bottom - top, self._size[1], 3), np.uint8)
        self._buffer[:shared] = kept
        self._top, self._count = top, bottom - top
        step = max(CHUNK_ROWS // self._factor, 1)
        for row in range(top + shared, bottom, step):
            last = min(row + step, bottom)
            self._buffer[row - top : last - top] = self._read(row, last)

    def _read(self, top: int, bottom: int) -> U8:
        """Return rows of the reduced raster; the last of them may be means of fewer pixels."""
        height, width = self._raster.size
        end = min(bottom * self._factor, height)
        pixels = self._raster.read(Window(0, top * self._factor, width, end))
        if self._factor == 1:
            return pixels
        rows, columns = bottom - top, self._size[1]
        padding = 0, rows * self._factor - len(pixels), 0, columns * self._factor - width
        whole = cv2.copyMakeBorder(pixels, *padding, cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
