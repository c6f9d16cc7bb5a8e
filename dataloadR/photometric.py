"""Photometric augmentation: colour changes of training images."""

import cv2
import numpy as np

from cfg.schema import AugmentConfig
from utils.arrays import U8

HUES = 179  # OpenCV counts hue in steps of two degrees


def scale_hsv(image: U8, factors: tuple[float, float, float]) -> U8:
    """Return the RGB image with hue, saturation and value multiplied, clipped and truncated (spec 6.5)."""
    levels = np.arange(256, dtype=np.float64)
    tops = (HUES, 255, 255)
    tables = [np.minimum(levels * factor, top) for factor, top in zip(factors, tops, strict=True)]
    table = np.stack(tables, axis=-1).astype(np.uint8)[None]
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv = cv2.LUT(hsv, table, dst=hsv)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)


def draw_hsv(config: AugmentConfig, rng: np.random.Generator) -> tuple[float, float, float] | None:
    """Return factors of 1 + U(-1, 1) * gain for `scale_hsv`, or None for an image as it is (spec 6.5)."""
    if rng.random() >= config.hsv:
        return None
    hue, saturation, value = (1.0 + rng.uniform(-1.0, 1.0) * gain for gain in config.hsv_gains)
    return hue, saturation, value
