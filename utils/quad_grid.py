"""A spatial index over horizontal boxes: one uniform grid for each size class.

A box stands in the cell of its upper left corner, in a grid whose cells are no smaller than the boxes of the
class.  Who meets a window therefore stands in the cells under the window or one to the left or above, and
boxes of very different sizes cost each other nothing.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
EXPONENTS = 1100  # of float64, in steps of two, shifted to begin at 0
CELLS_PER_BOX = 2  # at most, so that building costs no more than the boxes


class Grid(NamedTuple):
    """N boxes sorted by class and cell; the boxes of a cell, and of a row of cells, stand side by side."""

    rows: I64  # (N,) the row in the input of the box at each place
    starts: I64  # (cells + 1,) first place of each cell, all classes end to end
    first_cell: I64  # (L,) of each class in `starts`
    columns: I64  # (L,)
    lines: I64  # (L,)
    left: F64  # (L,) px, where the first column begins
    top: F64  # (L,) px
    cell: F64  # (L,) px, side of the cells


@njit(cache=True, nogil=True)
def _size_classes(boxes: F64) -> tuple[I64, int]:
    """Return the size class of each box and their number; sides within a class differ up to four times."""
    names = np.full(EXPONENTS, -1, dtype=np.int64)
    classes = np.empty(len(boxes), dtype=np.int64)
    count = 0
    for row in range(len(boxes)):
        side = max(boxes[row, 2] - boxes[row, 0], boxes[row, 3] - boxes[row, 1])
        exponent = (math.frexp(side)[1] + EXPONENTS) // 2
        if names[exponent] < 0:
            names[exponent] = count
            count += 1
        classes[row] = names[exponent]
    return classes, count


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def build_grid(boxes: F64) -> Grid:
    """Return the index of (N, 4) finite boxes x_min, y_min, x_max, y_max, in time linear in N."""
    classes, count = _size_classes(boxes)
    extents, members = _extents(boxes, classes, count)
    first_cell = np.zeros(count, dtype=np.int64)
    columns, lines = first_cell.copy(), first_cell.copy()
    cell = np.empty(count)
    cells = 0
    for k in range(count):
        width, height = extents[k, 2] - extents[k, 0], extents[k, 3] - extents[k, 1]
        side = extents[k, 4] if extents[k, 4] > 0 else 1.0
        while (width / side + 1) * (height / side + 1) > CELLS_PER_BOX * members[k] + 16:
            side *= 1.5
        cell[k], first_cell[k] = side, cells
        columns[k], lines[k] = int(width / side) + 1, int(height / side) + 1
        cells += columns[k] * lines[k]
    starts = np.zeros(cells + 1, dtype=np.int64)
    where = np.empty(len(boxes), dtype=np.int64)
    for row in range(len(boxes)):
        k = classes[row]
        column = int((boxes[row, 0] - extents[k, 0]) / cell[k])
        line = int((boxes[row, 1] - extents[k, 1]) / cell[k])
        where[row] = first_cell[k] + line * columns[k] + column
        starts[where[row] + 1] += 1
    starts = np.cumsum(starts)
    following = starts.copy()
    rows = np.empty(len(boxes), dtype=np.int64)
    for row in range(len(boxes)):
        rows[following[where[row]]] = row
        following[where[row]] += 1
    return Grid(rows, starts, first_cell, columns, lines, extents[:, 0].copy(), extents[:, 1].copy(), cell)
