"""Rasters as prediction sees them: chosen bands as 8-bit colours, nodata as one grey, and where they lie.

What is no pixel - masked, of the nodata value, transparent or not a number - gets the grey of the padding,
which tells a network nothing.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.errors import first_line
from utils.extras import find_extra
from utils.georeference import geo_of
from utils.images import FILL, STEPS_OF_16_BITS, U8, ImageError
from utils.rasters import (
    HINT,
    Raster,
    Window,
    colour_bands,
    is_common,
    is_large,
    known_size,
    open_dataset,
    open_raster,
    palette_of,
    to_rgb,
)

logger = logging.getLogger(__name__)
Values = NDArray[Any]  # (H, W, B) numbers of a raster
STRETCH = (2.0, 98.0)  # percentiles of other numbers than 8 and 16 bits, as QGIS stretches
SAMPLES, SAMPLE_SIDE = 16, 64  # windows each way, and their px, from which percentiles are taken
DARK = 0.125  # share of the range of 16 bits that values should reach


class Reading(NamedTuple):
    """How the numbers of a raster become colours."""

    bands: tuple[int, ...] = ()  # from 1, one or three; none: the colours, else the first three or the first
    stretch: tuple[float, float] | None = None  # percentiles for black and white; None: see `open_scene`


PLAIN = Reading()


class _Levels(NamedTuple):
    """The values of each band (B,) that become 0 and 255."""

    low: NDArray[np.float32]
    high: NDArray[np.float32]


@contextmanager
def open_scene(path: str | Path, reading: Reading = PLAIN, warn: bool = True) -> Iterator[Raster]:
    """Open an image of any size, as `open_raster` does, with its geo-reference.

    Without a stretch 8 bits stay, 16 become 8 (1 / 257) as in training, and other numbers are stretched
    between the percentiles `STRETCH`, which are estimated from windows spread over the raster.

    Args:
        warn: look whether 16 bits are nearly black, and say so; once for a file is enough.

    Raises:
        ImageError: as `open_raster`, no such band, or none at all.
    """
    size = known_size(path)
    is_plain = reading == PLAIN
    if is_plain and size is not None and not is_large(size) and is_common(path):
        with open_raster(path) as raster:
            yield raster
        return
    with open_dataset(path) as dataset:
        if dataset is None and not is_plain:
            help_line = "no raster that rasterio reads" if find_extra("rasterio") else HINT
            raise ImageError(f"{path}: bands and stretch cannot be chosen: {help_line}")
        if dataset is not None and (not is_plain or not _is_ordinary(dataset)):
            yield _scene_raster(dataset, path, reading, warn)
            return
    with open_raster(path) as raster:
        yield raster


def _is_ordinary(dataset: Any) -> bool:
    """Say whether nothing would be lost by reading a dataset as any other picture."""
    kinds = {np.dtype(name) for name in dataset.dtypes}
    is_known = bool(kinds) and kinds <= {np.dtype(np.uint8), np.dtype(np.uint16)}
    return is_known and not is_large(dataset.shape) and not _has_mask(dataset) and geo_of(dataset) is None


def _has_mask(dataset: Any) -> bool:
    return any(flags[0].name != "all_valid" for flags in dataset.mask_flag_enums)


def _scene_raster(dataset: Any, path: str | Path, reading: Reading, warn: bool) -> Raster:
    bands = _chosen_bands(dataset, path, reading.bands)
    _refuse_truncated(dataset, path, bands)
    palette = palette_of(dataset, bands)
    has_mask = _has_mask(dataset)
    levels = None if palette is not None else _levels(dataset, path, bands, reading.stretch, warn)

    def read(window: Window) -> U8:
        values = _read(dataset, path, bands, window)
        valid = _valid(dataset, bands, window, values) if has_mask or values.dtype.kind == "f" else None
        pixels = to_rgb(_to_8_bits(values, levels), palette)
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


def _refuse_truncated(dataset: Any, path: str | Path, bands: Sequence[int]) -> None:
    """Raise where the last block of a TIFF lies beyond the end of the file, before hours are spent on it."""
    if dataset.driver not in ("GTiff", "COG"):
        return
    for band in {bands[0], bands[-1]}:
        rows, columns = dataset.block_shapes[band - 1]
        place = f"{math.ceil(dataset.width / columns) - 1}_{math.ceil(dataset.height / rows) - 1}"
        words = [
            dataset.get_tag_item(f"BLOCK_{key}_{place}", "TIFF", bidx=band) for key in ("OFFSET", "SIZE")
        ]
        end, size = sum(int(word) for word in words if word), Path(path).stat().st_size
        if end > size:
            raise ImageError(f"{path}: the file is truncated ({size} bytes, its last block ends at {end})")


def _read(dataset: Any, path: str | Path, bands: Sequence[int], window: Window) -> Values:
    height, width = window.y_max - window.y_min, window.x_max - window.x_min
    dtype = np.result_type(*(dataset.dtypes[band - 1] for band in bands))
    values = np.empty((height, width, len(bands)), dtype)
    place = (window.y_min, window.y_max), (window.x_min, window.x_max)
    try:
        dataset.read(list(bands), window=place, out=values.transpose(2, 0, 1))
    except find_extra("rasterio").errors.RasterioError as error:
        raise ImageError(f"{path}: cannot be decoded: {first_line(error.__cause__ or error)}") from None
    return values


def _valid(dataset: Any, bands: Sequence[int], window: Window, values: Values) -> NDArray[np.bool_]:
    """Return which pixels (H, W) mean something: unmasked in some band, and a number in all of them."""
    place = (window.y_min, window.y_max), (window.x_min, window.x_max)
    masks = dataset.read_masks(list(bands), window=place)
    valid: NDArray[np.bool_] = (masks > 0).any(axis=0)
    return valid & np.isfinite(values).all(axis=2) if values.dtype.kind == "f" else valid


def _levels(
    dataset: Any, path: str | Path, bands: Sequence[int], stretch: tuple[float, float] | None, warn: bool
) -> _Levels | None:
    """Return what becomes black and white; None where 8 or 16 bits are taken as they are."""
    kinds = {np.dtype(dataset.dtypes[band - 1]) for band in bands}
    if stretch is None and len(kinds) == 1 and kinds <= {np.dtype(np.uint8), np.dtype(np.uint16)}:
        if warn and kinds == {np.dtype(np.uint16)}:
            _warn_if_dark(dataset, path, bands)
        return None
    samples = _sample(dataset, path, bands)
    if not len(samples):
        return _Levels(np.zeros(len(bands), np.float32), np.ones(len(bands), np.float32))
    low, high = np.percentile(samples, stretch or STRETCH, axis=0).astype(np.float32)
    return _Levels(low, np.where(high > low, high, low + 1))


def _warn_if_dark(dataset: Any, path: str | Path, bands: Sequence[int]) -> None:
    """Say where 16 bits hold fewer, as those of many satellites do."""
    largest = _sample(dataset, path, bands).max(initial=0.0)
    if largest < DARK * np.iinfo(np.uint16).max:
        logger.warning(
            "%s: 16 bits that reach about %d are nearly black; predict.stretch=2,98 spreads them",
            path,
            largest,
        )


def _sample(dataset: Any, path: str | Path, bands: Sequence[int]) -> NDArray[np.float64]:
    """Return the values (N, B) of the valid pixels of windows spread evenly over a raster."""
    found = [np.zeros((0, len(bands)))]
    for row in np.linspace(0, max(dataset.height - SAMPLE_SIDE, 0), SAMPLES).astype(int):
        for column in np.linspace(0, max(dataset.width - SAMPLE_SIDE, 0), SAMPLES).astype(int):
            bottom, right = (
                min(a + SAMPLE_SIDE, b) for a, b in ((row, dataset.height), (column, dataset.width))
            )
            window = Window(int(column), int(row), int(right), int(bottom))
            values = _read(dataset, path, bands, window)
            found.append(values[_valid(dataset, bands, window, values)].astype(np.float64))
    return np.concatenate(found)


def _to_8_bits(values: Values, levels: _Levels | None) -> U8:
    if levels is not None:
        with np.errstate(invalid="ignore"):  # what is no number is painted over
            shares = (values.astype(np.float32) - levels.low) / (levels.high - levels.low)
            return np.asarray(np.nan_to_num(np.rint(shares.clip(0, 1) * 255)), np.uint8)
    if values.dtype == np.uint16:
        return np.asarray((values.astype(np.uint32) + STEPS_OF_16_BITS // 2) // STEPS_OF_16_BITS, np.uint8)
    return np.asarray(values, np.uint8)
