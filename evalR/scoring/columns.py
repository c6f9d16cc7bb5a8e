"""Detections and ground truths of an evaluation as columns of numbers, image after image.

`shapes` are what is compared: quads (N, 4, 2) for task 1 of DOTA, horizontal boxes (N, 4) for task 2.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from utils.arrays import F64, I64
from utils.quads.geometry import quad_areas, uncrossed_quads
from utils.records import Annotation, Detections

Bools = NDArray[np.bool_]


class Found(NamedTuple):
    """D detections, in the order of the images."""

    images: I64  # (D,) row of the image, rising
    labels: I64  # (D,)
    scores: F64  # (D,)
    shapes: F64  # (D, 4, 2) quads or (D, 4) boxes, pixels of the image


class Truth(NamedTuple):
    """G ground truths, in the order of the images."""

    images: I64  # (G,) row of the image, rising
    labels: I64  # (G,)
    difficult: Bools  # (G,) neither to be found nor wrong to find
    shapes: F64  # (G, 4, 2) quads or (G, 4) boxes, pixels of the image


def to_found(detections: Sequence[Detections]) -> Found:
    """Return the detections of all images, one entry each, as columns."""
    none = Detections(torch.zeros(0, 4, 2), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    everything = [none, *detections]
    return Found(
        images=np.repeat(np.arange(len(detections)), [len(d.labels) for d in detections]),
        labels=torch.cat([d.labels.cpu() for d in everything]).numpy(),
        scores=torch.cat([d.scores.cpu().double() for d in everything]).numpy(),
        shapes=torch.cat([d.quads.cpu().double() for d in everything]).numpy(),
    )


def to_truth(annotations: Sequence[Annotation]) -> Truth:
    """Return the ground truths of all images, one entry each, as columns."""
    return Truth(
        images=np.repeat(np.arange(len(annotations)), [len(a.labels) for a in annotations]),
        labels=np.concatenate([np.zeros(0, np.int64), *(a.labels for a in annotations)]),
        difficult=np.concatenate([np.zeros(0, np.bool_), *(a.difficult != 0 for a in annotations)]),
        shapes=np.concatenate([np.zeros((0, 4, 2)), *(a.quads for a in annotations)], dtype=np.float64),
    )


def shape_areas(shapes: F64) -> F64:
    """Return the areas of quads (N, 4, 2), self-crossing ones by their hull, or of boxes (N, 4); (N,)."""
    if shapes.ndim == 3:
        areas: F64 = quad_areas(uncrossed_quads(torch.from_numpy(shapes))).numpy()
        return areas
    return np.asarray((shapes[:, 2:] - shapes[:, :2]).prod(axis=1))
