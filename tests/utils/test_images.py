from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from utils.images import (
    ImageError,
    check_image,
    compose,
    image_size,
    invert,
    letterbox_matrix,
    read_image,
    shift,
    transform_quads,
    warp_image,
)


def disc(size: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """Anti-aliased by counting 8 x 8 points per pixel: an exact picture of the continuous disc."""
    y, x = ((np.arange(side * 8) + 0.5) / 8 for side in size)
    inside = (x[None] - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2 <= radius**2
    share = inside.reshape(size[0], 8, size[1], 8).mean(axis=(1, 3))
    return np.repeat(np.round(share * 255).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray) -> np.ndarray:
    mass = image[..., 0].astype(np.float64)
    y, x = ((np.arange(side) + 0.5) for side in mass.shape)
    return np.array([(mass.sum(0) * x).sum(), (mass.sum(1) * y).sum()]) / mass.sum()


@pytest.mark.parametrize("scale", [0.2, 0.23, 0.33, 0.49, 0.5, 0.7, 1.0, 1.7, 3.0])
@pytest.mark.parametrize("degrees", [0.0, 17.0, 90.0, 211.0])
@pytest.mark.parametrize("flip", [1.0, -1.0])
def test_centroid_of_a_disc_follows_the_matrix(scale: float, degrees: float, flip: float) -> None:
    at = (140.3, 121.6)
    image = disc((243, 271), at, 30.0)
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = linear @ np.diag([flip, 1.0])
    target = np.array([160.27, 155.81])
    matrix = np.hstack([linear, (target - linear @ at)[:, None]])
    warped = warp_image(image, matrix, (320, 320), fill=0)
    assert np.abs(centroid(warped) - target).max() < 0.05


def test_identity_changes_nothing_and_padding_is_grey() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    warped = warp_image(image, shift(4, 6), (40, 50))
    np.testing.assert_array_equal(warped[6:26, 4:34], image)
    warped[6:26, 4:34] = 128
    assert (warped == 128).all()


def test_letterbox_by_hand() -> None:
    np.testing.assert_allclose(letterbox_matrix((512, 640), (640, 640)), [[1, 0, 0], [0, 1, 64]])
    np.testing.assert_allclose(
        letterbox_matrix((100, 50), (64, 64), centred=False), [[0.64, 0, 0], [0, 0.64, 0]]
    )
    np.testing.assert_allclose(letterbox_matrix((100, 50), (200, 320)), [[2, 0, 110], [0, 2, 0]])


def test_quads_go_there_and_back() -> None:
    rng = np.random.default_rng(1)
    quads = rng.uniform(0, 100, (5, 4, 2)).astype(np.float32)
    matrix = np.array([[0.5, -1.0, 3.0], [2.0, 0.25, -7.0]])
    slow = [[matrix[:, :2] @ point + matrix[:, 2] for point in quad] for quad in quads]
    moved = transform_quads(quads, matrix)
    np.testing.assert_allclose(moved, slow, rtol=1e-5)
    np.testing.assert_allclose(transform_quads(moved, invert(matrix)), quads, atol=1e-3)
    np.testing.assert_allclose(compose(invert(matrix), matrix), shift(0, 0), atol=1e-12)
    assert transform_quads(np.zeros((0, 4, 2), np.float32), matrix).shape == (0, 4, 2)


def write(path: Path, image: np.ndarray) -> Path:
    ok, data = cv2.imencode(path.suffix, image)
    assert ok
    path.write_bytes(data.tobytes())
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_formats_read_back_as_rgb(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    path = write(tmp_path / f"grüße 图像 a b{suffix}", image[..., ::-1])
    np.testing.assert_array_equal(read_image(path), image)
    assert image_size(path) == (6, 9)


def test_grey_deep_and_alpha_become_rgb(tmp_path: Path) -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    np.testing.assert_array_equal(read_image(write(tmp_path / "g.png", grey)), np.dstack([grey] * 3))
    deep = grey.astype(np.uint16) * 256
    np.testing.assert_array_equal(read_image(write(tmp_path / "d.png", deep)), np.dstack([grey] * 3))
    alpha = np.dstack([grey, grey + 1, grey + 2, np.full_like(grey, 7)])
    rgb = np.dstack([grey + 2, grey + 1, grey])
    np.testing.assert_array_equal(read_image(write(tmp_path / "a.png", alpha)), rgb)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (16, 24, channels), dtype=np.uint16)
    deep[0, :2] = [[0], [65535]]
    image = read_image(write(tmp_path / f"deep{suffix}", deep))
    np.testing.assert_array_equal(image, np.broadcast_to(np.round(deep[..., ::-1] / 257), (16, 24, 3)))
    assert check_image(tmp_path / f"deep{suffix}") == (16, 24)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb_as_with_pillow(tmp_path: Path, form: str) -> None:
    path = tmp_path / "ink"
    inks = np.random.default_rng(0).integers(0, 256, (2, 3, 4), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(inks, "CMYK").save(path, form, quality=95)
    rgb = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read_image(path).astype(int) - rgb).max() <= 4  # both round on their way


def test_the_contents_decide_and_not_the_suffix(tmp_path: Path) -> None:
    jpeg = write(tmp_path / "a.jpg", np.full((16, 24, 3), 90, np.uint8)).rename(tmp_path / "a.png")
    assert read_image(jpeg).shape == (16, 24, 3)
    assert check_image(jpeg) == (16, 24)


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_animations_are_refused(tmp_path: Path, form: str) -> None:
    path = tmp_path / "film"
    frames = [Image.new("RGB", (8, 8), (90 * i, 0, 0)) for i in range(3)]
    frames[0].save(path, form)
    assert read_image(path).shape == (8, 8, 3)
    frames[0].save(path, form, save_all=True, append_images=frames[1:])
    for read in (read_image, check_image):
        with pytest.raises(ImageError, match="film: expected one picture, got an animation of 3"):
            read(path)


def test_tags_of_a_tiff_are_no_news(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    level = cv2.utils.logging.getLogLevel()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[33550] = (0.5, 0.5, 0.0)
    tags.tagtype[33550] = 12
    Image.new("RGB", (8, 8)).save(tmp_path / "a.tif", tiffinfo=tags)
    assert read_image(tmp_path / "a.tif").shape == (8, 8, 3)
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == level


def test_unknown_depths_and_paths_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "f.tif")
    for path in (tmp_path / "f.tif", tmp_path / "zero\0byte.png", tmp_path):
        with pytest.raises(ImageError, match=str(path)):
            read_image(path)


def test_exif_orientation_is_ignored(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (20, 40, 3)
    assert image_size(tmp_path / "turned.jpg") == (20, 40)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_truncated_files_are_named(tmp_path: Path, suffix: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = write(tmp_path / f"cut{suffix}", image)
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0\0tail")
    assert read_image(path).shape == (64, 64, 3)
    for share in (0.5, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageError, match=rf"cut{suffix}: the file is truncated"):
            read_image(path)


def test_a_thumbnail_does_not_hide_a_truncation(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = path.read_bytes()
    thumbnail = b"\xff\xe1\x00\x08ab\xff\xd9cd"  # an APP1 segment with an end marker inside
    path.write_bytes((data[:2] + thumbnail + data[2:])[:-200])
    with pytest.raises(ImageError, match="truncated"):
        read_image(path)


def test_missing_empty_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: no such image file"):
        read_image(tmp_path / "none.png")
    for name, content in (("empty.png", b""), ("text.png", b"hello")):
        (tmp_path / name).write_bytes(content)
        for read in (read_image, image_size):
            with pytest.raises(ImageError, match=name):
                read(tmp_path / name)
