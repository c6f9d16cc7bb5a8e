"""Dataset: annotations become augmented samples."""

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from cfg.schema import AugmentConfig, DataConfig
from dataloadR.geometric import LazyImage, place_image, place_source, random_matrix
from dataloadR.mixing import random_mixup, random_mosaic
from dataloadR.pasting import random_paste
from dataloadR.photometric import draw_hsv, scale_hsv
from dataloadR.reader import ImageReader
from utils.arrays import F32, U8
from utils.counts import counted
from utils.images import FILL, ImageError, Size, letterbox_matrix
from utils.records import Annotation, Sample

log = logging.getLogger(__name__)
SampleKey = tuple[int, int, int, Size]  # epoch, position in the epoch, row of the dataset, input size
MIN_EXTENT = 1.0  # px; thinner boxes have no usable ratios (spec 1.5)
MIN_AREA = 0.1  # px^2; slanted lines have none
MOSAIC_IMAGES = 4
ATTEMPTS = 100  # samples drawn in the place of one that cannot be read, before giving up


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
        log.warning("left out %s under 1 px wide or high or without area", counted(int(bad.sum()), "quad"))
    parts = np.split(bad, np.cumsum([len(annotation.quads) for annotation in annotations])[:-1])
    return [_select(a, ~part) if part.any() else a for a, part in zip(annotations, parts, strict=True)]


def _select(annotation: Annotation, rows: NDArray[np.bool_] | slice) -> Annotation:
    path, quads, labels, difficult = annotation
    return Annotation(path, quads[rows], labels[rows], difficult[rows])


class RotatedDataset(Dataset[Sample]):
    """Dataset of samples by (epoch, position, index, (height, width)).

    What is drawn depends on (seed, epoch, position) alone, so workers and a resume change nothing.
    Without `augment` the image is letterboxed and nothing else.  Degenerate quads are left out.

    With `data.on_error=skip` another image, drawn likewise, takes the place of one that cannot be read;
    without `augment`, where each has its place, a grey one without objects.

    Args:
        epochs: of the whole training, for `augment.close_epochs`; None: it has no last epochs.
        data: how files are read; None: the defaults.
    """

    def __init__(
        self,
        annotations: Sequence[Annotation],
        augment: AugmentConfig | None = None,
        min_side: float = 4.0,
        seed: int = 0,
        epochs: int | None = None,
        data: DataConfig | None = None,
    ) -> None:
        self.annotations = drop_degenerate(annotations)
        self.images = ImageReader([a.image_path for a in self.annotations], data or DataConfig())
        self.augment = augment
        self.min_side = min_side
        self.seed = seed
        self.epochs = epochs
        pastes = augment is not None and augment.copy_paste > 0
        self.donors = np.flatnonzero([pastes and (a.difficult == 0).any() for a in self.annotations])
        # for each image a factor of the scale that fills the input, without `augment`; None: 1
        self.shrinks: Sequence[float] | None = None

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, key: SampleKey) -> Sample:
        epoch, position, index, size = key
        augment = self._augment_of(epoch)
        if augment is None:
            return self._letterboxed(index, size)._replace(row=index)
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.seed, epoch, position, attempt))
            row = int(rng.integers(len(self))) if attempt else index
            try:
                return self._mixed(row, size, augment, rng)._replace(row=row)
            except ImageError:
                if not self.images.skip:
                    raise
        raise ImageError(f"{self.annotations[index].image_path}: {ATTEMPTS} other images are unreadable, too")

    def _augment_of(self, epoch: int) -> AugmentConfig | None:
        """Return the augmentations of an epoch: the last ones go without mosaic, mixup and copy-paste."""
        if self.augment is None or self.epochs is None or epoch < self.epochs - self.augment.close_epochs:
            return self.augment
        return self.augment.model_copy(update={"mosaic": 0.0, "mixup": 0.0, "copy_paste": 0.0})

    def _letterboxed(self, index: int, size: Size) -> Sample:
        annotation = self.annotations[index]
        try:
            image = self.images.read(index)
        except ImageError:
            if not self.images.skip:
                raise
            image, annotation = np.full((*size, 3), FILL, np.uint8), _select(annotation, slice(0))
        height, width, _ = image.shape
        matrix = letterbox_matrix((height, width), size, shrink=self.shrinks[index] if self.shrinks else 1.0)
        return place_image(image, annotation, matrix, size, self.min_side)

    def _mixed(self, row: int, size: Size, augment: AugmentConfig, rng: np.random.Generator) -> Sample:
        sample = self._augmented(row, size, augment, rng)
        return random_mixup(sample, partial(self._random_partner, size, augment, rng), augment, rng)

    def _random_partner(self, size: Size, augment: AugmentConfig, rng: np.random.Generator) -> Sample:
        return self._augmented(int(rng.integers(len(self))), size, augment, rng)

    def _coloured(self, row: int, augment: AugmentConfig, rng: np.random.Generator) -> LazyImage:
        """Return an image to be decoded, in colours and with objects of another one that are drawn now."""
        factors = draw_hsv(augment, rng)
        source = random_paste(self._source(row), partial(self._random_donor, row, rng), augment, rng)

        def read(reduce: int) -> U8:
            image = source.read(reduce)
            return scale_hsv(image, factors) if factors else image

        return source._replace(read=read)

    def _source(self, row: int) -> LazyImage:
        return LazyImage(self.annotations[row], self.images.size(row), partial(self.images.read, row))

    def _random_donor(self, row: int, rng: np.random.Generator) -> LazyImage | None:
        """Draw another image with objects; None where there is none."""
        others = self.donors[self.donors != row]
        return self._source(int(rng.choice(others))) if len(others) else None

    def _augmented(self, row: int, size: Size, augment: AugmentConfig, rng: np.random.Generator) -> Sample:
        if rng.random() < augment.mosaic:
            rows = [row, *(int(other) for other in rng.integers(len(self), size=MOSAIC_IMAGES - 1))]
            sources = [self._coloured(other, augment, rng) for other in rows]
            return random_mosaic(sources, augment, size, self.min_side, rng)
        source = self._coloured(row, augment, rng)
        matrix = random_matrix(rng, augment, source.annotation.quads, source.size, size)
        return place_source(source, matrix, size, self.min_side)
