"""Rasters as prediction sees them: chosen bands as 8-bit colours, nodata as one grey, and where they lie.

What is no pixel - masked, of the nodata value, transparent or not a number - gets the grey of the padding,
which tells a network nothing.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfg.predict import PredictConfig
from utils.arrays import U8
from utils.extras import find_extra
from utils.georeference import geo_of
from utils.images import FILL, ImageError, to_8_bits
from utils.notices import log_few
from utils.raster_files import LOCAL, Access
from utils.raster_values import read_values, refuse_truncated, sample_raster, valid_pixels
from utils.rasters import (
    HINT,
    Raster,
    colour_bands,
    is_common,
    is_large,
    known_size,
    open_dataset,
    open_raster,
    palette_of,
    to_rgb,
)
from utils.stretch import PERCENTILES, Levels, PixelValues, levels_of_16_bits, percentile_levels
from utils.tiles import Window

logger = logging.getLogger(__name__)
LISTED = 5  # files whose stretch is said, of many


class Reading(NamedTuple):
    """How the numbers of a raster become colours."""

    bands: tuple[int, ...] = ()  # from 1, one or three; none: the colours, else the first three or the first
    stretch: tuple[float, float] | None = None  # percentiles for black and white; None: see `open_scene`
    access: Access = LOCAL

    @classmethod
    def of(cls, config: PredictConfig) -> "Reading":
        """Return how the settings want rasters to be read."""
        return cls(config.bands, config.stretch, Access.of(config))

    @property
    def is_plain(self) -> bool:
        """Whether nothing about bands and colours is asked for."""
        return not self.bands and self.stretch is None


PLAIN = Reading()


@contextmanager
def open_scene(path: str | Path, reading: Reading = PLAIN, warn: bool = True) -> Iterator[Raster]:
    """Open an image of any size, as `open_raster` does, with its geo-reference.

    Without a stretch 8 bits stay, 16 become 8 as in training (`utils.stretch`), and other numbers are
    stretched between the same percentiles of a sample of the raster.

    Args:
        warn: say which bands are taken and what is stretched by itself; once for a file is enough.

    Raises:
        ImageError: as `open_raster`, no such band, or none at all.
    """
    size = known_size(path)
    is_plain = reading.is_plain
    if is_plain and size is not None and not is_large(size) and is_common(path):
        with open_raster(path) as raster:
            yield raster
        return
    with open_dataset(path, reading.access) as dataset:
        if dataset is None and not is_plain:
            help_line = "no raster that rasterio reads" if find_extra("rasterio") else HINT
            raise ImageError(f"{path}: bands and stretch cannot be chosen: {help_line}")
        if dataset is not None and (not is_plain or not _is_ordinary(dataset)):
            yield _scene_raster(dataset, path, reading, warn)
            return
    with open_raster(path, reading.access) as raster:
        yield raster


def _is_ordinary(dataset: Any) -> bool:
    """Say whether a dataset is read as any other picture, and there is nothing to say about it."""
    names = [band.name for band in dataset.colorinterp]
    is_plain = len(names) in (1, 3) and {*dataset.dtypes} == {"uint8"}
    is_picture = (is_plain and not _has_mask(dataset)) or "cyan" in names  # inks are mixed by OpenCV
    return is_picture and not is_large(dataset.shape) and geo_of(dataset) is None


def _has_mask(dataset: Any) -> bool:
    return any(flags[0].name != "all_valid" for flags in dataset.mask_flag_enums)


def _scene_raster(dataset: Any, path: str | Path, reading: Reading, warn: bool) -> Raster:
    bands = _chosen_bands(dataset, path, reading.bands)
    refuse_truncated(dataset, path, bands)
    palette = palette_of(dataset, bands)
    has_mask = _has_mask(dataset)
    if warn:
        _say_bands(dataset, path, bands)
    levels = None if palette is not None else _levels(dataset, path, bands, reading.stretch, warn)

    def read(window: Window) -> U8:
        values = read_values(dataset, path, bands, window.place)
        valid = None
        if has_mask or values.dtype.kind == "f":
            valid = valid_pixels(dataset, bands, window.place, values)
        pixels = to_rgb(to_8_bits(values, path, levels).reshape(values.shape), palette)
        if valid is not None:
            pixels[~valid] = FILL
        return pixels

    return Raster((int(dataset.height), int(dataset.width)), True, read, geo_of(dataset))


def _chosen_bands(dataset: Any, path: str | Path, wanted: Sequence[int]) -> list[int]:
    if dataset.count == 0:
        raise ImageError(f"{path}: expected at least one band, found none")
    for band in wanted:
        if band > dataset.count:
            raise ImageError(f"{path}: no band {band}, the raster has {dataset.count}")
    bands = list(wanted) or colour_bands(dataset)
    for band in bands:
        if np.dtype(dataset.dtypes[band - 1]).kind not in "uif":
            raise ImageError(f"{path}: expected real numbers in band {band}, got {dataset.dtypes[band - 1]}")
    return bands


def _say_bands(dataset: Any, path: str | Path, bands: Sequence[int]) -> None:
    """Name the bands that are taken where there is a choice; once for all files of one layout."""
    if list(bands) == list(range(1, dataset.count + 1)):
        return
    if len(bands) == 1:
        words = f"band {bands[0]} of {dataset.count} as grey"
    else:
        words = f"bands {', '.join(map(str, bands))} of {dataset.count} as red, green, blue"
    log_few(logger, words, 1, "%s: %s (predict.bands)", path, words)


def _levels(
    dataset: Any, path: str | Path, bands: Sequence[int], stretch: tuple[float, float] | None, warn: bool
) -> Levels | None:
    """Return what becomes black and white; None where 8 or 16 bits are taken as they are."""
    kinds = {np.dtype(dataset.dtypes[band - 1]) for band in bands}
    if stretch is None and kinds == {np.dtype(np.uint8)}:
        return None
    sample = sample_raster(dataset, path, bands)
    if stretch is not None:
        return percentile_levels(sample, stretch)
    is_deep = kinds == {np.dtype(np.uint16)}
    levels = levels_of_16_bits(sample) if is_deep else percentile_levels(sample, PERCENTILES)
    if warn and levels is not None and len(sample):
        _say_levels(path, sample, levels)
    return levels


def _say_levels(path: str | Path, sample: PixelValues, levels: Levels) -> None:
    kind = "16 bit" if sample.dtype == np.uint16 else str(sample.dtype)
    first, last = _numbers([sample.min()]), _numbers([sample.max()])
    line = "%s: %s, values %s to %s: stretched from %s to %s (predict.stretch)"
    log_few(logger, "stretch", LISTED, line, path, kind, first, last, *map(_numbers, levels))


def _numbers(values: Sequence[float] | NDArray[np.float32]) -> str:
    """Return numbers as people read them; one for all bands where they are alike."""
    words = [f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in map(float, values)]
    return words[0] if len(set(words)) == 1 else ", ".join(words)
