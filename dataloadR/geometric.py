"""Geometric augmentation: one affine matrix, one warp, and one rule for objects that are cut.

Building blocks return (2, 3) matrices and draw nothing; `random_matrix` draws.  Sizes are (height, width), y
points down, so a positive angle turns clockwise on screen.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import shapely
from numpy.typing import NDArray

from cfg.schema import AugmentConfig
from utils.arrays import F32, U8
from utils.images import (
    REDUCTIONS,
    Matrix,
    Size,
    compose,
    letterbox_matrix,
    scale_of,
    shift,
    transform_quads,
    warp_image,
)
from utils.records import Annotation, Frame, Sample

Bounds = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max
KEEP_SHARE = 0.7  # of an object's area that must be visible to learn it whole
IGNORE_SHARE = 0.1  # below this it is dropped


def flip_horizontal(size: Size) -> Matrix:
    """Return x -> W - x."""
    return np.array([[-1.0, 0.0, size[1]], [0.0, 1.0, 0.0]])


def flip_vertical(size: Size) -> Matrix:
    """Return y -> H - y."""
    return np.array([[1.0, 0.0, 0.0], [0.0, -1.0, size[0]]])


def turn(size: Size, quarters: int) -> tuple[Matrix, Size]:
    """Return the matrix of clockwise quarter turns, (x, y) -> (H - y, x) each, and the size after them."""
    matrix = shift(0.0, 0.0)
    for _ in range(quarters % 4):
        matrix = compose(np.array([[0.0, -1.0, size[0]], [1.0, 0.0, 0.0]]), matrix)
        size = (size[1], size[0])
    return matrix, size


def rotate_and_scale(size: Size, radians: float, factor: float) -> Matrix:
    """Return the matrix that turns clockwise and scales about the centre of the canvas."""
    cos, sin = factor * math.cos(radians), factor * math.sin(radians)
    around = np.array([[cos, -sin, 0.0], [sin, cos, 0.0]])
    x, y = size[1] / 2, size[0] / 2
    return compose(shift(x, y), compose(around, shift(-x, -y)))


def fit_window(window: Bounds, size: Size) -> Matrix:
    """Return the matrix that letterboxes a window of the image into the canvas."""
    x_min, y_min, x_max, y_max = window
    ratio = min(size[0] / (y_max - y_min), size[1] / (x_max - x_min))
    dx = (size[1] - ratio * (x_max - x_min)) / 2 - ratio * x_min
    dy = (size[0] - ratio * (y_max - y_min)) / 2 - ratio * y_min
    return np.array([[ratio, 0.0, dx], [0.0, ratio, dy]])


def random_window(rng: np.random.Generator, quads: F32, size: Size) -> Bounds:
    """Draw a window between the image border and all objects; without objects, around the middle half."""
    height, width = size
    limits = np.array([width, height])
    low, high = limits / 4, limits * 3 / 4
    if len(quads):
        points = np.clip(quads.reshape(-1, 2), 0, limits)
        low, high = points.min(axis=0), points.max(axis=0)
    x_min, y_min = np.floor(rng.uniform(0.0, low))
    x_max, y_max = np.ceil(rng.uniform(high, limits))
    return x_min, y_min, max(x_max, x_min + 1), max(y_max, y_min + 1)


def random_matrix(
    rng: np.random.Generator, config: AugmentConfig, quads: F32, source: Size, target: Size
) -> Matrix:
    """Draw the matrix from the image as read to the network input.

    In the image: flips, quarter turns, crop.  Then the letterbox.  In the input: rotation, scale, shift.
    """
    matrix, size = _random_symmetry(rng, config, source)
    if rng.random() < config.crop:
        window = random_window(rng, transform_quads(quads, matrix), size)
        matrix = compose(fit_window(window, target), matrix)
    else:
        matrix = compose(letterbox_matrix(size, target), matrix)
    radians = rng.uniform(-1.0, 1.0) * math.radians(config.rotate_degrees) * (rng.random() < config.rotate)
    low, high = (math.log(value) for value in config.scale_range)
    factor = math.exp(rng.uniform(low, high)) if rng.random() < config.scale else 1.0
    matrix = compose(rotate_and_scale(target, radians, factor), matrix)
    if rng.random() < config.shift:
        dx, dy = rng.uniform(-1.0, 1.0, 2) * config.shift_share * (target[1], target[0])
        matrix = compose(shift(dx, dy), matrix)
    return matrix


def _random_symmetry(rng: np.random.Generator, config: AugmentConfig, size: Size) -> tuple[Matrix, Size]:
    """Draw flips and quarter turns; return their matrix and the size after them."""
    matrix = shift(0.0, 0.0)
    if rng.random() < config.flip_horizontal:
        matrix = compose(flip_horizontal(size), matrix)
    if rng.random() < config.flip_vertical:
        matrix = compose(flip_vertical(size), matrix)
    if rng.random() < config.turn:
        turned, size = turn(size, int(rng.integers(1, 4)))
        matrix = compose(turned, matrix)
    return matrix, size


def visible_shares(quads: NDArray[np.floating], window: Bounds) -> NDArray[np.float64]:
    """Return area inside the window / area, (N,); self-crossing quads count as their hull.

    A quad without area counts 1 inside and 0 where it crosses or leaves the window.
    """
    x_min, y_min, x_max, y_max = window
    points = quads.astype(np.float64)
    shares = np.ones(len(points))
    crosses = np.flatnonzero(((points < (x_min, y_min)) | (points > (x_max, y_max))).any(axis=(1, 2)))
    if not len(crosses):
        return shares
    polygons = shapely.polygons(points[crosses])
    polygons = np.where(shapely.is_valid(polygons), polygons, shapely.convex_hull(polygons))
    areas = shapely.area(polygons)
    inside = shapely.area(shapely.intersection(polygons, shapely.box(*window)))
    shares[crosses] = np.where(areas > 0, inside / np.where(areas > 0, areas, 1.0), 0.0)
    return shares


def cut_objects(quads: NDArray[np.floating], window: Bounds) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which objects stay and which of all become ignore regions, (N,) each.

    Visible at 0.7 or more: kept whole and unclipped; from 0.1: ignore region; below: dropped.
    """
    shares = visible_shares(quads, window)
    return shares >= IGNORE_SHARE, shares < KEEP_SHARE


class LazyImage(NamedTuple):
    """An image that is not decoded yet, and its objects."""

    annotation: Annotation
    size: Size  # of the image in its file; matrices and quads are in its pixels
    read: Callable[[int], U8]  # decodes at 1 / 1, 2, 4 or 8 of the size, or larger


def reduction(matrix: Matrix) -> int:
    """Return the largest reduction while decoding after which the matrix does not enlarge the image."""
    scale = scale_of(matrix)
    return next((factor for factor in sorted(REDUCTIONS, reverse=True) if scale * factor <= 1), 1)


def _grow(small: U8, size: Size) -> Matrix:
    """Return the matrix from an image decoded at 1 / n, its sides rounded up, to the image of the file."""
    height, width, _ = small.shape
    factor = float(max(-(-size[0] // height), -(-size[1] // width)))
    return np.array([[factor, 0.0, 0.0], [0.0, factor, 0.0]])


def place_image(image: U8, annotation: Annotation, matrix: Matrix, size: Size, min_side: float) -> Sample:
    """Return `place_source` of an image that is decoded already."""
    height, width, _ = image.shape
    return place_source(LazyImage(annotation, (height, width), lambda _: image), matrix, size, min_side)


def place_source(source: LazyImage, matrix: Matrix, size: Size, min_side: float) -> Sample:
    """Return the image warped onto a canvas of `size`, with what is left of its objects.

    Ignore regions: objects flagged 2, objects cut, and those of at most `min_side` pixels both ways.
    """
    height, width = size
    annotation = source.annotation
    quads = transform_quads(annotation.quads, matrix)
    keep, cut = cut_objects(quads, (0.0, 0.0, float(width), float(height)))
    tiny = np.ptp(quads, axis=1).max(axis=1) <= min_side
    ignore = (annotation.difficult == 2) | cut | tiny
    image = source.read(reduction(matrix))
    return Sample(
        image=warp_image(image, compose(matrix, _grow(image, source.size)), size),
        quads=quads[keep],
        labels=annotation.labels[keep],
        weights=np.ones(int(keep.sum()), np.float32),
        ignore=ignore[keep],
        frame=Frame(matrix.astype(np.float32), source.size, size),
    )
