"""Objects of a tile: those of the image of which it shows enough."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataloadR.geometric import cut_objects
from utils.arrays import F64, I64
from utils.quads.image_quads import clip_to_image
from utils.tiles import Window

CUT = 2  # the flag of an object that tiling cut: neither object nor background


class TileObjects(NamedTuple):
    """The objects of one tile."""

    rows: I64  # (K,) which of the image's objects
    quads: F64  # (K, 4, 2) pixels of the tile
    difficult: NDArray[np.int8]  # (K,) 2 where the tile cuts it; else the object's own flag
    is_kept: NDArray[np.bool_]  # (K,) the tile does not cut it, or shows enough of it


def objects_in_tile(
    quads: F64, difficult: NDArray[np.int8], window: Window, clip: bool = False
) -> TileObjects:
    """Return the objects of which a tile shows enough, by `cut_objects`, in its pixels.

    From 0.7 of the area on an object is kept with its own flag, from 0.1 on with the flag 2.

    Args:
        quads: (N, 4, 2) pixels of the scaled image.
        window: the tile in the same pixels.
        clip: reduce what the border cuts to a quad of the visible part (spec 9.2), of the hull where
            the object is not convex; else every quad stays whole and reaches beyond the border.
    """
    low, high = np.array(window[:2]), np.array(window[2:])
    near = np.flatnonzero(((quads.max(axis=1) >= low) & (quads.min(axis=1) <= high)).all(axis=1))
    keep, cut = cut_objects(quads[near], window)
    rows = near[keep]
    local = quads[rows] - low
    if clip:
        local = clip_to_image(local, (int(high[1] - low[1]), int(high[0] - low[0])))
    flags = np.where(cut[keep], CUT, difficult[rows]).astype(np.int8)
    return TileObjects(rows, local, flags, ~cut[keep])
