"""Raster values of rasterio's datasets: windows of them, which mean something, and a sample of all."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.errors import first_line
from utils.extras import find_extra
from utils.images import ImageError
from utils.stretch import PixelValues, Slices, sample_places


def read_values(dataset: Any, path: str | Path, bands: Sequence[int], place: Slices) -> PixelValues:
    """Return the numbers (H, W, B) of some bands, from 1, in one type.

    Raises:
        ImageError: the file is damaged there.
    """
    (top, bottom), (left, right) = place
    dtype = np.result_type(*(dataset.dtypes[band - 1] for band in bands))
    values = np.empty((bottom - top, right - left, len(bands)), dtype)
    try:
        dataset.read(list(bands), window=place, out=values.transpose(2, 0, 1))
    except find_extra("rasterio").errors.RasterioError as error:
        raise ImageError(f"{path}: cannot be decoded: {first_line(error.__cause__ or error)}") from None
    return values


def valid_pixels(dataset: Any, bands: Sequence[int], place: Slices, values: PixelValues) -> NDArray[np.bool_]:
    """Return which pixels (H, W) mean something: unmasked in some band, and a number in all of them."""
    masks = dataset.read_masks(list(bands), window=place)
    valid: NDArray[np.bool_] = (masks > 0).any(axis=0)
    return valid & np.isfinite(values).all(axis=2) if values.dtype.kind == "f" else valid


def sample_raster(dataset: Any, path: str | Path, bands: Sequence[int]) -> PixelValues:
    """Return the values (N, B) of the valid pixels of the sample of a raster (`utils.stretch`).

    Raises:
        ImageError: the file is damaged.
    """
    found = []
    for place in sample_places(dataset.height, dataset.width):
        values = read_values(dataset, path, bands, place)
        found.append(values[valid_pixels(dataset, bands, place, values)])
    return np.concatenate(found)


def refuse_truncated(dataset: Any, path: str | Path, bands: Sequence[int]) -> None:
    """Raise where the last block of a TIFF lies beyond the end of the file, before hours are spent on it.

    Raises:
        ImageError: it does.
    """
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
