"""Images in memory, as callers of Python hand them over."""

import cv2
import numpy as np

from utils.arrays import U8
from utils.images import ImageError

IN_MEMORY = "image in memory"  # the source of what has no path


def checked_image(image: U8) -> U8:
    """Return an image in memory as (H, W, 3) RGB, a grey one (H, W) too.

    Raises:
        ImageError: another shape or type, or no pixels.
    """
    is_grey = image.ndim == 2
    is_image = is_grey or (image.ndim == 3 and image.shape[2] == 3)
    if not is_image or image.dtype != np.uint8 or not image.size:
        raise ImageError(f"{IN_MEMORY}: expected (H, W, 3) or (H, W) uint8, got {image.shape} {image.dtype}")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), np.uint8) if is_grey else image
