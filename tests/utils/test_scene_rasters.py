"""Bands, stretch, nodata and places of rasters, written and read with rasterio."""

import logging
import warnings
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from utils import rasters, scene_rasters
from utils.images import FILL, ImageError, read_image
from utils.scene_rasters import Reading, open_scene
from utils.tiles import Window

rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
HEIGHT, WIDTH = 61, 83
ALL = Window(0, 0, WIDTH, HEIGHT)
PLACE = rasterio.Affine(0.5, 0.1, 500000, 0.1, -0.5, 5600000)


def write(path: Path, bands: np.ndarray, mask: np.ndarray | None = None, **options: object) -> Path:
    """Write (B, H, W)."""
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", driver="GTiff", **shape, **options) as dataset,
    ):
        dataset.write(bands)
        if mask is not None:
            dataset.write_mask(mask)
    return path


def noise(dtype: str, count: int = 3, high: float = 256) -> np.ndarray:
    values = np.random.default_rng(0).uniform(0, high, (count, HEIGHT, WIDTH))
    return values.astype(dtype)


def read(path: Path, reading: Reading = Reading(), window: Window = ALL) -> np.ndarray:  # noqa: B008
    with open_scene(path, reading) as raster:
        assert raster.size == (HEIGHT, WIDTH)
        return raster.read(window)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_ordinary_pictures_are_those_of_read_image(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), noise("uint8").transpose(1, 2, 0))
    np.testing.assert_array_equal(read(path), read_image(path))


def test_where_it_lies(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise("uint8"), crs="EPSG:32632", transform=PLACE, photometric="rgb")
    with open_scene(path) as raster:
        assert raster.geo is not None
        assert raster.geo.transform == tuple(PLACE)[:6]
        assert rasterio.CRS.from_wkt(raster.geo.crs).to_epsg() == 32632
    np.testing.assert_array_equal(read(path), noise("uint8").transpose(1, 2, 0))
    for options in ({}, {"crs": "EPSG:32632"}, {"transform": PLACE}):
        with open_scene(write(tmp_path / "b.tif", noise("uint8"), **options)) as raster:
            assert raster.geo is None


def test_bands_are_chosen(tmp_path: Path) -> None:
    bands = noise("uint8", 5)
    path = write(tmp_path / "a.tif", bands)
    np.testing.assert_array_equal(read(path, Reading((5, 1, 3))), bands[[4, 0, 2]].transpose(1, 2, 0))
    np.testing.assert_array_equal(read(path, Reading((4,))), bands[[3, 3, 3]].transpose(1, 2, 0))
    with pytest.raises(ImageError, match=r"a\.tif: no band 6, the raster has 5"):
        read(path, Reading((1, 2, 6)))


def test_a_jpeg_has_bands_too(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), noise("uint8").transpose(1, 2, 0))
    np.testing.assert_array_equal(read(path, Reading((3, 2, 1))), read_image(path)[..., ::-1])


def test_a_palette_gives_colours_and_one_of_16_bits_is_refused(tmp_path: Path) -> None:
    indices = noise("uint8", 1)
    colours = {index: (index, 255 - index, index // 2, 255) for index in range(256)}
    for dtype in ("uint8", "uint16"):
        path = write(tmp_path / f"{dtype}.tif", indices.astype(dtype), crs="EPSG:32632", transform=PLACE)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_colormap(1, colours)
    table = np.array([colours[index][:3] for index in range(256)])
    np.testing.assert_array_equal(read(tmp_path / "uint8.tif"), table[indices[0]])
    with pytest.raises(ImageError, match=r"uint16\.tif: expected a palette of 8 bits, got uint16; gdal_tr"):
        read(tmp_path / "uint16.tif")


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "float64", "uint32"])
def test_percentiles_become_black_and_white(tmp_path: Path, dtype: str) -> None:
    bands = noise(dtype, high=3000) * np.array([1, 2, 5], dtype)[:, None, None]
    stretch = (10.0, 80.0) if dtype == "uint16" else None
    path = write(tmp_path / "a.tif", bands)
    pixels = read(path, Reading(stretch=stretch)).transpose(2, 0, 1).astype(float)
    for band, values in zip(bands.astype(float), pixels, strict=True):
        low, high = np.percentile(band, stretch or (2, 98))
        expected = np.clip((band - low) / (high - low), 0, 1) * 255
        assert np.abs(values - expected).max() < 6  # samples of the raster, not all of it


@pytest.mark.parametrize("high", [65536, 2048, 10_000])
@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("large", [False, True])
def test_16_bits_are_as_in_training(
    high: int, count: int, large: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bands = noise("uint16", count, high)
    bands[:, :20] = 0  # a border without pixels
    pictures = [read_image(write(tmp_path / "plain.tif", bands))]
    monkeypatch.setattr(rasters, "WHOLE_PIXELS", 0 if large else 1 << 26)
    with rasters.open_raster(tmp_path / "plain.tif") as raster:  # what `datasets_tools.split` cuts
        pictures.append(raster.read(ALL))
    pictures.append(read(tmp_path / "plain.tif"))
    pictures.append(read(write(tmp_path / "geo.tif", bands, crs="EPSG:32632", transform=PLACE)))
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture, pictures[0])
    assert np.percentile(pictures[0][20:], 90) > 220


def test_what_is_stretched_by_itself_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    options = {"crs": "EPSG:32632", "transform": PLACE}
    read(write(tmp_path / "full.tif", noise("uint16", high=65536), **options))
    read(write(tmp_path / "byte.tif", noise("uint16") * np.uint16(257), **options))
    assert not caplog.messages
    values = np.arange(HEIGHT * WIDTH).reshape(1, HEIGHT, WIDTH)
    read(write(tmp_path / "dark.tif", (values % 2048).astype(np.uint16), **options))
    read(write(tmp_path / "alike.tif", np.full((3, HEIGHT, WIDTH), 400, np.uint16), **options))
    read(write(tmp_path / "part.tif", (values / values.max()).astype(np.float32), **options))
    dark, alike, part = (line.replace(f"{tmp_path}/", "") for line in caplog.messages)
    assert dark.startswith("dark.tif: 16 bit, values 0 to 2,047: stretched from 3")
    assert dark.endswith(" (predict.stretch)")
    assert alike == "alike.tif: 16 bit, values 400 to 400: stretched from 400 to 401 (predict.stretch)"
    assert part == "part.tif: float32, values 0 to 1: stretched from 0.021 to 0.979 (predict.stretch)"


def test_the_bands_that_are_taken_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for count in (1, 3):
        read(write(tmp_path / f"{count}.tif", noise("uint8", count), crs="EPSG:32632", transform=PLACE))
    assert not caplog.messages
    names = ["blue", "green", "red", "undefined"]
    infrared = write(tmp_path / "a.tif", noise("uint8", 4), photometric="minisblack")
    read(infrared)
    with rasterio.open(infrared, "r+") as dataset:
        dataset.colorinterp = [rasterio.enums.ColorInterp[name] for name in names]
    np.testing.assert_array_equal(read(infrared), noise("uint8", 4)[[2, 1, 0]].transpose(1, 2, 0))
    read(infrared, Reading((4,)))
    read(write(tmp_path / "b.tif", noise("uint8", 2)))
    assert [line.replace(f"{tmp_path}/", "") for line in caplog.messages] == [
        "a.tif: bands 1, 2, 3 of 4 as red, green, blue (predict.bands)",
        "a.tif: bands 3, 2, 1 of 4 as red, green, blue (predict.bands)",
        "a.tif: band 4 of 4 as grey (predict.bands)",
        "b.tif: band 1 of 2 as grey (predict.bands)",
    ]


@pytest.mark.parametrize("kind", ["nodata", "mask", "alpha", "nan", "nan as nodata"])
def test_nodata_is_grey(tmp_path: Path, kind: str) -> None:
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[10:20, 30:50] = True
    bands = noise("float32" if "nan" in kind else "uint8", 4 if kind == "alpha" else 3).clip(1, 255)
    options: dict[str, object] = {"photometric": "rgb"} if "nan" not in kind else {}
    mask = None
    if kind == "mask":
        mask = np.where(hole, 0, 255).astype(np.uint8)
    elif kind == "alpha":
        bands[3] = np.where(hole, 0, 255)
        options["alpha"] = "yes"
    else:
        bands[:, hole] = np.nan if "nan" in kind else 0
    if kind.startswith("no"):
        bands[0, 0, 0] = 0  # black in one band alone is a colour
        options["nodata"] = 0
    elif kind.endswith("nodata"):
        options["nodata"] = np.nan
    path = write(tmp_path / "a.tif", bands, mask, **options)
    pixels = read(path)
    assert (pixels[hole] == FILL).all()
    assert pixels[~hole].std() > 50
    if "nan" not in kind:
        np.testing.assert_array_equal(pixels[~hole], bands[:3].transpose(1, 2, 0)[~hole])
    np.testing.assert_array_equal(read(path, window=Window(25, 5, 60, 22)), pixels[5:22, 25:60])


def test_nothing_but_nodata(tmp_path: Path) -> None:
    assert (read(write(tmp_path / "a.tif", np.full((1, HEIGHT, WIDTH), np.nan, np.float32))) == FILL).all()


def test_no_bands(tmp_path: Path) -> None:
    path = tmp_path / "a.vrt"
    path.write_text('<VRTDataset rasterXSize="20" rasterYSize="20"></VRTDataset>')
    with pytest.raises(ImageError, match=r"a\.vrt: cannot be decoded"), open_scene(path):  # GDAL says no
        pass
    with pytest.raises(ImageError, match=r"a\.h5: expected at least one band, found none"):
        scene_rasters._chosen_bands(SimpleNamespace(count=0), "a.h5", ())  # as of a file of several rasters


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", noise("complex64"))
    with (
        pytest.raises(ImageError, match=r"a\.tif: expected real numbers in band 1, got complex64"),
        open_scene(path),
    ):
        pass


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_tiff_is_refused_before_anything_is_done(tmp_path: Path, share: float) -> None:
    options = {"crs": "EPSG:32632", "transform": PLACE, "compress": "deflate", "blockysize": 4}
    path = write(tmp_path / "a.tif", noise("uint8"), **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"a\.tif: "), open_scene(path):
        pass


def test_without_rasterio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", noise("uint8"), crs="EPSG:32632", transform=PLACE)
    for module in (rasters, scene_rasters):
        monkeypatch.setattr(module, "find_extra", lambda _: None)
    np.testing.assert_array_equal(read(path), read_image(path))
    with (
        pytest.raises(ImageError, match=r"bands and stretch cannot be chosen: .* pip install rasterio"),
        open_scene(path, Reading((1,))),
    ):
        pass
