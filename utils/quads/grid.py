"""Spatial index over horizontal boxes: one uniform grid for each size class.

A box stands in the cell of its upper left corner, in a grid whose cells are no smaller than the boxes of the
class.  Who meets a window therefore stands in the cells under the window or one to the left or above, and
boxes of very different sizes cost each other nothing.
"""

import math

import numpy as np

from utils.arrays import F64, I64
from utils.kernels import kernel

EXPONENTS = 2200  # of float64, shifted to begin above 0
CELLS_PER_BOX = 2  # at most, so that building costs no more than the boxes


# Columns of a size class: its first cell in `starts`; how many columns and lines of cells; where these begin
# and how long the side of a cell is, in px.
FIRST_CELL, CELLS_X, CELLS_Y, ORIGIN_X, ORIGIN_Y, CELL = 0, 1, 2, 3, 4, 5


@kernel
def _size_classes(boxes: F64) -> tuple[I64, int]:
    """Return the size class of each box and their number; sides within a class differ up to two times."""
    names = np.full(EXPONENTS, -1, dtype=np.int64)
    classes = np.empty(len(boxes), dtype=np.int64)
    count = 0
    for row in range(len(boxes)):
        side = max(boxes[row, 2] - boxes[row, 0], boxes[row, 3] - boxes[row, 1])
        exponent = math.frexp(side)[1] + EXPONENTS // 2
        if names[exponent] < 0:
            names[exponent] = count
            count += 1
        classes[row] = names[exponent]
    return classes, count


@kernel
def _extents(boxes: F64, classes: I64, count: int) -> tuple[F64, I64]:
    """Return, per class, the least and greatest corner and the longest side (L, 5), and how many boxes."""
    extents = np.empty((count, 5))
    members = np.zeros(count, dtype=np.int64)
    for row in range(len(boxes)):
        own = extents[classes[row]]
        x, y = boxes[row, 0], boxes[row, 1]
        side = max(boxes[row, 2] - x, boxes[row, 3] - y)
        if members[classes[row]] == 0:
            own[0], own[1], own[2], own[3], own[4] = x, y, x, y, side
        own[0], own[1] = min(own[0], x), min(own[1], y)
        own[2], own[3] = max(own[2], x), max(own[3], y)
        own[4] = max(own[4], side)
        members[classes[row]] += 1
    return extents, members


@kernel
def _lay_out(boxes: F64, classes: I64, count: int) -> tuple[F64, int]:
    """Return the grid of each size class, (L, 6), and the number of cells of all."""
    extents, members = _extents(boxes, classes, count)
    grids = np.empty((count, 6))
    cells = 0
    for k in range(count):
        width, height = extents[k, 2] - extents[k, 0], extents[k, 3] - extents[k, 1]
        side = extents[k, 4] if extents[k, 4] > 0 else 1.0
        while (width / side + 1) * (height / side + 1) > CELLS_PER_BOX * members[k] + 16:
            side *= 1.5
        grids[k, FIRST_CELL], grids[k, CELL] = cells, side
        grids[k, CELLS_X], grids[k, CELLS_Y] = int(width / side) + 1, int(height / side) + 1
        grids[k, ORIGIN_X], grids[k, ORIGIN_Y] = extents[k, 0], extents[k, 1]
        cells += int(grids[k, CELLS_X] * grids[k, CELLS_Y])
    return grids, cells


@kernel
def build_grid(boxes: F64) -> tuple[I64, I64, F64]:
    """Return an index of (N, 4) finite boxes x_min, y_min, x_max, y_max, in time linear in N.

    Boxes are given places by class and cell; those of a cell, and of a line of cells, stand side by side.

    Returns:
        rows: (N,) the box at each place.
        starts: (cells + 1,) the first place of each cell, all classes end to end.
        grids: (L, 6) see FIRST_CELL.
    """
    classes, count = _size_classes(boxes)
    grids, cells = _lay_out(boxes, classes, count)
    starts = np.zeros(cells + 1, dtype=np.int64)
    where = np.empty(len(boxes), dtype=np.int64)
    for row in range(len(boxes)):
        k = classes[row]
        column = int((boxes[row, 0] - grids[k, ORIGIN_X]) / grids[k, CELL])
        line = int((boxes[row, 1] - grids[k, ORIGIN_Y]) / grids[k, CELL])
        where[row] = int(grids[k, FIRST_CELL] + line * grids[k, CELLS_X]) + column
        starts[where[row] + 1] += 1
    starts = np.cumsum(starts)
    following = starts.copy()
    rows = np.empty(len(boxes), dtype=np.int64)
    for row in range(len(boxes)):
        rows[following[where[row]]] = row
        following[where[row]] += 1
    return rows, starts, grids
