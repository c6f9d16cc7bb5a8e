"""Squares in one image, scored: what the tests of single figures look at."""

import numpy as np

from evalR.scoring.columns import Found, Truth
from evalR.scoring.evaluate import Scored, score

CLASSES = ["a", "b"]


def square(x: float, y: float = 0.0, side: float = 10.0) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


def scene(
    found: list[tuple[list, int, float]], truth: list[tuple[list, int]], difficult: tuple[int, ...] = ()
) -> Scored:
    """Return detections (quad, label, score) and ground truths (quad, label) of one image, matched."""
    quads, labels, scores = ([row[k] for row in found] for k in range(3))
    shapes, classes = ([row[k] for row in truth] for k in range(2))
    detections = Found(
        np.zeros(len(found), np.int64),
        np.array(labels, np.int64),
        np.array(scores, float),
        np.array(quads, float).reshape(-1, 4, 2),
    )
    objects = Truth(
        np.zeros(len(truth), np.int64),
        np.array(classes, np.int64),
        np.isin(np.arange(len(truth)), difficult),
        np.array(shapes, float).reshape(-1, 4, 2),
    )
    return score(detections, objects, CLASSES)
