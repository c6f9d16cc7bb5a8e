"""Objects found in images, made by hand or by chance."""

import math

import numpy as np
import torch

from utils.records import Detections, GeoReference, SceneDetections

CLASSES = ("plane", "large ship")


def make_found(
    quads: object = (),
    labels: object = None,
    geo: GeoReference | None = None,
    source: str = "images/scene.png",
    size: tuple[int, int] = (400, 500),
) -> SceneDetections:
    """Objects with scores from 0.9 downwards."""
    array = np.asarray(quads, np.float64).reshape(-1, 4, 2)
    scores = 0.9 - 0.01 * np.arange(len(array))
    numbers = np.arange(len(array)) % 2 if labels is None else np.asarray(labels, np.int64)
    fields = (torch.from_numpy(np.asarray(field)) for field in (array, scores, numbers))
    return SceneDetections(source, size, Detections(*fields), CLASSES, geo)


def rectangle(x: float, y: float, length: float, width: float, degrees: float) -> np.ndarray:
    """A rectangle in pixels whose long side points `degrees` clockwise from up."""
    angle = math.radians(degrees)
    along = np.array([math.sin(angle), -math.cos(angle)]) * length / 2
    aside = np.array([math.cos(angle), math.sin(angle)]) * width / 2
    return np.array([x, y]) + np.stack([along - aside, along + aside, -along + aside, -along - aside])


def random_quads(count: int, size: tuple[int, int] = (400, 500), side: float = 30.0) -> np.ndarray:
    rng = np.random.default_rng(count)
    height, width = size
    return np.array(
        [
            rectangle(rng.uniform(0, width), rng.uniform(0, height), side, side / 3, rng.uniform(0, 180))
            for _ in range(count)
        ]
    ).reshape(-1, 4, 2)
