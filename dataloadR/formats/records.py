"""What every label format is read into and written from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.images import Size

F64 = NDArray[np.float64]


class LabelledImage(NamedTuple):
    """One image with its objects; float64, so that a format read and written again keeps its decimals."""

    name: str  # file name of the image as the format has it, with suffix if it says one; may hold folders
    size: Size | None  # height, width; None where the format does not say
    quads: F64  # (N, 4, 2) pixels of the image, vertices in the annotator's order
    classes: list[str]  # N names
    difficult: NDArray[np.int8]  # (N,) 0 ordinary, 1 hard, 2 cut by tiling; 0 where the format has no flag
    split: str = ""  # train, val, test, ...; empty where the format does not say
