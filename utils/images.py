"""Images from files, and the one way of warping them.

Coordinates are continuous: pixel i covers [i, i + 1), its centre is i + 0.5.  Matrices are (2, 3) float64 and
map source pixels to output pixels; sizes are (height, width).
"""

import math
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, FileIO
from mmap import mmap
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.arrays import F32, U8
from utils.errors import UserError
from utils.extras import find_extra
from utils.files import strange_kind
from utils.stretch import Levels, levels_of_16_bits, sample_image, stretched

Matrix = NDArray[np.float64]  # (2, 3)
Size = tuple[int, int]  # height, width
Bytes = bytes | mmap  # of a file, read or mapped
FILL = 128  # grey of the padding (spec 6.5)
ROUNDING = 1e-6  # px; a product that should be whole is not always
PNG_END = b"IEND\xaeB`\x82"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG, PNG, GIF, RIFF = b"\xff\xd8", b"\x89PNG", b"GIF8", b"RIFF"  # how files begin; RIFF: WebP
REDUCTIONS = {  # a JPEG can be decoded at 1 / n of its size, for a third of the time
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,  # grey by name; the colour flag that is added to it wins
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
}
STEPS_OF_16_BITS = 257  # 65535 / 255


_changing_the_level = threading.Lock()  # of OpenCV's log, which is one for all threads


class ImageError(UserError):
    """An image file that cannot be used; the message names the file."""


def _read_bytes(path: str | Path) -> bytes:
    kind = strange_kind(path)
    if kind:
        raise ImageError(f"{path}: cannot be read: expected a file, got {kind}")
    try:
        with FileIO(path) as file:
            data = file.readall()
    except FileNotFoundError:
        raise ImageError(f"{path}: no such image file") from None
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        raise ImageError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from error
    if not data:
        raise ImageError(f"{path}: expected an image, got an empty file")
    return data


def _jpeg_scan(data: Bytes) -> int:
    """Return where the picture data of a JPEG begin; end markers before belong to a thumbnail."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:
            return at
        is_fill = data[at + 1] == 0xFF
        at += 1 if is_fill else 2 + struct.unpack_from(">H", data, at + 2)[0]
    return at


def is_truncated(data: Bytes) -> bool:
    """Say whether JPEG, PNG or WebP bytes lack their end; cv2 decodes those without a complaint.

    Bytes after the end are allowed.  Other formats are left to the decoder.
    """
    start = data[:12]
    if start.startswith(JPEG):
        return data.rfind(b"\xff\xd9", _jpeg_scan(data)) < 0  # from the end: it is there
    if start.startswith(PNG):
        return data.rfind(PNG_END) < 0
    if start.startswith(RIFF) and start[8:12] == b"WEBP":
        return len(data) < 8 + int(struct.unpack_from("<I", data, 4)[0])
    return False


def read_image(path: str | Path, reduce: int = 1) -> U8:
    """Return an image file as (H, W, 3) uint8 RGB.

    Grey, palettes and CMYK become RGB, 16 bits become 8 (1 / 257; those that hold fewer are stretched, see
    `utils.stretch`), alpha is dropped; the contents decide, not the suffix.  The EXIF orientation is ignored,
    so that labels fit.

    Args:
        reduce: 1, 2, 4 or 8; a JPEG is decoded at this part of its size, rounded up; others stay whole.

    Raises:
        ImageError: the file is missing, truncated, animated, of another depth or no image.
    """
    data = _read_bytes(path)
    _refuse_damage(data, path)
    try:
        image = _decode(np.frombuffer(data, np.uint8), data.startswith(JPEG), reduce)
    except cv2.error as error:
        raise ImageError(f"{path}: cannot be decoded: {' '.join(error.err.split())}") from error
    if image is None:
        raise ImageError(f"{path}: cannot be decoded as an image")
    levels = levels_of_16_bits(sample_image(image)) if image.dtype == np.uint16 else None
    return to_8_bits(image, path, levels)


def to_8_bits(image: NDArray[Any], path: str | Path, levels: Levels | None = None) -> U8:
    """Return an image or a window of 16 bits in 8 (between levels, else 1 / 257, rounded), one of 8 as it is.

    Raises:
        ImageError: another depth; what the range of floats means only their owner knows.
    """
    if levels is not None:
        return stretched(image, levels)
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=1 / STEPS_OF_16_BITS)
    if image.dtype != np.uint8:
        raise ImageError(f"{path}: expected 8 or 16 bits per channel, got {image.dtype}")
    return np.asarray(image, dtype=np.uint8)


def _refuse_damage(data: bytes, path: str | Path) -> None:
    """Raise what shows without decoding."""
    if is_truncated(data):
        raise ImageError(f"{path}: the file is truncated ({len(data)} bytes)")
    header = read_header(BytesIO(data)) if data.startswith((PNG, GIF, RIFF)) else None
    if header and header.frames > 1:
        raise ImageError(f"{path}: expected one picture, got an animation of {header.frames}")


@contextmanager
def _silent() -> Iterator[None]:
    """Keep OpenCV from writing a line about each tag of a GeoTIFF, which it does not know."""
    with _changing_the_level:
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        try:
            yield
        finally:
            cv2.utils.logging.setLogLevel(level)


def _decode(data: U8, is_jpeg: bool, reduce: int) -> NDArray[Any] | None:
    if is_jpeg:
        flags = REDUCTIONS[reduce] if reduce > 1 else 0
        return cv2.imdecode(data, flags | cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    # OpenCV 5.0 garbles TIFFs of 16 bits when it is to swap the channels itself
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    if data[:4].tobytes() in TIFF:
        with _silent():
            bgr = cv2.imdecode(data, flags)
    else:
        bgr = cv2.imdecode(data, flags)
    return None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


class Header(NamedTuple):
    """What the first bytes of an image file say."""

    size: Size
    frames: int  # pages of a TIFF count as one


def read_header(file: str | Path | BytesIO) -> Header | None:
    """Return the header; None where Pillow is missing, knows none or fears the size (179 million pixels)."""
    pillow = find_extra("PIL.Image")
    if pillow is None or (isinstance(file, str | Path) and strange_kind(file)):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes and of tags; the decoder has the last word
            with pillow.open(file) as image:
                frames = 1 if image.format == "TIFF" else int(getattr(image, "n_frames", 1))
                return Header((image.height, image.width), frames) if image.width and image.height else None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, pillow.DecompressionBombError):
        return None


def image_size(path: str | Path) -> Size:
    """Return height and width from the header alone, where the header says them.

    Raises:
        ImageError: as `read_image`.
    """
    header = read_header(path)
    if header is not None:
        return header.size
    height, width, _ = read_image(path).shape
    return height, width


def check_image(path: str | Path) -> Size:
    """Return height and width of an image whose file is whole; JPEG, PNG and WebP are not decoded for it.

    Raises:
        ImageError: as `read_image`.
    """
    data = _read_bytes(path)
    _refuse_damage(data, path)
    header = read_header(BytesIO(data)) if data.startswith((JPEG, PNG, RIFF)) else None
    if header is not None:
        return header.size
    height, width, _ = read_image(path).shape
    return height, width


def compose(second: Matrix, first: Matrix) -> Matrix:
    """Return the matrix that applies `first`, then `second`."""
    (a, b, x), (c, d, y) = second.tolist()  # numpy is slow on six numbers, and every sample has ten of these
    (e, f, u), (g, h, v) = first.tolist()
    return np.array(
        [
            [a * e + b * g, a * f + b * h, a * u + b * v + x],
            [c * e + d * g, c * f + d * h, c * u + d * v + y],
        ]
    )


def scale_of(matrix: NDArray[np.floating]) -> float:
    """Return by how much the matrix stretches lengths, on the average of all directions."""
    (a, b, _), (c, d, _) = matrix.tolist()
    return math.sqrt(abs(a * d - b * c))


def invert(matrix: NDArray[np.floating]) -> Matrix:
    """Return the matrix of the way back."""
    full = np.vstack([matrix, [0.0, 0.0, 1.0]]).astype(np.float64)
    return np.asarray(np.linalg.inv(full)[:2], np.float64)


def shift(dx: float, dy: float) -> Matrix:
    """Return the matrix that moves by pixels, right and down."""
    return np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])


def letterbox_matrix(source: Size, target: Size, centred: bool = True, shrink: float = 1.0) -> Matrix:
    """Return the matrix that fits the source into the target, up or down, keeping its proportions.

    Centred with whole-pixel margins, or in the top left corner, to pad right and bottom (spec 6.5).

    Args:
        shrink: factor of the scale that would fill the target.
    """
    ratio = min(target[0] / source[0], target[1] / source[1]) * shrink
    free = [t - ratio * s + ROUNDING for t, s in zip(target, source, strict=True)]
    dy, dx = (max(0.0, length // 2) if centred else 0.0 for length in free)
    return np.array([[ratio, 0.0, dx], [0.0, ratio, dy]])


def transform_quads(quads: F32, matrix: NDArray[np.floating]) -> F32:
    """Return (N, 4, 2) quads mapped by the matrix; the order of the vertices stays."""
    linear, offset = np.split(matrix.astype(np.float64), [2], axis=1)
    return (quads.astype(np.float64) @ linear.T + offset.ravel()).astype(np.float32)


def area_factor(scale: float) -> int:
    """Return by which whole factor to shrink before scaling: above 1 below a half, lest pixels be skipped."""
    return max(int(1.0 / max(scale, 1e-6)), 1)


def _reduce(image: U8, matrix: Matrix) -> tuple[U8, Matrix]:
    """Shrink by the whole factor that a matrix needs."""
    factor = area_factor(scale_of(matrix))
    if factor < 2:
        return image, matrix
    height, width, _ = image.shape
    small = (max(round(width / factor), 1), max(round(height / factor), 1))
    grow = np.array([[width / small[0], 0.0, 0.0], [0.0, height / small[1], 0.0]])
    return np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), np.uint8), compose(matrix, grow)


def warp_image(image: U8, matrix: NDArray[np.floating], size: Size, fill: int = FILL) -> U8:
    """Return the image mapped by the matrix onto a canvas of `size`, grey where nothing lands.

    OpenCV counts pixel centres at integers, we at + 0.5: its matrix is T(-0.5) M T(0.5).
    """
    image, matrix = _reduce(image, matrix.astype(np.float64))
    height, width = size
    centred = compose(compose(shift(-0.5, -0.5), matrix), shift(0.5, 0.5))
    warped = cv2.warpAffine(
        image,
        centred,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(fill, fill, fill),
    )
    return np.asarray(warped, dtype=np.uint8)
