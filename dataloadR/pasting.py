"""Copy-paste of objects: cut out along their quads and put into another image, before anything else is done.

Both images are decoded at one reduction, and objects move by whole multiples of the largest one: pixels are
copied, never resampled, and labels move by whole pixels.  Source: spec 6.5; arXiv:2012.07177 has masks.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from cfg.schema import AugmentConfig
from dataloadR.geometric import LazyImage
from utils.arrays import F32, F64, U8
from utils.images import REDUCTIONS, Size

STEP = max(REDUCTIONS)  # px; objects move by multiples of it
FEATHER = 2.0  # px of the file around a quad in which it fades out
TRIES = 20  # places that are tried for an object
PARTS = 4  # bits of a pixel's fraction in which outlines are drawn


class Move(NamedTuple):
    """An object of the image that it is taken from, and by how much it moves there, in pixels."""

    row: int
    dx: int
    dy: int


def random_paste(
    target: LazyImage,
    draw_donor: Callable[[], LazyImage | None],
    config: AugmentConfig,
    rng: np.random.Generator,
) -> LazyImage:
    """Draw whether objects of another image are pasted, which, and where; None of `draw_donor`: none is.

    Nothing is drawn where `augment.copy_paste` is 0.
    """
    if not config.copy_paste or rng.random() >= config.copy_paste:
        return target
    donor = draw_donor()
    if donor is None:
        return target
    count = int(rng.integers(1, config.copy_paste_objects + 1))
    rows = rng.permutation(separable_objects(donor, config.copy_paste_overlap))[:count]
    moves = find_places(target, donor.annotation.quads, rows.tolist(), config.copy_paste_overlap, rng)
    return paste_objects(target, donor, moves)


def to_polygons(quads: NDArray[np.floating]) -> NDArray[np.object_]:
    """Return the quads as polygons (N,); self-crossing ones as their hull."""
    polygons = np.asarray(shapely.polygons(quads.astype(np.float64)), object)
    crossing = ~shapely.is_valid(polygons)
    polygons[crossing] = shapely.convex_hull(polygons[crossing])
    return polygons


def separable_objects(source: LazyImage, most: float) -> NDArray[np.int64]:
    """Return the rows of the objects that can be cut out: not difficult, whole, and alone in their quad.

    An object with more than `most` of another one in its quad, as a harbour with ships, would take that along
    without a label.
    """
    quads, difficult = source.annotation.quads, source.annotation.difficult
    height, width = source.size
    points = quads.astype(np.float64)
    whole = ((points >= 0) & (points <= (width, height))).all(axis=(1, 2))
    rows = np.flatnonzero(whole & (difficult == 0))
    if not len(rows):
        return rows
    polygons = to_polygons(quads)
    tree = shapely.STRtree(polygons)
    first, second = tree.query(polygons[rows], predicate="intersects")
    shared = shapely.area(shapely.intersection(polygons[rows[first]], polygons[second]))
    taken = (second != rows[first]) & (shared > most * shapely.area(polygons[second]))
    return np.asarray(np.delete(rows, np.unique(first[taken])))


def find_places(
    target: LazyImage, quads: F32, rows: Sequence[int], most: float, rng: np.random.Generator
) -> list[Move]:
    """Draw a place for each of some quads, inside the image; one without a place after 20 tries is left out.

    Args:
        most: share of the smaller of two objects, one of them pasted, that may be shared.
    """
    present = list(to_polygons(target.annotation.quads))
    moves = []
    for row in rows:
        shifts = _random_shifts(quads[row].astype(np.float64), target.size, rng)
        moved = to_polygons(quads[row].astype(np.float64) + shifts[:, None])
        fits = np.flatnonzero(_largest_shares(moved, np.array(present, dtype=object)) <= most)
        if len(fits):
            dx, dy = shifts[fits[0]].tolist()
            moves.append(Move(row, dx, dy))
            present.append(moved[fits[0]])
    return moves


def _random_shifts(quad: F64, size: Size, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return 20 shifts (x, y) that keep a quad inside the image; none where it is too large."""
    low = np.ceil(-quad.min(axis=0) / STEP).astype(np.int64)
    high = np.floor((np.array(size[::-1]) - quad.max(axis=0)) / STEP).astype(np.int64)
    if (high < low).any():
        return np.zeros((0, 2), np.int64)
    return rng.integers(low, high + 1, (TRIES, 2)) * STEP


def _largest_shares(moved: NDArray[np.object_], present: NDArray[np.object_]) -> F64:
    """Return the largest share of the smaller of two that each polygon has in common with those present."""
    shares = np.zeros(len(moved))
    if not len(moved) or not len(present):
        return shares
    first, second = shapely.STRtree(present).query(moved, predicate="intersects")
    shared = shapely.area(shapely.intersection(moved[first], present[second]))
    smaller = np.minimum(shapely.area(moved[first]), shapely.area(present[second]))
    np.maximum.at(shares, first, shared / np.maximum(smaller, 1e-9))
    return shares


def paste_objects(target: LazyImage, donor: LazyImage, moves: Sequence[Move]) -> LazyImage:
    """Return the image, and its labels, with objects of another one, which cover what is there."""
    if not moves:
        return target
    rows = [move.row for move in moves]
    shifts = np.array([[move.dx, move.dy] for move in moves], np.float32)
    there, taken = target.annotation, donor.annotation
    quads = taken.quads[rows] + shifts[:, None]

    def read(reduce: int) -> U8:
        image = target.read(reduce).copy()  # what a reader returns is not to be written to
        factor = _factor(image, target.size, reduce)
        source = _shrunk(donor.read(factor), donor.size, factor)
        for row, dx, dy in moves:
            copy_quad(
                image, source, taken.quads[row] / factor, (dx // factor, dy // factor), FEATHER / factor
            )
        return image

    annotation = there._replace(
        quads=np.concatenate([there.quads, quads]),
        labels=np.concatenate([there.labels, taken.labels[rows]]),
        difficult=np.concatenate([there.difficult, taken.difficult[rows]]),
    )
    return LazyImage(annotation, target.size, read)


def _factor(image: U8, size: Size, reduce: int) -> int:
    """Return by how much an image was reduced while decoding: as asked for, or not at all."""
    height, width, _ = image.shape
    return 1 if (height, width) == size else reduce


def _shrunk(image: U8, size: Size, factor: int) -> U8:
    """Return an image reduced by the factor; formats other than JPEG are not while they are decoded."""
    height, width, _ = image.shape
    if factor == 1 or (height, width) != size:
        return image
    below, right = -height % factor, -width % factor
    whole = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
    small = ((width + right) // factor, (height + below) // factor)
    return np.asarray(cv2.resize(whole, small, interpolation=cv2.INTER_AREA), np.uint8)


def copy_quad(image: U8, source: U8, quad: F32, moved: tuple[int, int], feather: float) -> None:
    """Write the pixels of a quad of the source into the image, `moved` by (x, y); its margin fades out.

    Args:
        quad: (4, 2) pixels of the source.
        feather: px around the quad in which its share falls to 0.
    """
    margin, by = math.ceil(feather), np.array(moved)
    limits = [np.array(pixels.shape[1::-1]) for pixels in (source, image)]
    low = np.maximum(np.floor(quad.min(axis=0)).astype(np.int64) - margin, np.maximum(0, -by))
    high = np.minimum(
        np.ceil(quad.max(axis=0)).astype(np.int64) + margin, np.minimum(limits[0], limits[1] - by)
    )
    (x, y), (right, bottom), (dx, dy) = low.tolist(), high.tolist(), moved
    share = quad_shares(quad - low, (bottom - y, right - x), feather)[..., None]
    pixels = source[y:bottom, x:right].astype(np.float32)
    there = image[y + dy : bottom + dy, x + dx : right + dx]
    there[:] = np.rint(there + share * (pixels - there)).astype(np.uint8)


def quad_shares(quad: F32, size: Size, feather: float) -> F32:
    """Return how much of a quad each pixel shows, (H, W): 1 up to its outline, falling beyond."""
    inside = np.zeros(size, np.uint8)
    points = np.rint((quad.astype(np.float64) - 0.5) * (1 << PARTS)).astype(np.int32)
    cv2.fillPoly(inside, [points], 1, shift=PARTS)  # which counts pixel centres at integers
    distance = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(np.clip(1 - distance / (feather + 1), 0, 1), np.float32)
