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
DASH = 3.0  # pixels; of dashed outlines, and of the gaps between
MIN_ARROW = 6.0  # pixels of the first edge; a shorter one has no room for an arrow
MAX_CAPTIONS = 60  # in a fuller picture names would hide more than they tell
GAP = 6  # pixels between pictures
TITLE_HEIGHT = 22
LEGEND_ROW = 18  # pixels


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
    numbers = np.asarray(labels, np.int64).reshape(-1)
    paints = [colours[n] if colours else class_colour(n) for n in numbers.tolist()]
    draw_outlines(canvas, quads, paints, max(1, round(min(canvas.shape[:2]) / 450)))
    if classes:
        texts = [classes[n] for n in numbers.tolist()]
        if scores is not None:
            texts = [f"{t} {s:.2f}" for t, s in zip(texts, np.asarray(scores).tolist(), strict=True)]
        write_captions(canvas, quads, texts, paints, max(0.32, min(canvas.shape[:2]) / 1600))
    return canvas


def _corners(quads: ArrayLike) -> NDArray[np.float64]:
    return np.clip(np.asarray(quads, np.float64).reshape(-1, 4, 2), -FAR, FAR)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return points (.., 2) as OpenCV's fixed-point numbers, whose pixel centres are integers."""
    return np.asarray(np.round((points - 0.5) * 2**SUBPIXEL_BITS), np.int32)


def draw_outlines(
    canvas: Image,
    quads: ArrayLike,
    paints: Sequence[Colour],
    thickness: int = 1,
    dashed: Sequence[bool] = (),
) -> None:
    """Draw (N, 4, 2) quads onto the picture itself.

    Args:
        paints: one colour per quad.
        dashed: one flag per quad; empty: all are solid.
    """
    corners = _corners(quads)
    for quad, paint, is_dashed in zip(corners, paints, dashed or [False] * len(corners), strict=True):
        if is_dashed:
            starts, ends = _dashes(quad, canvas.shape)
            lines = list(_fixed(np.stack([starts, ends], axis=1)))
            cv2.polylines(canvas, lines, False, paint, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
        else:
            cv2.polylines(canvas, [_fixed(quad)], True, paint, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def _dashes(quad: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[NDArray[np.float64], ...]:
    """Return where the dashes of an outline begin and end, (D, 2) each; an edge begins and ends with one."""
    longest = 4 * sum(shape[:2])  # px; edges may lead far out of the picture, but few dashes are seen
    starts, ends = [], []
    for first, second in zip(quad, np.roll(quad, -1, axis=0), strict=True):
        length = min(float(np.linalg.norm(second - first)), longest)
        bounds = np.linspace(0.0, 1.0, 2 * max(1, round(length / (2 * DASH))) + 2)  # dash, gap, .., dash
        starts.append(first + (second - first) * bounds[:-1:2, None])
        ends.append(first + (second - first) * bounds[1::2, None])
    return np.concatenate(starts), np.concatenate(ends)


def mark_starts(canvas: Image, quads: ArrayLike, paints: Sequence[Colour]) -> None:
    """Mark the first vertex of each quad by a dot, and the way to the second by an arrow head on the edge."""
    for quad, paint in zip(_corners(quads), paints, strict=True):
        along = quad[1] - quad[0]
        length = float(np.linalg.norm(along))
        size = float(np.clip(length / 8, 1.5, 4.0))  # px; small objects are not to vanish below it
        radius = round(size * 0.8 * 2**SUBPIXEL_BITS)
        x, y = _fixed(quad[0]).tolist()
        cv2.circle(canvas, (x, y), radius, paint, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
        if length < MIN_ARROW:
            continue
        along = along / length * size
        aside = np.array([-along[1], along[0]])
        tip = (quad[0] + quad[1]) / 2 + along
        head = np.stack([tip - 1.6 * along + aside, tip, tip - 1.6 * along - aside])
        cv2.polylines(canvas, [_fixed(head)], False, paint, 1, cv2.LINE_AA, SUBPIXEL_BITS)


def write_captions(
    canvas: Image, quads: ArrayLike, texts: Sequence[str], paints: Sequence[Colour], scale: float = 0.32
) -> None:
    """Write each text where it covers the least of the objects and of the other texts.

    Onto the picture itself; more than 60 texts are left out, all of them.
    """
    corners = _corners(quads)
    if not len(corners) or len(corners) > MAX_CAPTIONS:
        return
    taken = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    for quad, text, paint in zip(corners, texts, paints, strict=True):
        (width, height), below = cv2.getTextSize(text, FONT, scale, 1)
        box = _free_box(quad, (width + 4, height + below + 2), canvas.shape[:2], taken)
        if box is None:
            continue
        x_min, y_min, x_max, y_max = box
        cv2.rectangle(canvas, (x_min, y_min), (x_max - 1, y_max - 1), paint, cv2.FILLED)
        cv2.putText(canvas, text, (x_min + 2, y_max - below), FONT, scale, _ink(paint), 1, cv2.LINE_AA)
        taken = np.concatenate([taken, np.array([box], np.float64)])


def _ink(paint: Colour) -> Colour:
    """Return black or white, whichever can be read on the colour."""
    return (0, 0, 0) if np.dot(paint, (0.3, 0.59, 0.11)) > 110 else (255, 255, 255)


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


def rescale(image: Image, scale: float) -> Image:
    """Return the picture times `scale`; enlarged pixels stay squares, so that nothing is blurred."""
    if scale == 1.0:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)


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


def with_legend(image: Image, entries: Sequence[tuple[Colour, str]]) -> Image:
    """Return the picture above a strip of its width that says what the colours mean, in rows as needed."""
    places, x, row = [], 0, 0
    for _, text in entries:
        width = cv2.getTextSize(text, FONT, 0.4, 1)[0][0] + 2 * GAP
        if x and x + width > image.shape[1]:
            x, row = 0, row + 1
        places.append((x, row, width))
        x += width
    height, start = LEGEND_ROW * (row + 1), len(image)
    canvas = _pad(image, start + height, image.shape[1])
    for (paint, text), (x, row, width) in zip(entries, places, strict=True):
        top = start + row * LEGEND_ROW
        cv2.rectangle(canvas, (x, top), (x + width - 2, top + LEGEND_ROW - 2), paint, cv2.FILLED)
        cv2.putText(canvas, text, (x + GAP - 1, top + 12), FONT, 0.4, _ink(paint), 1, cv2.LINE_AA)
    return canvas


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
