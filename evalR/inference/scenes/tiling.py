"""Tiling of a scene for the network, and what its tiles tell about it."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.arrays import F32, F64, I64
from utils.images import Size
from utils.records import Detections
from utils.tiles import Grid, Tile, Window, tile_windows

TileBatch = list[tuple[Tile, Window]]  # tiles that the network sees at once, all of one size


class TileDetections(NamedTuple):
    """What tiles show, in float64 pixels of the scene."""

    quads: F64  # (K, 4, 2)
    scores: F32  # (K,)
    labels: I64  # (K,)
    cut: NDArray[np.bool_]  # (K,) at a border of the tile that is none of the scene
    windows: F64  # (K, 4) the part of the scene that the tile shows: x_min, y_min, x_max, y_max


def tile_batches(size: Size, grid: Grid, count: int) -> list[TileBatch]:
    """Return the tiles of a scene of this height and width, rate by rate and row by row, `count` at once.

    They depend on nothing else, so that a batch is the same in every run and for any number of processes.
    """
    batches = []
    for _, group in groupby(tile_windows("", size, grid), key=lambda pair: pair[0].rate):
        tiles = list(group)
        batches += [tiles[first : first + count] for first in range(0, len(tiles), count)]
    return batches


def found_in_tile(local: Detections, tile: Tile, window: Window, scaled: Size, edge: float) -> TileDetections:
    """Return the detections of a tile, in its own pixels, as those of the scene.

    Args:
        local: what was found in the tile.
        tile: its rate and place.
        window: the same, in pixels of the scaled scene.
        scaled: height and width of the scaled scene.
        edge: px of the tile; what comes as near to its border may be cut.
    """
    quads = local.quads.cpu().double().numpy() + np.array(window[:2])
    low, high = quads.min(axis=1), quads.max(axis=1)
    limits = scaled[1], scaled[0]
    starts, ends = np.array(window[:2]), np.array(window[2:])
    cut = ((low < starts + edge) & (starts > 0)) | ((high > ends - edge) & (ends < limits))
    windows = np.tile(np.array(window, np.float64) / tile.rate, (len(quads), 1))
    scores, labels = local.scores.cpu().numpy().astype(np.float32), local.labels.cpu().numpy()
    return TileDetections(quads / tile.rate, scores, labels.astype(np.int64), cut.any(axis=1), windows)


def join_found(parts: Sequence[TileDetections]) -> TileDetections:
    """Return all parts as one."""
    none = TileDetections(
        np.zeros((0, 4, 2)),
        np.zeros(0, np.float32),
        np.zeros(0, np.int64),
        np.zeros(0, np.bool_),
        np.zeros((0, 4)),
    )
    return TileDetections(*(np.concatenate(fields) for fields in zip(none, *parts, strict=True)))
