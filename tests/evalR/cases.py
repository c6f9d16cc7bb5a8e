"""Random detections and ground truths of a few images, and none at all."""

import numpy as np

from evalR.scoring.columns import Found, Truth
from utils.arrays import F64


def random_quads(rng: np.random.Generator, count: int) -> F64:
    """Return rectangles at any angle, every third with a vertex pushed in until it is concave."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * rng.uniform(4, 14, (count, 1, 2))
    corners[::3, 2] *= -0.2
    angles = rng.uniform(0, np.pi, count)
    turn = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], -1).reshape(-1, 2, 2)
    return corners @ turn.transpose(0, 2, 1) + rng.uniform(0, 60, (count, 1, 2))


def random_case(seed: int) -> tuple[Found, Truth]:
    """Return jittered copies of the objects and some of nothing; some cases lack one or the other."""
    rng = np.random.default_rng(seed)
    objects = 0 if seed % 7 == 1 else int(rng.integers(1, 30))
    truth = Truth(
        np.sort(rng.integers(0, 3, objects)),
        rng.integers(0, 2, objects),
        rng.uniform(size=objects) < 0.2,
        random_quads(rng, objects),
    )
    chosen = rng.integers(0, objects, 0 if seed % 7 == 2 or not objects else 2 * objects)
    quads = (
        truth.shapes[chosen] + rng.normal(0, 2, (len(chosen), 1, 2)) + rng.normal(0, 0.3, (len(chosen), 4, 2))
    )
    quads = np.concatenate([quads, random_quads(rng, 5)]) if seed % 7 != 2 else quads
    images = np.concatenate([truth.images[chosen], rng.integers(0, 3, len(quads) - len(chosen))])
    order = np.argsort(images, kind="stable")
    scores = rng.permutation(len(quads)) / max(len(quads), 1)
    scores = np.round(scores, 1) if seed % 3 == 0 else scores  # equal scores, also within an image
    return Found(images[order], rng.integers(0, 2, len(quads)), scores, quads[order]), truth


def empty_case(dimensions: int = 3) -> tuple[Found, Truth]:
    shapes = np.zeros((0, 4, 2)[:dimensions])
    none = np.zeros(0, np.int64)
    return Found(none, none, np.zeros(0), shapes), Truth(none, none, none.astype(bool), shapes)
