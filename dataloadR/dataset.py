"""Annotations become samples."""

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cfg.schema import AugmentConfig
from dataloadR.geometric import place_image, random_matrix
from dataloadR.mixing import random_mixup, random_mosaic
from dataloadR.photometric import random_hsv
from utils.images import U8, Size, letterbox_matrix, read_image
from utils.records import F32, Annotation, Sample

log = logging.getLogger(__name__)
SampleKey = tuple[int, int, int, Size]  # epoch, position in the epoch, row of the dataset, input size
MIN_EXTENT = 1.0  # px; thinner boxes have no usable ratios (spec 1.5)
MIN_AREA = 0.1  # px^2; slanted lines have none
MOSAIC_IMAGES = 4


def degenerate(quads: F32) -> NDArray[np.bool_]:
    """Say which quads are under 1 px wide or high or have no area, (N,) bool.

    A self-crossing quad has the area of its best vertex order.
    """
    points = quads.astype(np.float64)
    areas = np.zeros(len(points))
    for order in ([0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]):
        x, y = np.moveaxis(points[:, order], -1, 0)
        doubled = (x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)
        areas = np.maximum(areas, np.abs(doubled) / 2)
    thin = np.ptp(points, axis=1).min(axis=1) < MIN_EXTENT
    return np.asarray(thin | (areas < MIN_AREA))


def drop_degenerate(annotations: Sequence[Annotation]) -> list[Annotation]:
    """Return the annotations without degenerate quads; a warning counts them."""
    if not annotations:
        return []
    bad = degenerate(np.concatenate([annotation.quads for annotation in annotations]))
    if bad.any():
        log.warning("left out %d quads under 1 px wide or high or without area", int(bad.sum()))
    parts = np.split(bad, np.cumsum([len(annotation.quads) for annotation in annotations])[:-1])
    return [_select(a, ~part) if part.any() else a for a, part in zip(annotations, parts, strict=True)]


def _select(annotation: Annotation, rows: NDArray[np.bool_]) -> Annotation:
    path, quads, labels, difficult = annotation
    return Annotation(path, quads[rows], labels[rows], difficult[rows])


class RotatedDataset(Dataset[Sample]):
    """Samples by (epoch, position, index, (height, width)).

    What is drawn depends on (seed, epoch, position) alone, so workers and a resume change nothing.
    Without `augment` the image is letterboxed and nothing else.  Degenerate quads are left out.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        augment: AugmentConfig | None = None,
        min_side: float = 4.0,
        seed: int = 0,
    ) -> None:
        self.annotations = drop_degenerate(annotations)
        self.augment = augment
        self.min_side = min_side
        self.seed = seed

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, key: SampleKey) -> Sample:
        epoch, position, index, size = key
        if self.augment is None:
            return self._letterboxed(index, size)._replace(row=index)
        rng = np.random.default_rng((self.seed, epoch, position))
        sample = self._augmented(index, size, self.augment, rng)
        mixed = random_mixup(
            sample, partial(self._random_partner, size, self.augment, rng), self.augment, rng
        )
        return mixed._replace(row=index)

    def _random_partner(self, size: Size, augment: AugmentConfig, rng: np.random.Generator) -> Sample:
        return self._augmented(int(rng.integers(len(self))), size, augment, rng)

    def _letterboxed(self, index: int, size: Size) -> Sample:
        annotation = self.annotations[index]
        image = read_image(annotation.image_path)
        height, width, _ = image.shape
        return place_image(image, annotation, letterbox_matrix((height, width), size), size, self.min_side)

    def _coloured(self, index: int, augment: AugmentConfig, rng: np.random.Generator) -> U8:
        return random_hsv(read_image(self.annotations[index].image_path), augment, rng)

    def _augmented(self, index: int, size: Size, augment: AugmentConfig, rng: np.random.Generator) -> Sample:
        if rng.random() < augment.mosaic:
            rows = [index, *(int(row) for row in rng.integers(len(self), size=MOSAIC_IMAGES - 1))]
            sources = [(self._coloured(row, augment, rng), self.annotations[row]) for row in rows]
            return random_mosaic(sources, augment, size, self.min_side, rng)
        image, annotation = self._coloured(index, augment, rng), self.annotations[index]
        height, width, _ = image.shape
        matrix = random_matrix(rng, augment, annotation.quads, (height, width), size)
        return place_image(image, annotation, matrix, size, self.min_side)
