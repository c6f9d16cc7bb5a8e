"""The quads of the golden numbers, and random ones."""

import math

import numpy as np
import torch
from torch import Tensor


def rectangle(x: float, y: float, wide: float, high: float, degrees: float) -> Tensor:
    """Return a rectangle (4, 2) in float64, turned clockwise on the screen, from its upper left corner."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]], dtype=torch.float64)
    corners = corners * torch.tensor([wide / 2, high / 2], dtype=torch.float64)
    turn = torch.tensor([[c, s], [-s, c]], dtype=torch.float64)
    return corners @ turn + torch.tensor([x, y], dtype=torch.float64)


def quad(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64).view(4, 2)


A, B, F = rectangle(50, 40, 40, 20, 30), rectangle(55, 42, 36, 24, 50), rectangle(30, 21, 10, 6, 20)
C, D = quad(10, 12, 42, 8, 50, 30, 15, 36), quad(14, 10, 46, 14, 44, 34, 12, 30)
E = D + torch.tensor([100.0, 0])
A_TURNED = rectangle(50, 40, 40, 20, 120)
SQUARE = quad(0, 0, 10, 0, 10, 10, 0, 10)
DIAMOND = quad(5, -5, 15, 5, 5, 15, -5, 5)
X = torch.tensor([1.0, 0], dtype=torch.float64)
TWICE = quad(0, 0, 10, 0, 10, 0, 0, 10)  # a triangle: one vertex twice
LINE, POINT = quad(0, 0, 5, 5, 10, 10, 2, 2), quad(3, 3, 3, 3, 3, 3, 3, 3)
AWKWARD = {  # pairs where IoU has no gradient, or where formulas divide by nothing
    "identical": (A, A),
    "identical, another first vertex": (A, A.roll(1, 0)),
    "identical, the other way round": (A, A.flip(0)),
    "touching": (SQUARE, SQUARE + 10 * X),
    "touching at a corner": (SQUARE, SQUARE + 10),
    "sides in a line": (SQUARE, SQUARE + 5 * X),
    "inside, sides in a line": (SQUARE, SQUARE * torch.tensor([0.5, 1.0])),
    "vertices on sides": (SQUARE, DIAMOND),
    "far apart": (C, E),
    "a thousand times as large": (A, (A - 50) * 1000),
    "triangle": (TWICE, SQUARE),
    "triangles": (TWICE, TWICE),
    "line": (LINE, SQUARE),
    "line, itself": (LINE, LINE),
    "point": (POINT, SQUARE),
    "point, itself": (POINT, POINT),
    "points": (POINT, POINT + 1),
}


def random_quads(count: int, seed: int, spread: float = 12.0) -> Tensor:
    """Return convex quads (N, 4, 2) float64: rectangles with corners moved, thin ones and triangles too."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, (count, 1)) + np.sort(rng.uniform(0, 2 * np.pi, (count, 4)), axis=1)
    radii = np.exp(rng.uniform(np.log(0.1), np.log(10), (count, 1, 2)))
    around = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * radii  # points of an ellipse: convex
    turn = rng.uniform(0, 2 * np.pi, count)
    matrix = np.stack([np.cos(turn), np.sin(turn), -np.sin(turn), np.cos(turn)], 1).reshape(-1, 2, 2)
    return torch.from_numpy(around @ matrix + rng.uniform(0, spread, (count, 1, 2)))
