"""Labelled images: the record that every label format is read into and written from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.arrays import F64
from utils.images import Size


class LabelledImage(NamedTuple):
    """One image with its objects; float64, so that a format read and written again keeps its decimals."""

    name: str  # file name of the image as the format has it, with suffix if it says one; may hold folders
    size: Size | None  # height, width; None where the format does not say
    quads: F64  # (N, 4, 2) pixels of the image, vertices in the annotator's order
    classes: list[str]  # N names
    difficult: NDArray[np.int8]  # (N,) 0 ordinary, 1 hard, 2 cut by tiling; 0 where the format has no flag
    split: str = ""  # train, val, test, ...; empty where the format does not say
    scores: F64 | None = None  # (N,) in [0, 1], of predictions; None: nothing has one

    def take(self, rows: NDArray[np.bool_]) -> "LabelledImage":
        """Return the image with those of its objects alone that rows (N,) names."""
        return self._replace(
            quads=self.quads[rows],
            classes=[name for name, row in zip(self.classes, rows.tolist(), strict=True) if row],
            difficult=self.difficult[rows],
            scores=None if self.scores is None else self.scores[rows],
        )


def scores_of(scores: Sequence[float | None]) -> F64 | None:
    """Return scores as an array, 1 for what has none; None where nothing has one."""
    known = [1.0 if score is None else score for score in scores]
    return np.array(known, np.float64) if any(score is not None for score in scores) else None
