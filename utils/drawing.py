"""Drawing of quads on pictures, pictures put together and saved; all are (H, W, 3) uint8 RGB."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike

from utils.arrays import U8
from utils.captions import write_captions
from utils.errors import UserError
from utils.files import replacing
from utils.lettering import draw_text, shorten_start, text_size
from utils.outlines import draw_outlines
from utils.palette import Colour, class_colour

WHITE = 255
INK = (30, 30, 30)
GAP = 6  # pixels between pictures
TITLE_HEIGHT = 22
TITLE_SIZE = 12  # pixels of the letters
LEGEND_ROW = 18  # pixels, under a picture of up to 1200 px; more under a larger one
LEGEND_WIDTH = 1200  # pixels

LegendEntry = tuple[Colour | None, str]  # of a legend: a patch of a colour, or none, and what it means


def draw_quads(
    image: U8,
    quads: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    scores: ArrayLike | None = None,
    colours: Sequence[Colour] | None = None,
) -> U8:
    """Return a copy of the image with outlines and, where there is room, class names and scores.

    Args:
        quads: (N, 4, 2) pixels; parts outside the picture are cut.
        labels: (N,) index into `classes`.
        classes: empty: outlines without names.
        scores: (N,) in [0, 1].
        colours: one per class; default `class_colour`.
    """
    canvas = np.ascontiguousarray(image).copy()
    numbers = np.asarray(labels, np.int64).reshape(-1).tolist()
    paints = [colours[n] if colours else class_colour(n) for n in numbers]
    draw_outlines(canvas, quads, paints, max(1, round(min(canvas.shape[:2]) / 450)))
    if classes:
        names = [classes[n] for n in numbers]
        texts, shorter = caption_texts(names, scores)
        write_captions(canvas, quads, texts, paints, shorter)
    return canvas


def caption_texts(names: Sequence[str], scores: ArrayLike | None) -> tuple[list[str], list[str]]:
    """Return names with their scores (N,), and what may stand in their place: scores alone, or nothing."""
    if scores is None:
        return list(names), []
    numbers = [f"{score:.2f}" for score in np.asarray(scores).tolist()]
    return [f"{name} {number}" for name, number in zip(names, numbers, strict=True)], numbers


def _pad(image: U8, height: int, width: int) -> U8:
    padded = np.full((height, width, 3), WHITE, np.uint8)
    padded[: image.shape[0], : image.shape[1]] = image
    return padded


def rescale(image: U8, scale: float) -> U8:
    """Return the picture times `scale`; enlarged pixels stay squares, so that nothing is blurred."""
    if scale == 1.0:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)


def side_by_side(left: U8, right: U8) -> U8:
    """Return both pictures in one row with a white gap, tops aligned."""
    height = max(len(left), len(right))
    gap = np.full((height, GAP, 3), WHITE, np.uint8)
    return np.concatenate(
        [_pad(left, height, left.shape[1]), gap, _pad(right, height, right.shape[1])], axis=1
    )


def contact_sheet(images: Sequence[U8], columns: int = 4, titles: Sequence[str] = ()) -> U8:
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
            title = shorten_start(titles[number], TITLE_SIZE, width)
            draw_text(sheet, (x, y + 3), title, TITLE_SIZE, INK)
        sheet[y + head : y + head + image.shape[0], x : x + image.shape[1]] = image
    return sheet


def legend_row(width: int) -> int:
    """Return the height of a row of a legend, an even number of px, under a picture of this width."""
    return 2 * round(LEGEND_ROW / 2 * float(np.clip(width / LEGEND_WIDTH, 1.0, 2.5)))


def with_legend(image: U8, entries: Sequence[LegendEntry]) -> U8:
    """Return the picture above a strip of its width that says what the colours mean, in rows as needed."""
    return np.concatenate([image, legend_strip(image.shape[1], entries)])


def legend_strip(width: int, entries: Sequence[LegendEntry]) -> U8:
    """Return what stands under a picture of this width: patches of colour with their meaning."""
    height = legend_row(width)
    size, patch = round(height * 0.62), round(height * 0.66)
    places, x, row = [], GAP, 0
    for paint, text in entries:
        needed = (patch + GAP if paint else 0) + text_size(text, size)[0] + 2 * GAP
        if x > GAP and x + needed > width:
            x, row = GAP, row + 1
        places.append((x, row * height))
        x += needed
    strip = np.full((height * (row + 1), width, 3), WHITE, np.uint8)
    for (paint, text), (left, top) in zip(entries, places, strict=True):
        if paint:
            edge = top + (height - patch) // 2
            strip[edge : edge + patch, left : left + patch] = paint
            left += patch + GAP - 1
        draw_text(strip, (left, top + (height - text_size(text, size)[1]) // 2), text, size, INK)
    return strip


def save_image(path: str | Path, image: U8, quality: int = 95, flush: bool = True) -> None:
    """Write a PNG, JPEG or whatever else OpenCV knows by the suffix; the file appears whole or not at all.

    Args:
        quality: of a JPEG, 1 to 100.
        flush: as in `replacing`.

    Raises:
        ValueError: a suffix that no writer knows.
        UserError: the format has no such pictures; JPEG ends at 65,500 px.
    """
    path = Path(path)
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    if not path.suffix or not cv2.haveImageWriter(path.name):
        raise ValueError(f"{path}: expected an image suffix such as .png or .jpg, found '{path.suffix}'")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix.lower() in (".jpg", ".jpeg") else []
    with replacing(path, flush) as temporary:
        encoded, data = cv2.imencode(path.suffix, bgr, options)  # imwrite knows no non-ASCII paths on Windows
        if not encoded:
            raise UserError(f"{path}: a picture of {bgr.shape[1]} x {bgr.shape[0]} px could not be written")
        temporary.write_bytes(data.tobytes())
