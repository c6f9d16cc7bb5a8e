"""Scene G of spec 11.9: three objects on two levels of 64 x 64 px, and a made-up prediction in each cell."""

import numpy as np
import torch

from cfg.schema import AssignConfig
from dataloadR.assign.pairs import Guesses
from dataloadR.assign.shapes import Pyramid
from tests.dataloadR.assign.test_targets import objects_of
from utils.records import LevelTargets, Objects

CONFIG = AssignConfig(level_bounds=(32.0,))
PYRAMID = Pyramid(1, 64, 64, (8, 16))
FACTS = [((26, 30), 28, 12, 25), ((44, 40), 12, 12, 0), ((40, 14), 30, 5, -15)]  # centre, sides, degrees


def rectangle(x: float, y: float, long: float, short: float, degrees: float) -> np.ndarray:
    """Return the corners of a rectangle whose first side is turned clockwise on the screen."""
    along = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]) * long / 2
    across = np.array([-np.sin(np.radians(degrees)), np.cos(np.radians(degrees))]) * short / 2
    return np.array([x, y]) + np.stack([-along - across, along - across, along + across, across - along])


def objects() -> Objects:
    return objects_of([rectangle(x, y, a, b, t) for (x, y), a, b, t in FACTS], labels=[0, 1, 0])


def guesses() -> Guesses:
    quads, logits = [], []
    for level, stride in enumerate(PYRAMID.strides):
        for row in range(64 // stride):
            for column in range(64 // stride):
                i, j = column, row
                x = (i + 0.5) * stride + 2 * np.sin(i + 2 * j)
                y = (j + 0.5) * stride + 2 * np.cos(2 * i + j)
                sides = 20 + 6 * np.sin(0.7 * i + 0.3 * j), 10 + 3 * np.cos(0.5 * i + 0.9 * j)
                quads.append(rectangle(x, y, *sides, 20 + 15 * np.sin(i * j)))
                logits.append([1.5 * np.sin(0.9 * i + 0.4 * j + k + level) for k in range(2)])
    return Guesses(torch.from_numpy(np.array(quads)), torch.from_numpy(np.array(logits)))


Cell = tuple[int, int, int]  # level, row, column


def found(levels: list[LevelTargets]) -> dict[Cell, tuple[int, float]]:
    """Return owner and heat of every cell that has one."""
    cells = {}
    for number, level in enumerate(levels):
        for row, column in (level.owner[0] >= 0).nonzero().tolist():
            at = (0, row, column)
            cells[number, row, column] = (int(level.owner[at]), float(level.heat[at]))
    return cells
