import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from utils import rasters
from utils.images import ImageError, read_image
from utils.rasters import array_raster, open_raster, raster_info
from utils.tiles import Window

HEIGHT, WIDTH = 61, 83
WINDOWS = [Window(0, 0, WIDTH, HEIGHT), Window(5, 7, 40, 60), Window(82, 60, 83, 61)]


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "WHOLE_PIXELS", 0)


def need_rasterio() -> None:
    pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")


def write_tiff(path: Path, bands: np.ndarray, **options: object) -> Path:
    """Write (B, H, W) with rasterio."""
    import rasterio

    count, height, width = bands.shape
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **options) as dataset:
        dataset.write(bands)
    return path


def check_windows(path: Path, expected: np.ndarray, windowed: bool) -> None:
    assert raster_info(path).size == expected.shape[:2]
    with open_raster(path) as raster:
        assert raster.size == expected.shape[:2]
        assert raster.windowed == windowed
        for w in WINDOWS:
            np.testing.assert_array_equal(raster.read(w), expected[w.y_min : w.y_max, w.x_min : w.x_max])


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_ordinary_images(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), picture[..., ::-1])
    check_windows(path, picture, windowed=False)


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", ["colour", "grey", "16 bits", "grey of 16 bits"])
def test_large_images_read_as_others(tmp_path: Path, picture: np.ndarray, kind: str, suffix: str) -> None:
    need_rasterio()
    image = picture if "grey" not in kind else picture[..., 0]
    if "16" in kind:
        image = image.astype(np.uint16) * 200
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), image)
    check_windows(path, read_image(path), windowed=True)


@pytest.mark.usefixtures("all_large")
def test_alpha_and_palette_read_as_others(tmp_path: Path, picture: np.ndarray) -> None:
    need_rasterio()
    from PIL import Image

    Image.fromarray(picture).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(picture).convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(picture[..., 0]).convert("LA").save(tmp_path / "grey_alpha.png")
    for path in sorted(tmp_path.glob("*.png")):
        check_windows(path, read_image(path), windowed=True)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_many_bands_give_their_first_three(
    tmp_path: Path, whole: bool, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_rasterio()
    monkeypatch.setattr(rasters, "WHOLE_PIXELS", 1 << 26 if whole else 0)
    bands = np.random.default_rng(1).integers(0, 256, (7, HEIGHT, WIDTH)).astype(dtype)
    steps = 257 if dtype is np.uint16 else 1
    path = write_tiff(tmp_path / "a.tif", bands * dtype(steps), photometric="minisblack")
    expected = bands[:3].transpose(1, 2, 0).astype(np.uint8)
    with open_raster(path) as raster:
        np.testing.assert_array_equal(raster.read(WINDOWS[1]), expected[7:60, 5:40])


@pytest.mark.parametrize("options", [{"tiled": True, "blockxsize": 16, "blockysize": 32}, {"blockysize": 1}])
@pytest.mark.usefixtures("all_large")
def test_tiles_and_strips(tmp_path: Path, picture: np.ndarray, options: dict[str, object]) -> None:
    need_rasterio()
    path = write_tiff(
        tmp_path / "a.tif", picture.transpose(2, 0, 1), photometric="rgb", compress="lzw", **options
    )
    check_windows(path, picture, windowed=True)
    assert raster_info(path).seekable


@pytest.mark.parametrize("large", [True, False])
def test_floats_are_refused(tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    need_rasterio()
    monkeypatch.setattr(rasters, "WHOLE_PIXELS", 0 if large else 1 << 26)
    path = write_tiff(tmp_path / "a.tif", np.zeros((3, 20, 20), np.float32))
    message = r"a\.tif: expected 8 or 16 bits per channel, got float32"
    with pytest.raises(ImageError, match=message), open_raster(path):
        pass


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("share", [0.02, 0.6])
def test_truncated_files_are_named(
    tmp_path: Path,
    picture: np.ndarray,
    large: bool,
    suffix: str,
    share: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rasters, "WHOLE_PIXELS", 0 if large else 1 << 26)
    path = tmp_path / f"a{suffix}"
    data = cv2.imencode(suffix, picture)[1].tobytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=f"a{suffix}: "), open_raster(path) as raster:
        raster.read(Window(0, 0, WIDTH, HEIGHT))


@pytest.mark.parametrize("content", [None, b"", b"no image at all"])
def test_no_image(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.tif"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.tif: "), open_raster(path):
        pass
    with pytest.raises(ImageError, match=r"a\.tif: "):
        raster_info(path)


def test_without_rasterio_the_error_says_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rasters, "find_extra", lambda _: None)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0 and nothing that OpenCV reads")
    with (
        pytest.raises(ImageError, match=r"pip install rasterio \(requirements-extra.txt\)"),
        open_raster(path),
    ):
        pass


@pytest.mark.usefixtures("all_large")
def test_without_rasterio_opencv_reads_what_it_can(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rasters, "find_extra", lambda _: None)
    cv2.imwrite(str(tmp_path / "a.tif"), picture[..., ::-1])
    check_windows(tmp_path / "a.tif", picture, windowed=False)


def test_arrays(picture: np.ndarray) -> None:
    np.testing.assert_array_equal(array_raster(picture).read(WINDOWS[1]), picture[7:60, 5:40])
