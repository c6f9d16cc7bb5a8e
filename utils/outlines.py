"""Outlines of quads, drawn onto pictures (H, W, 3) uint8 RGB themselves."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from utils.arrays import F64, U8
from utils.palette import Colour

SUBPIXEL_BITS = 4
FAR = 1e5  # pixels; beyond it OpenCV's fixed-point coordinates overflow
DASH = 3.0  # pixels; of dashed outlines, and of the gaps between
MIN_ARROW = 6.0  # pixels of the first edge; a shorter one has no room for an arrow
SHADED = 32.0  # pixels of the shortest edge; the outlines of smaller objects have no shade
SHADE = 2  # what is beside an outline gets so many times darker
STURDY = 12.0  # pixels of the shortest edge for each pixel of an outline; smaller objects get thinner ones


def corners_of(quads: ArrayLike) -> F64:
    """Return quads as (N, 4, 2), what is too far away for OpenCV moved nearer."""
    return np.clip(np.asarray(quads, np.float64).reshape(-1, 4, 2), -FAR, FAR)


def fixed_points(points: F64) -> NDArray[np.int32]:
    """Return points (.., 2) as OpenCV's fixed-point numbers, whose pixel centres are integers."""
    return np.asarray(np.round((points - 0.5) * 2**SUBPIXEL_BITS), np.int32)


def draw_outlines(
    canvas: U8,
    quads: ArrayLike,
    paints: Sequence[Colour],
    thickness: int = 1,
    dashed: Sequence[bool] = (),
    shaded: bool = True,
) -> None:
    """Draw (N, 4, 2) quads onto the picture itself, those of small objects in thinner lines.

    Solid lines around large objects lie on a dark shade, to be seen on bright ground, too.

    Args:
        paints: one colour per quad.
        thickness: px, of objects large enough.
        dashed: one flag per quad; empty: all are solid.
        shaded: darken what is beside the lines of large objects, other lines there as well.
    """
    corners = corners_of(quads)
    sides = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=-1).min(axis=1)
    widths = np.clip(sides // STURDY, 1, thickness).astype(int).tolist()
    flags = list(dashed) or [False] * len(corners)
    solid = ~np.asarray(flags, np.bool_) & (sides >= SHADED)
    if shaded and solid.any():
        _draw_shades(canvas, corners[solid], np.array(widths)[solid].tolist())
    for quad, paint, width, is_dashed in zip(corners, paints, widths, flags, strict=True):
        if is_dashed:
            starts, ends = _dashes(quad, canvas.shape)
            lines = list(fixed_points(np.stack([starts, ends], axis=1)))
            cv2.polylines(canvas, lines, False, paint, width, cv2.LINE_AA, SUBPIXEL_BITS)
        else:
            cv2.polylines(canvas, [fixed_points(quad)], True, paint, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _draw_shades(canvas: U8, corners: F64, widths: Sequence[int]) -> None:
    """Darken a pixel on both sides of each outline."""
    shaded = np.zeros(canvas.shape[:2], np.uint8)
    for quad, width in zip(corners, widths, strict=True):
        cv2.polylines(shaded, [fixed_points(quad)], True, 255, width + 2, cv2.LINE_8, SUBPIXEL_BITS)
    places = np.nonzero(shaded)
    canvas[places] = canvas[places] // SHADE


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


def mark_starts(canvas: U8, quads: ArrayLike, paints: Sequence[Colour]) -> None:
    """Mark the first vertex of each quad by a dot, and the way to the second by an arrow head on the edge."""
    for quad, paint in zip(corners_of(quads), paints, strict=True):
        along = quad[1] - quad[0]
        length = float(np.linalg.norm(along))
        size = float(np.clip(length / 8, 1.5, 4.0))  # px; small objects are not to vanish below it
        radius = round(size * 0.8 * 2**SUBPIXEL_BITS)
        x, y = fixed_points(quad[0]).tolist()
        cv2.circle(canvas, (x, y), radius, paint, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
        if length < MIN_ARROW:
            continue
        along = along / length * size
        aside = np.array([-along[1], along[0]])
        tip = (quad[0] + quad[1]) / 2 + along
        head = np.stack([tip - 1.6 * along + aside, tip, tip - 1.6 * along - aside])
        cv2.polylines(canvas, [fixed_points(head)], False, paint, 1, cv2.LINE_AA, SUBPIXEL_BITS)
