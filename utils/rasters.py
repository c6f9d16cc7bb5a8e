"""Rasters: images of any size, read window by window.

OpenCV decodes ordinary images whole.  Larger ones, and what OpenCV cannot read, are left to rasterio, which
is optional and reads only what is asked for.
"""

import mmap
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.arrays import U8
from utils.extras import find_extra
from utils.images import (
    GIF,
    JPEG,
    PNG,
    RIFF,
    ImageError,
    Size,
    image_size,
    is_truncated,
    read_header,
    read_image,
    to_8_bits,
)
from utils.raster_files import LOCAL, Access, check_raster_file, drivers_for, gdal_name, gdal_options
from utils.raster_values import read_values, sample_raster
from utils.records import GeoReference
from utils.stretch import levels_of_16_bits
from utils.tiles import Window

WHOLE_PIXELS = 1 << 26  # up to here an image is decoded at once: 192 MiB
CACHE_MB = 64  # of blocks that are decoded and not yet used; a row of 512 px blocks of 40,000 px has 59
HINT = "rasterio may read it: pip install rasterio (requirements-extra.txt)"


class Raster(NamedTuple):
    """An image that is open; what `read` returns may share its memory."""

    size: Size  # height, width
    windowed: bool  # False: all of it is in memory
    read: Callable[[Window], U8]  # window inside the image -> (H, W, 3) RGB
    geo: GeoReference | None = None  # where known and asked for


class RasterInfo(NamedTuple):
    """What is known before an image is decoded."""

    size: Size  # height, width
    windowed: bool  # whether it will be read in windows
    seekable: bool  # whether a window costs the same wherever it lies; a PNG is read from its top


def array_raster(image: U8) -> Raster:
    """Return an image in memory, (H, W, 3) RGB, as a raster."""
    height, width, _ = image.shape
    return Raster((height, width), False, lambda w: image[w.y_min : w.y_max, w.x_min : w.x_max])


def raster_info(path: str | Path, access: Access = LOCAL) -> RasterInfo:
    """Return size and way of reading; nothing is decoded where the header or rasterio tells the size.

    Raises:
        ImageError: no such file, or no image.
    """
    size = known_size(path)
    if size is None or is_large(size):
        with open_dataset(path, access) as dataset:
            if dataset is not None:
                size = dataset.shape
                return RasterInfo(size, is_large(size), dataset.driver in ("GTiff", "COG"))
    if size is None:
        with _hinting():
            size = image_size(path)
    return RasterInfo(size, False, False)


@contextmanager
def open_raster(path: str | Path, access: Access = LOCAL) -> Iterator[Raster]:
    """Open an image of any size; its colours become those of `read_image`, the first three bands of many.

    Raises:
        ImageError: missing, damaged, of another depth, no image, or one that needs rasterio where it is not.
    """
    size = known_size(path)
    if size is not None and not is_large(size) and is_common(path):
        yield array_raster(read_image(path))
        return
    with open_dataset(path, access) as dataset:
        windowed = dataset is not None and is_large(dataset.shape)
        image = None if windowed else _read_whole(path, is_last=dataset is None)
        yield _dataset_raster(dataset, path) if image is None else array_raster(image)


def known_size(path: str | Path) -> Size | None:
    """Return height and width where the header says them.

    Raises:
        ImageError: no such file.
    """
    if not Path(path).is_file():
        raise ImageError(f"{path}: no such image file")
    header = read_header(path)
    return header.size if header else None


def is_large(size: Size) -> bool:
    """Say whether an image of this size is read in windows."""
    return size[0] * size[1] > WHOLE_PIXELS


def is_common(path: str | Path) -> bool:
    """Say whether OpenCV's word about a small file is the last; rasterio would accept some damaged ones."""
    with Path(path).open("rb") as file:
        return file.read(4).startswith((JPEG, PNG, GIF, RIFF))


def _read_whole(path: str | Path, is_last: bool) -> U8 | None:
    """Return an image as OpenCV reads it; None where it cannot and rasterio is still to try."""
    try:
        with _hinting():
            return read_image(path)
    except ImageError:
        if is_last:
            raise
        return None


@contextmanager
def _hinting() -> Iterator[None]:
    """Add to an error what would help, where rasterio is not installed."""
    try:
        yield
    except ImageError as error:
        raise error if find_extra("rasterio") else ImageError(f"{error}; {HINT}") from None


@contextmanager
def open_dataset(path: str | Path, access: Access = LOCAL) -> Iterator[Any]:
    """Yield rasterio's dataset; None where rasterio is missing or knows no such file.

    Raises:
        ImageError: the file would have others opened that `access` does not allow.
    """
    rasterio = find_extra("rasterio")
    if rasterio is None:
        yield None
        return
    check_raster_file(path, access)
    options = gdal_options(access)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_MB, **options), warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        try:
            dataset = rasterio.io.DatasetReader(gdal_name(path), driver=drivers_for(path, access))
        except rasterio.errors.RasterioError:
            yield None
            return
        with dataset:
            yield dataset


def _dataset_raster(dataset: Any, path: str | Path) -> Raster:
    """Return a dataset as a raster; a damaged file that would be filled with grey is refused."""
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if is_truncated(data):
            raise ImageError(f"{path}: the file is truncated ({len(data)} bytes)")
    bands = colour_bands(dataset)
    dtype = np.result_type(*(dataset.dtypes[band - 1] for band in bands))
    to_8_bits(np.zeros((1, 1), dtype), path)  # refuses other depths before anything is read
    palette = palette_of(dataset, bands)
    levels = levels_of_16_bits(sample_raster(dataset, path, bands)) if dtype == np.uint16 else None

    def read(window: Window) -> U8:
        pixels = read_values(dataset, path, bands, window.place)
        return to_rgb(to_8_bits(pixels, path, levels).reshape(pixels.shape), palette)

    return Raster((int(dataset.height), int(dataset.width)), True, read)


def colour_bands(dataset: Any) -> list[int]:
    """Return the bands, from 1, that say they are red, green and blue; else the first three or the first."""
    names = [band.name for band in dataset.colorinterp]
    if {"red", "green", "blue"} <= set(names):
        return [names.index(name) + 1 for name in ("red", "green", "blue")]
    return [1, 2, 3] if len(names) >= 3 else [1]


def palette_of(dataset: Any, bands: list[int]) -> NDArray[np.uint8] | None:
    """Return the RGB colours (256, 3) of an image of indices.

    Raises:
        ImageError: indices of 16 bits.
    """
    if len(bands) > 1 or dataset.colorinterp[0].name != "palette":
        return None
    if dataset.dtypes[0] != "uint8":
        raise ImageError(
            f"{dataset.name}: expected a palette of 8 bits, got {dataset.dtypes[0]}; "
            "gdal_translate -expand rgb makes colours of it"
        )
    table = np.zeros((256, 3), np.uint8)
    for index, colour in dataset.colormap(1).items():
        table[index] = colour[:3]
    return table


def to_rgb(pixels: U8, palette: NDArray[np.uint8] | None) -> U8:
    """Return pixels (H, W, 1 or 3) as colours (H, W, 3); of a palette's indices, its colours."""
    if palette is not None:
        return palette[pixels[..., 0]]
    if pixels.shape[2] == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    return pixels
