"""Quads clipped at the border of their image."""

import numpy as np
import torch
from numpy.typing import NDArray

from utils.arrays import F64
from utils.images import Size
from utils.quads.geometry import clip_quads, hull_quads, reduce_to_quads


def clip_to_image(quads: F64, size: Size) -> F64:
    """Return quads (N, 4, 2) with four points in the image each; those inside stay as they are.

    Of the others it is what the image shows, of the hull where a quad is not convex, as a quad: the shortest
    edge becomes its middle until four vertices are left (spec 9.2); a triangle has one vertex twice.
    What lies outside altogether becomes points without area, see `shown_quads`.

    Args:
        size: height and width.
    """
    limits = np.array(size[::-1], np.float64)
    crosses = ((quads < 0) | (quads > limits)).any(axis=(1, 2))
    box = torch.tensor([0.0, 0.0, *limits.tolist()], dtype=torch.float64)
    inside = clip_quads(hull_quads(torch.from_numpy(quads[crosses])), box)
    clipped = quads.copy()
    clipped[crosses] = reduce_to_quads(inside).numpy().clip(0, limits)  # against rounding
    return clipped


def shown_quads(quads: F64, size: Size) -> NDArray[np.bool_]:
    """Return which quads (N, 4, 2) have a part in the image, or lie in it whole, (N,)."""
    limits = np.array(size[::-1], np.float64)
    inside = ((quads >= 0) & (quads <= limits)).all(axis=(1, 2))
    spans = np.ptp(clip_to_image(quads, size), axis=1)
    return np.asarray(inside | (spans > 0).all(axis=1))
