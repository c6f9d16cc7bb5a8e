"""Captions beside objects, only where they cover no other object and no other caption."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from utils.arrays import F64, U8
from utils.lettering import draw_text, text_size
from utils.outlines import SUBPIXEL_BITS, corners_of, fixed_points
from utils.palette import Colour, ink_on

Box = tuple[int, int, int, int]  # x_min, y_min, x_max, y_max in pixels
SIZE = 11  # px of the letters
PADDING = 2  # px beside the letters
GAP = 4  # px between an object and its caption
ROOMY = 4.0  # heights of a caption; a short side from which an object has room for it inside
SHARE = 0.2  # of a picture, which captions may hide
CAPTION = 100  # in the count of what covers a pixel: more than any objects do


class Caption(NamedTuple):
    """A text and its place."""

    row: int  # of the object
    text: str
    box: Box  # the last column and row are not part of it


def write_captions(
    canvas: U8,
    quads: ArrayLike,
    texts: Sequence[str],
    paints: Sequence[Colour],
    shorter: Sequence[str] = (),
    size: int = SIZE,
) -> list[Caption]:
    """Write what `place_captions` finds room for onto the picture itself, and return it.

    Where the texts of a colour are so many that they would hide the ground, its objects get shorter ones, and
    where those are too many, none.
    """
    choices = choose_texts(texts, shorter, paints, canvas.shape, size)
    captions = place_captions(quads, choices, canvas.shape, size)
    for row, text, (x_min, y_min, x_max, y_max) in captions:
        canvas[y_min:y_max, x_min:x_max] = paints[row]
        draw_text(canvas, (x_min + PADDING, y_min), text, size, ink_on(paints[row]))
    return captions


def choose_texts(
    texts: Sequence[str],
    shorter: Sequence[str],
    paints: Sequence[Colour],
    shape: tuple[int, ...],
    size: int = SIZE,
) -> list[list[str]]:
    """Return what may stand beside each object, the best first, so that all of it hides little of a picture.

    Args:
        texts: one per object.
        shorter: what may stand in their place; empty: nothing.
        paints: the colours, from the rarest to the most frequent, get texts in turn.
        shape: height and width of the picture.
        size: px of the letters.
    """
    left = SHARE * shape[0] * shape[1]  # px
    choices: list[list[str]] = [[] for _ in texts]
    for paint, _ in reversed(Counter(paints).most_common()):
        rows = [row for row, own in enumerate(paints) if own == paint]
        for start, kind in enumerate(filter(None, (texts, shorter))):
            area = sum(width * height for width, height in (_caption_size(kind[row], size) for row in rows))
            if area <= left:
                left -= area
                for row in rows:
                    choices[row] = [some[row] for some in (texts, shorter)[start:] if some]
                break
    return choices


def place_captions(
    quads: ArrayLike, choices: Sequence[Sequence[str]], shape: tuple[int, ...], size: int = SIZE
) -> list[Caption]:
    """Return where texts can stand: in the picture, on no other object (N, 4, 2) and on no other text.

    Those that come first are placed first.  A text stands beside its object, or inside a large one.

    Args:
        choices: of each object the texts that it may have, the best first.
        shape: height and width of the picture.
        size: px of the letters.
    """
    corners = corners_of(quads)
    lows, highs = corners.min(axis=1), corners.max(axis=1)
    seen = ((highs > 0) & (lows < (shape[1], shape[0]))).all(axis=1)
    cover = _cover(corners[seen], shape)
    captions: list[Caption] = []
    for row in np.flatnonzero(seen).tolist():
        for text in choices[row]:
            box = _free_box(corners[row], _caption_size(text, size), cover)
            if box is not None:
                cover[box[1] : box[3], box[0] : box[2]] += CAPTION
                captions.append(Caption(row, text, box))
                break
    return captions


def _caption_size(text: str, size: int) -> tuple[int, int]:
    width, height = text_size(text, size)
    return width + 2 * PADDING, height


def _cover(corners: F64, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """Return how many objects cover each pixel (H, W), their edges a pixel wider than they are."""
    cover = np.zeros(shape[:2], np.uint16)
    ends = np.array([shape[1], shape[0]])
    lows = np.clip(np.floor(corners.min(axis=1)) - 3, 0, ends).astype(int)
    highs = np.clip(np.ceil(corners.max(axis=1)) + 3, 0, ends).astype(int)
    for quad, (x_min, y_min), (x_max, y_max) in zip(corners, lows.tolist(), highs.tolist(), strict=True):
        own = np.zeros((y_max - y_min, x_max - x_min), np.uint8)
        points = fixed_points(quad - (x_min, y_min))
        cv2.fillPoly(own, [points], 1, cv2.LINE_8, SUBPIXEL_BITS)
        cv2.polylines(own, [points], True, 1, 3, cv2.LINE_8, SUBPIXEL_BITS)
        cover[y_min:y_max, x_min:x_max] += own
    return cover


def _free_box(quad: F64, size: tuple[int, int], cover: NDArray[np.uint16]) -> Box | None:
    """Return the first place beside a quad where nothing is, else inside where nothing else is."""
    width, height = size
    if width > cover.shape[1] or height > cover.shape[0]:
        return None
    for x, y in _beside(quad, size, cover.shape):
        if not cover[y : y + height, x : x + width].any():
            return x, y, x + width, y + height
    for x, y in _inside(quad, size, cover.shape):
        if (cover[y : y + height, x : x + width] == 1).all():  # the object itself
            return x, y, x + width, y + height
    return None


def _edges(quad: F64) -> tuple[F64, F64]:
    """Return the middles of the edges (4, 2), those on top first, and their directions outwards (4, 2)."""
    ends = np.roll(quad, -1, axis=0)
    along, middles = ends - quad, (quad + ends) / 2
    outwards = np.stack([along[:, 1], -along[:, 0]], axis=1)
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1, keepdims=True), 1e-9)
    away = ((middles - quad.mean(axis=0)) * outwards).sum(axis=1)
    outwards[away < 0] *= -1
    order = np.argsort(middles[:, 1], kind="stable")
    return middles[order], outwards[order]


def _beside(quad: F64, size: tuple[int, int], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return upper left corners beside a quad: above, below, right, left, then beside its edges."""
    low, high = quad.min(axis=0), quad.max(axis=0)
    half = np.array(size) / 2
    tops, bottoms = quad[quad[:, 1] < low[1] + 2, 0], quad[quad[:, 1] > high[1] - 2, 0]
    rights, lefts = quad[quad[:, 0] > high[0] - 2, 1], quad[quad[:, 0] < low[0] + 2, 1]
    centres = [
        (tops.mean(), low[1] - GAP - half[1]),
        (bottoms.mean(), high[1] + GAP + half[1]),
        (high[0] + GAP + half[0], rights.mean()),
        (low[0] - GAP - half[0], lefts.mean()),
    ]
    middles, outwards = _edges(quad)
    reach = np.abs(outwards) @ half + GAP  # so far from the edge the whole box is beyond its line
    return _within(np.concatenate([centres, middles + outwards * reach[:, None]]), size, shape)


def _inside(quad: F64, size: tuple[int, int], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return upper left corners inside a quad, at its edges; none where it has no room to spare."""
    sides = np.linalg.norm(quad - np.roll(quad, -1, axis=0), axis=1)
    if sides.min() < ROOMY * size[1]:
        return []
    middles, outwards = _edges(quad)
    reach = np.abs(outwards) @ (np.array(size) / 2) + GAP
    corners = _within(middles - outwards * reach[:, None], size, shape)
    signs = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * size
    return [
        corner
        for corner in corners
        if (((corner + signs)[:, None] - middles) * outwards).sum(axis=-1).max() < 0  # convex quads alone
    ]


def _within(centres: F64, size: tuple[int, int], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return upper left corners of boxes (N, 2) moved into the picture."""
    corners = np.round(centres - np.array(size) / 2).astype(int)
    return [(x, y) for x, y in np.clip(corners, 0, (shape[1] - size[0], shape[0] - size[1])).tolist()]
