"""Quads drawn on pictures, pictures put together, pictures saved; all are (H, W, 3) uint8 RGB."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from utils.files import replacing

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]  # RGB
Box = tuple[int, int, int, int]  # x_min, y_min, x_max, y_max in pixels

PALETTE: tuple[Colour, ...] = (  # Okabe and Ito (2008): told apart with every kind of colour vision
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
WHITE = 255
FONT = cv2.FONT_HERSHEY_SIMPLEX
SUBPIXEL_BITS = 4
FAR = 1e5  # pixels; beyond it OpenCV's fixed-point coordinates overflow
MAX_CAPTIONS = 60  # in a fuller picture names would hide more than they tell
GAP = 6  # pixels between pictures
TITLE_HEIGHT = 22


def class_colour(label: int) -> Colour:
    """Return the fixed colour of a class; after seven classes the palette begins again, lighter."""
    lighter = (label // len(PALETTE)) % 3 * 0.35
    red, green, blue = (round(c + (255 - c) * lighter) for c in PALETTE[label % len(PALETTE)])
    return red, green, blue


def draw_quads(
    image: Image,
    quads: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    scores: ArrayLike | None = None,
    colours: Sequence[Colour] | None = None,
) -> Image:
    """Return a copy of the image with outlines and, beside them, class names and scores.

    Args:
        quads: (N, 4, 2) pixels; parts outside the picture are cut.
        labels: (N,) index into `classes`.
        classes: empty: outlines without names.
        scores: (N,) in [0, 1].
        colours: one per class; default `class_colour`.
    """
    canvas = np.ascontiguousarray(image).copy()
    corners = np.clip(np.asarray(quads, np.float64).reshape(-1, 4, 2), -FAR, FAR)
    numbers = np.asarray(labels, np.int64).reshape(-1)
    thickness = max(1, round(min(canvas.shape[:2]) / 450))
    paints = [colours[n] if colours else class_colour(n) for n in numbers.tolist()]
    for quad, paint in zip(corners, paints, strict=True):
        fixed = np.round((quad - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)  # OpenCV's centres are integers
        cv2.polylines(canvas, [fixed], True, paint, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    if classes and len(corners) <= MAX_CAPTIONS:
        texts = [classes[n] for n in numbers.tolist()]
        if scores is not None:
            texts = [f"{t} {s:.2f}" for t, s in zip(texts, np.asarray(scores).tolist(), strict=True)]
        _write_captions(canvas, corners, texts, paints)
    return canvas


def _write_captions(
    canvas: Image, quads: NDArray[np.float64], texts: Sequence[str], paints: Sequence[Colour]
) -> None:
    """Write each text where it covers the least of the objects and of the other texts."""
    scale = max(0.32, min(canvas.shape[:2]) / 1600)
    taken = np.concatenate([quads.min(axis=1), quads.max(axis=1)], axis=1)
    for quad, text, paint in zip(quads, texts, paints, strict=True):
        (width, height), below = cv2.getTextSize(text, FONT, scale, 1)
        box = _free_box(quad, (width + 4, height + below + 2), canvas.shape[:2], taken)
        if box is None:
            continue
        x_min, y_min, x_max, y_max = box
        cv2.rectangle(canvas, (x_min, y_min), (x_max - 1, y_max - 1), paint, cv2.FILLED)
        ink = (0, 0, 0) if np.dot(paint, (0.3, 0.59, 0.11)) > 110 else (255, 255, 255)
        cv2.putText(canvas, text, (x_min + 2, y_max - below), FONT, scale, ink, 1, cv2.LINE_AA)
        taken = np.concatenate([taken, np.array([box], np.float64)])


def _free_box(
    quad: NDArray[np.float64], size: tuple[int, int], shape: tuple[int, ...], taken: NDArray[np.float64]
) -> Box | None:
    """Return the place beside a quad that covers least, None for a quad out of sight."""
    (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
    if right <= 0 or bottom <= 0 or left >= shape[1] or top >= shape[0]:
        return None
    width, height = size
    corners = [(left, top - height - 2), (left, bottom + 2), (right + 2, top), (left - width - 2, top)]
    boxes = []
    for x, y in corners:
        x_min = int(np.clip(x, 0, max(shape[1] - width, 0)))
        y_min = int(np.clip(y, 0, max(shape[0] - height, 0)))
        boxes.append((x_min, y_min, x_min + width, y_min + height))
    return min(boxes, key=lambda box: _covered(box, taken))  # the first of equals


def _covered(box: Box, taken: NDArray[np.float64]) -> float:
    x_min, y_min, x_max, y_max = taken.T
    widths = np.minimum(x_max, box[2]) - np.maximum(x_min, box[0])
    heights = np.minimum(y_max, box[3]) - np.maximum(y_min, box[1])
    return float((widths.clip(0) * heights.clip(0)).sum())


def _pad(image: Image, height: int, width: int) -> Image:
    padded = np.full((height, width, 3), WHITE, np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded


def side_by_side(left: Image, right: Image) -> Image:
    """Return both pictures in one row with a white gap, tops aligned."""
    height = max(len(left), len(right))
    gap = np.full((height, GAP, 3), WHITE, np.uint8)
    return np.concatenate(
        [_pad(left, height, left.shape[1]), gap, _pad(right, height, right.shape[1])], axis=1
    )


def contact_sheet(images: Sequence[Image], columns: int = 4, titles: Sequence[str] = ()) -> Image:
    """Return all pictures in rows, each under its title; without pictures one white cell.

    Raises:
        ValueError: fewer than one column, or titles that are not as many as the pictures.
    """
    if columns < 1 or (titles and len(titles) != len(images)):
        found = f"{columns} columns, {len(titles)} titles, {len(images)} images"
        raise ValueError(f"contact_sheet: expected a column and a title for each image, found {found}")
    height = max((image.shape[0] for image in images), default=32)
    width = max((image.shape[1] for image in images), default=32)
    head = TITLE_HEIGHT if titles else 0
    rows = max(1, -(-len(images) // columns))
    columns = min(columns, max(1, len(images)))
    cell_height, cell_width = head + height + GAP, width + GAP
    sheet = np.full((rows * cell_height + GAP, columns * cell_width + GAP, 3), WHITE, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        y, x = GAP + row * cell_height, GAP + column * cell_width
        if titles:
            title = _shortened(titles[number], width)
            cv2.putText(sheet, title, (x, y + 14), FONT, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
        sheet[y + head : y + head + image.shape[0], x : x + image.shape[1]] = image
    return sheet


def _shortened(text: str, width: int) -> str:
    """Return the text, or its end after two dots when it is wider than `width` pixels."""
    short = text
    while short and cv2.getTextSize(".." + short, FONT, 0.42, 1)[0][0] > width:
        short = short[1:]
    return text if short == text else ".." + short


def save_image(path: str | Path, image: Image, quality: int = 95, flush: bool = True) -> None:
    """Write a PNG, JPEG or whatever else OpenCV knows by the suffix; the file appears whole or not at all.

    Args:
        quality: of a JPEG, 1 to 100.
        flush: as in `replacing`.

    Raises:
        ValueError: a suffix that no writer knows.
    """
    path = Path(path)
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    if not path.suffix or not cv2.haveImageWriter(path.name):
        raise ValueError(f"{path}: expected an image suffix such as .png or .jpg, found '{path.suffix}'")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix.lower() in (".jpg", ".jpeg") else []
    with replacing(path, flush) as temporary:
        encoded, data = cv2.imencode(path.suffix, bgr, options)  # imwrite knows no non-ASCII paths on Windows
        if not encoded:
            raise OSError(f"{path}: the image could not be written")
        temporary.write_bytes(data.tobytes())
