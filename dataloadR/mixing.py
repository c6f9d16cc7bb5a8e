"""Mixup and mosaic: several images in one sample."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from cfg.schema import AugmentConfig
from dataloadR.geometric import LazyImage, place_source, random_matrix
from utils.arrays import F32
from utils.images import FILL, Size, compose, shift
from utils.records import Sample

CENTRE_SHARES = (0.25, 0.75)  # of the canvas, between which the centre of a mosaic is drawn


def mixup(first: Sample, second: Sample, share: float) -> Sample:
    """Return share * first + (1 - share) * second; objects keep their image's share as weight (spec 6.5)."""
    image = cv2.addWeighted(first.image, share, second.image, 1.0 - share, 0.0)
    weights = [first.weights * share, second.weights * (1.0 - share)]
    return first._replace(
        image=np.asarray(image, np.uint8),
        quads=np.concatenate([first.quads, second.quads]),
        labels=np.concatenate([first.labels, second.labels]),
        weights=np.concatenate(weights).astype(np.float32),
        ignore=np.concatenate([first.ignore, second.ignore]),
    )


def random_mixup(
    sample: Sample, load_partner: Callable[[], Sample], config: AugmentConfig, rng: np.random.Generator
) -> Sample:
    """Draw whether to mix and the share; the partner is loaded only where it is used."""
    if rng.random() >= config.mixup:
        return sample
    share = float(rng.beta(config.mixup_beta, config.mixup_beta))
    return mixup(sample, load_partner(), share)


def join_tiles(tiles: Sequence[Sample], corners: Sequence[tuple[int, int]], size: Size) -> Sample:
    """Return one canvas with each tile pasted at its (x, y) corner; the frame is that of the first tile."""
    canvas = np.full((*size, 3), FILL, np.uint8)
    for tile, (x, y) in zip(tiles, corners, strict=True):
        height, width, _ = tile.image.shape
        canvas[y : y + height, x : x + width] = tile.image
    moved = [_seen_quads(t) + np.array(corner, np.float32) for t, corner in zip(tiles, corners, strict=True)]
    matrix = compose(shift(*corners[0]), tiles[0].frame.matrix.astype(np.float64)).astype(np.float32)
    return Sample(
        image=canvas,
        quads=np.concatenate(moved),
        labels=np.concatenate([tile.labels for tile in tiles]),
        weights=np.concatenate([tile.weights for tile in tiles]),
        ignore=np.concatenate([tile.ignore for tile in tiles]),
        frame=tiles[0].frame._replace(matrix=matrix, input_size=size),
    )


def _seen_quads(tile: Sample) -> F32:
    """Return the quads; those of ignore regions end at the tile, for beyond its edge lies another image."""
    height, width, _ = tile.image.shape
    inside = np.clip(tile.quads, 0, np.array([width, height], np.float32))
    return np.where(tile.ignore[:, None, None], inside, tile.quads)


def random_mosaic(
    sources: Sequence[LazyImage],
    config: AugmentConfig,
    size: Size,
    min_side: float,
    rng: np.random.Generator,
) -> Sample:
    """Return four images around a random centre, each warped once, straight into its place.

    Each image gets a matrix of its own as if it filled the input, and its tile shows a random part of that,
    so objects keep their scale.  The edge of a tile cuts objects like the edge of an image.
    """
    height, width = size
    x, y = (round(side * rng.uniform(*CENTRE_SHARES)) for side in (width, height))
    corners = [(0, 0), (x, 0), (0, y), (x, y)]
    sizes = [(y, x), (y, width - x), (height - y, x), (height - y, width - x)]
    tiles = []
    for source, tile in zip(sources, sizes, strict=True):
        matrix = random_matrix(rng, config, source.annotation.quads, source.size, size)
        part = shift(-rng.uniform(0, width - tile[1]), -rng.uniform(0, height - tile[0]))
        tiles.append(place_source(source, compose(part, matrix), tile, min_side))
    return join_tiles(tiles, corners, size)
