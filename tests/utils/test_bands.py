import cv2
import numpy as np
import pytest

from utils.bands import Bands
from utils.rasters import Raster, array_raster
from utils.tiles import Grid, Window, scaled_size, tile_windows

HEIGHT, WIDTH = 331, 257


def smooth_image() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3), np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def windowed(image: np.ndarray, decoded: list[Window]) -> Raster:
    raster = array_raster(image)

    def read(window: Window) -> np.ndarray:
        decoded.append(window)
        return raster.read(window).copy()

    return Raster(raster.size, True, read)


def slow_scale(image: np.ndarray, rate: float) -> np.ndarray:
    """Scale by sampling: the mean of 8 x 8 interpolated points for each pixel of a reduced image."""
    rows, columns = scaled_size(image.shape[:2], rate)
    parts = 8 if rate < 1 else 1
    steps = (np.arange(parts) + 0.5) / parts
    y = ((np.arange(rows)[:, None] + steps) / rate).ravel() - 0.5
    x = ((np.arange(columns)[:, None] + steps) / rate).ravel() - 0.5
    grid = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    sampled = cv2.remap(image.astype(np.float32), *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return sampled.reshape(rows, parts, columns, parts, 3).mean(axis=(1, 3))


@pytest.mark.parametrize("is_windowed", [True, False])
def test_tiles_equal_a_slow_crop(is_windowed: bool) -> None:
    image = smooth_image()
    bands = Bands(windowed(image, []) if is_windowed else array_raster(image), 1.0)
    for _, w in tile_windows("a", (HEIGHT, WIDTH), Grid(100, 30, (1.0,))):
        np.testing.assert_array_equal(bands.tile(w), image[w.y_min : w.y_max, w.x_min : w.x_max])


@pytest.mark.parametrize("rate", [0.2, 0.25, 0.37, 0.5, 0.7, 1.5, 2.0])
@pytest.mark.parametrize("is_windowed", [True, False])
def test_scaled_tiles_equal_crops_of_the_scaled_image(rate: float, is_windowed: bool) -> None:
    image = smooth_image()
    bands = Bands(windowed(image, []) if is_windowed else array_raster(image), rate)
    rows, columns = scaled_size((HEIGHT, WIDTH), rate)
    whole = Bands(array_raster(image), rate).tile(Window(0, 0, columns, rows)).astype(int)
    expected = slow_scale(image, rate)
    for _, w in tile_windows("a", (HEIGHT, WIDTH), Grid(90, 30, (rate,))):
        tile = bands.tile(w).astype(int)
        place = np.s_[w.y_min : w.y_max, w.x_min : w.x_max]
        assert np.abs(tile - whole[place]).max() <= 2  # neighbours agree but for OpenCV's steps of 1/32 px
        error = np.abs(tile - expected[place])
        assert error.mean() < 3
    assert whole.shape[:2] == (rows, columns)


@pytest.mark.parametrize("rate", [0.3, 0.5, 1.0, 1.7])
def test_rows_are_decoded_about_once(rate: float) -> None:
    decoded: list[Window] = []
    bands = Bands(windowed(smooth_image(), decoded), rate)
    for _, window in tile_windows("a", (HEIGHT, WIDTH), Grid(50, 20, (rate,))):
        bands.tile(window)
    assert all(w.x_max - w.x_min == WIDTH for w in decoded)
    assert HEIGHT <= sum(w.y_max - w.y_min for w in decoded) <= HEIGHT + 8


def test_a_tile_is_not_overwritten_by_the_next() -> None:
    image = smooth_image()
    bands = Bands(windowed(image, []), 1.0)
    first = bands.tile(Window(0, 0, 50, 50))
    bands.tile(Window(0, 30, 50, 80))
    np.testing.assert_array_equal(first, image[:50, :50])


@pytest.mark.parametrize("rate", [0.01, 0.4, 1.0, 3.0])
def test_one_pixel(rate: float) -> None:
    pixel = np.full((1, 1, 3), 77, np.uint8)
    rows, columns = scaled_size((1, 1), rate)
    np.testing.assert_array_equal(Bands(array_raster(pixel), rate).tile(Window(0, 0, columns, rows)), 77)
