"""Records that travel between the packages; every field states shape, dtype, unit and order.

NamedTuples of arrays survive DataLoader workers, ``torch.compile`` and ``torch.export``.
Letters used below: N objects of one image, M objects of a batch, K detections of one image,
B images, H and W rows and columns, C classes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from utils.arrays import F32, I64


class Annotation(NamedTuple):
    """One image as a label file describes it; quads are stored exactly as annotated."""

    image_path: str
    quads: F32  # (N, 4, 2) pixels of the image, vertices in the annotator's order
    labels: I64  # (N,) index into the class names
    difficult: NDArray[np.int8]  # (N,) 0 ordinary, 1 hard, 2 cut by tiling


class Frame(NamedTuple):
    """Affine frame: how the image as read became the network input."""

    matrix: F32  # (2, 3) maps source pixels to input pixels, pixel centres at i + 0.5
    source_size: tuple[int, int]  # height, width of the image as read
    input_size: tuple[int, int]  # height, width of the network input


class Sample(NamedTuple):
    """One augmented image with what is left of its objects."""

    image: NDArray[np.uint8]  # (H, W, 3) RGB
    quads: F32  # (N, 4, 2) pixels of `image`
    labels: I64  # (N,)
    weights: F32  # (N,) the object's share in a mixup, 1 without
    ignore: NDArray[np.bool_]  # (N,) True: no loss where it lies
    frame: Frame
    row: int = -1  # of the image in the dataset


class Objects(NamedTuple):
    """The objects of a whole batch, one row each, in image order."""

    quads: Tensor  # (M, 4, 2) float32 pixels of the network input
    labels: Tensor  # (M,) int64
    weights: Tensor  # (M,) float32 share in a mixup
    ignore: Tensor  # (M,) bool
    image_index: Tensor  # (M,) int64 row of the image in the batch


class Batch(NamedTuple):
    """A batch: what a training or evaluation step consumes."""

    images: Tensor  # (B, 3, H, W) uint8 RGB
    objects: Objects
    frames: list[Frame]
    indices: Tensor  # (B,) int64 row of each image in the dataset


class LevelPrediction(NamedTuple):
    """Raw head outputs of one pyramid level, split by name."""

    edge_logits: Tensor  # (B, H, W, 4) top, right, bottom, left
    glide_logits: Tensor  # (B, H, W, 4) top, right, bottom, left
    ratio_logit: Tensor  # (B, H, W)
    objectness_logit: Tensor  # (B, H, W)
    class_logits: Tensor  # (B, H, W, C)
    stride: int  # pixels per cell


class DecodedLevel(NamedTuple):
    """A prediction in pixels and probabilities, float32 (float64 from float64 logits)."""

    edge_dists: Tensor  # (B, H, W, 4) pixels: top, right, bottom, left
    hboxes: Tensor  # (B, H, W, 4) pixels: x_min, y_min, x_max, y_max
    glides: Tensor  # (B, H, W, 4) in [0, 1]
    area_ratio: Tensor  # (B, H, W) in [0, 1]
    objectness: Tensor  # (B, H, W) in [0, 1]
    class_scores: Tensor  # (B, H, W, C) in [0, 1]


class LevelTargets(NamedTuple):
    """Targets of one pyramid level; rows of cells without an owner are zero unless said otherwise."""

    objectness: Tensor  # (B, H, W) float32: 1 positive, 0 background, between for fuzzy cells of rule `paper`
    ignore: Tensor  # (B, H, W) bool: no objectness and no class loss
    owner: Tensor  # (B, H, W) int64 row in Objects, -1 without
    heat: Tensor  # (B, H, W) float32 Gaussian of the owner
    labels: Tensor  # (B, H, W) int64 class of the owner
    edge_dists: Tensor  # (B, H, W, 4) pixels: top, right, bottom, left
    hboxes: Tensor  # (B, H, W, 4) pixels
    glides: Tensor  # (B, H, W, 4) in [0, 1], 0 where area_ratio > 0.9
    area_ratio: Tensor  # (B, H, W) in [0, 1]
    mix_weight: Tensor  # (B, H, W) the owner's share in a mixup, 1 without an owner
    area_weight: Tensor  # (B, H, W) the owner's weight by size, 1 without an owner
    stride: int  # pixels per cell


class Detections(NamedTuple):
    """Detections of one image, highest score first."""

    quads: Tensor  # (K, 4, 2) float32 or float64 pixels of the source image, convex
    scores: Tensor  # (K,) in [0, 1]
    labels: Tensor  # (K,) int64


class GeoReference(NamedTuple):
    """Geo-reference of a raster: where it lies on the ground."""

    # a, b, c, d, e, f: x = a * column + b * row + c, y = d * column + e * row + f, as rasterio's Affine
    # orders them; columns and rows are pixels, (0, 0) is the upper left corner of the first pixel
    transform: tuple[float, float, float, float, float, float]
    crs: str  # WKT


class SceneDetections(NamedTuple):
    """Detections of one image or raster, with what writing them needs."""

    source: str  # path as given
    size: tuple[int, int]  # height, width in pixels
    detections: Detections  # float64 quads, pixels of the source
    classes: tuple[str, ...]
    geo: GeoReference | None  # None: not geo-referenced
