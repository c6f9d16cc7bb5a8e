"""Small images on disk with known objects, for the tests of the data set and its loader."""

from pathlib import Path

import cv2
import numpy as np

from utils.records import Annotation


def annotations(folder: Path, count: int = 5) -> list[Annotation]:
    """Image i has i objects, so the first has none."""
    rng = np.random.default_rng(0)
    result = []
    for i in range(count):
        path = str(folder / f"{i}.png")
        cv2.imwrite(path, rng.integers(0, 256, (70 + i, 90, 3), dtype=np.uint8))
        corners = rng.uniform(5, 50, (i, 1, 2)) + np.array([[0, 0], [15, 2], [13, 12], [-2, 10]])
        result.append(
            Annotation(path, corners.astype(np.float32), np.arange(i), (np.arange(i) % 3).astype(np.int8))
        )
    return result
