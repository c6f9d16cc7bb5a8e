"""Convex quads for tests, drawn without the code under test."""

import numpy as np
import torch
from torch import Tensor


def convex_quads(rng: np.random.Generator, count: int, reach: float = 30.0) -> Tensor:
    """Return (count, 4, 2) float64 convex quads, clockwise on the screen from any vertex, of every shape."""
    theta = np.sort(rng.uniform(0, 2 * np.pi, (count, 4)), axis=1)
    circle = np.stack([np.cos(theta), np.sin(theta)], axis=-1)  # rising angles are clockwise with y down
    stretch = rng.uniform(0.1, 1, (count, 1, 2)) * reach
    turned = turn(circle * stretch, rng.uniform(0, np.pi, count))
    return torch.from_numpy(turned + rng.uniform(-reach, reach, (count, 1, 2)))


def rectangles(rng: np.random.Generator, count: int) -> tuple[Tensor, np.ndarray]:
    """Return rectangles (count, 4, 2), clockwise, and the angle of their long side in [0, pi)."""
    long = rng.uniform(10, 100, count)
    sides = np.stack([long, long * rng.uniform(0.05, 0.95, count)], axis=-1)[:, None]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * sides / 2
    theta = rng.uniform(0, np.pi, count)
    turned = turn(corners, theta) + rng.uniform(-500, 500, (count, 1, 2))
    return torch.from_numpy(np.roll(turned, int(rng.integers(4)), axis=1)), theta


def turn(points: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Turn points (N, P, 2) by theta (N,) clockwise on the screen."""
    cos, sin = np.cos(theta)[:, None], np.sin(theta)[:, None]
    x, y = points[..., 0], points[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
