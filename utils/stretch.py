"""Contrast stretch to 8 bits: one rule for training, test.py, prediction and the tools.

16 bits that hold fewer, as those of most satellites and thermal cameras do, would be nearly black at 1 / 257:
2,047 becomes 8.  They are stretched between percentiles of a bounded sample whose places depend on the size
of the image alone, so that the same file always looks the same.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

RULE = 3  # raised when the same file would become other pixels: what is kept of a scene belongs to a rule
PERCENTILES = (2.0, 98.0)  # that become black and white, as QGIS stretches
SAMPLES, SIDE = 16, 64  # windows each way at most, and their px, from which percentiles are taken
MOST = 65535  # of 16 bits
NARROW = 0.5  # share of 16 bits that narrow images stay below
BRIGHT = 99.9  # percentile that tells narrow images: a few saturated pixels do not fill a range
STEPS = (256, 257)  # of 8 bits in 16, shifted or scaled
Slices = tuple[tuple[int, int], tuple[int, int]]  # rows and columns, the second of each excluded
PixelValues = NDArray[Any]  # (..., B) numbers of an image


class Levels(NamedTuple):
    """The values of each band (B,) that become 0 and 255."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]


def sample_places(height: int, width: int) -> list[Slices]:
    """Return windows that are spread evenly over an image, row by row; of a small one, all of it."""
    return [(rows, columns) for rows in _spans(height) for columns in _spans(width)]


def _spans(length: int) -> Iterator[tuple[int, int]]:
    count = min(SAMPLES, -(-length // SIDE))
    for start in np.linspace(0, max(length - SIDE, 0), count).astype(int).tolist():
        yield start, min(start + SIDE, length)


def sample_image(image: PixelValues) -> PixelValues:
    """Return the values (N, B) of the sample of an image in memory, (H, W) or (H, W, B)."""
    height, width = image.shape[:2]
    pixels = image.reshape(height, width, -1)
    parts = [pixels[slice(*rows), slice(*columns)] for rows, columns in sample_places(height, width)]
    return np.concatenate([part.reshape(-1, pixels.shape[2]) for part in parts])


def levels_of_16_bits(sample: PixelValues) -> Levels | None:
    """Return the stretch of 16 bits that hold fewer; None where they use the range, or are 8 bits scaled.

    It is one for all bands: colours stay as the camera saw them, which is what a network trained on
    photographs knows (docs/decisions.md).
    Pixels that are 0 or 65535 in every band say nothing: nodata, declared or not, or saturated.

    Args:
        sample: (N, B) of the image.
    """
    lowest, highest = (reduce(join, sample.T) for join in (np.minimum, np.maximum))
    known = sample[(highest > 0) & (lowest < MOST)]
    if not len(known) or any(not (known % step).any() for step in STEPS):
        return None
    if np.percentile(known, BRIGHT) >= NARROW * MOST:
        return None
    # a value of the sample: the same where grey was read as three equal bands
    low, high = np.percentile(known, PERCENTILES, method="inverted_cdf").astype(np.float32)
    ends = np.float32(low), np.float32(max(high, low + 1))
    return Levels(*(np.full(sample.shape[1], end) for end in ends))


def percentile_levels(sample: PixelValues, percentiles: Sequence[float]) -> Levels:
    """Return the percentiles of each band of a sample (N, B); of nothing, 0 and 1."""
    if not len(sample):
        return Levels(np.zeros(sample.shape[1], np.float32), np.ones(sample.shape[1], np.float32))
    low, high = np.percentile(sample, percentiles, axis=0).astype(np.float32)
    return Levels(low, np.where(high > low, high, low + 1))


def stretched(values: PixelValues, levels: Levels) -> NDArray[np.uint8]:
    """Return values (..., B) as 8 bits; what is no number becomes 0."""
    with np.errstate(invalid="ignore"):
        shares = (values.astype(np.float32) - levels.low) / (levels.high - levels.low)
        return np.asarray(np.nan_to_num(np.rint(shares.clip(0, 1) * 255)), np.uint8)
