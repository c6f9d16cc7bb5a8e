"""Test-time augmentation (TTA): the views in which a network is shown an image.

Flips and quarter turns move whole pixels of a batch, and their matrices are exact; only the scale resamples,
and that where the image is fitted to the network input.
"""

from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cfg.schema import SIZE_STEP, EvalConfig
from utils.images import Matrix, Size, compose
from utils.records import Frame

ROWS, COLUMNS = -2, -1  # dimensions of a batch of images
LEFT_RIGHT, UPSIDE_DOWN = (True, 0), (True, 2)  # mirrored, turns: upside down is mirrored and turned twice
FLIPS = {
    "none": [(False, 0)],
    "horizontal": [(False, 0), LEFT_RIGHT],
    "vertical": [(False, 0), UPSIDE_DOWN],
    "both": [(False, 0), LEFT_RIGHT, UPSIDE_DOWN],
}


class View(NamedTuple):
    """An input as it is shown: scaled, then mirrored left to right, then turned."""

    scale: float = 1.0  # factor of the network input
    mirrored: bool = False
    turns: int = 0  # quarter turns counter-clockwise, 0 to 3

    def turned(self, images: Tensor) -> Tensor:
        """Return images (..., H, W) mirrored and turned pixel by pixel, or as they are."""
        if self.mirrored:
            images = images.flip(COLUMNS)
        return torch.rot90(images, self.turns, (ROWS, COLUMNS)) if self.turns else images

    def matrix(self, size: Size) -> Matrix:
        """Return where `turned` moves the pixels of images of `size` (height, width)."""
        matrix, (height, width) = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), size
        if self.mirrored:
            matrix = np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0]])
        for _ in range(self.turns):
            matrix = compose(np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, width]]), matrix)
            height, width = width, height
        return matrix

    def frame(self, frame: Frame) -> Frame:
        """Return the frame of an input after `turned`, which leads back to the pixels of the source."""
        if not (self.mirrored or self.turns):
            return frame
        height, width = frame.input_size
        matrix = compose(self.matrix(frame.input_size), frame.matrix.astype(np.float64))
        turned = (width, height) if self.turns % 2 else (height, width)
        return Frame(matrix.astype(np.float32), frame.source_size, turned)


def views_of(config: EvalConfig) -> list[View]:
    """Return the views that the settings ask for, each once, scale by scale."""
    chosen = product(config.scales, FLIPS[config.flips], config.turns)
    views = [View(scale, mirrored, (half + turns) % 4) for scale, (mirrored, half), turns in chosen]
    return list(dict.fromkeys(views))


def scaled_input(size: Size, scale: float) -> Size:
    """Return the network input of a scale: the nearest multiples of 32, at least one."""
    height, width = (max(1, round(side * scale / SIZE_STEP)) * SIZE_STEP for side in size)
    return height, width
