"""Lettering on pictures, in DejaVu Sans of matplotlib: the same everywhere, beyond ASCII, too."""

from functools import lru_cache
from math import ceil
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from utils.palette import Colour

ABOVE, BELOW = 0.80, 0.25  # of the size: what letters have above and below their base line


@lru_cache(maxsize=16)
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


@lru_cache(maxsize=4096)
def text_size(text: str, size: int) -> tuple[int, int]:
    """Return width and height of a line in pixels; all lines of a size are equally high."""
    return ceil(_font(size).getlength(text)), ceil(ABOVE * size) + ceil(BELOW * size)


@lru_cache(maxsize=4096)
def _opacity(text: str, size: int) -> NDArray[np.float32]:
    """Return how much of each pixel (H, W, 1) of a line is ink, 0 to 1."""
    sheet = Pillow.new("L", text_size(text, size))
    ImageDraw.Draw(sheet).text((0, ceil(ABOVE * size)), text, fill=255, font=_font(size), anchor="ls")
    return (np.asarray(sheet, np.float32) / 255).astype(np.float32)[..., np.newaxis]


def draw_text(
    canvas: NDArray[np.uint8], corner: tuple[int, int], text: str, size: int, colour: Colour
) -> None:
    """Draw a line onto the picture itself, its upper left corner at (x, y); what does not fit is cut."""
    if not text:
        return
    x, y = corner
    opacity = _opacity(text, size)[max(-y, 0) :, max(-x, 0) :]
    part = canvas[max(y, 0) :, max(x, 0) :][: opacity.shape[0], : opacity.shape[1]]
    opacity = opacity[: part.shape[0], : part.shape[1]]
    part[...] = np.round(part + (np.asarray(colour, np.float32) - part) * opacity).astype(np.uint8)


def shorten_start(text: str, size: int, width: int) -> str:
    """Return the text, or its end after two dots where it is wider than `width` pixels."""
    short = text
    while short and text_size(short if short == text else ".." + short, size)[0] > width:
        short = short[1:]
    return text if short == text else ".." + short
