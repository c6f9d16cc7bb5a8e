"""Polygons and rotated rectangles of annotation programs as the quads of an image."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import shapely

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.rectangles import rectangle_quads
from dataloadR.label_lines import AnnotationError
from utils.arrays import F64
from utils.images import Size
from utils.quads.polygons import nearest_quad

FEW_VERTICES, MOST_CROSSINGS = 32, 300  # beyond these a self-crossing polygon takes minutes
MOST_VERTICES = 2000  # the work grows with their square, and few outlines of objects have more than 500
RotatedBox = tuple[float, float, float, float, float]  # cx, cy, width, height in pixels, radians clockwise


class Shape(NamedTuple):
    """One object as drawn: a quad, or a rectangle that becomes one."""

    label: str
    outline: F64 | RotatedBox  # (4, 2) pixels, or a rotated rectangle
    difficult: int = 0


def labelled_image(name: str, size: Size | None, shapes: Sequence[Shape], split: str = "") -> LabelledImage:
    """Return an image with its shapes as quads."""
    boxes = [shape.outline for shape in shapes if isinstance(shape.outline, tuple)]
    table = np.array(boxes, np.float64).reshape(-1, 5)
    centres, sizes, radians = np.split(table, [2, 4], axis=1)
    rectangles = iter(rectangle_quads(centres, sizes, radians[:, 0]))
    quads = [next(rectangles) if isinstance(s.outline, tuple) else s.outline for s in shapes]
    return LabelledImage(
        name=name,
        size=size,
        quads=np.array(quads, np.float64).reshape(-1, 4, 2),
        classes=[shape.label for shape in shapes],
        difficult=np.array([shape.difficult for shape in shapes], np.int8),
        split=split,
    )


def polygon_quad(points: F64, place: str, notes: Notes) -> F64:
    """Return a polygon (V, 2) as a quad: four vertices as they are, three with the last one twice.

    Of more vertices it is the `nearest_quad`.

    Raises:
        AnnotationError: under three vertices, or no area where a quad has to be found.
    """
    if len(points) > 4 and (points[0] == points[-1]).all():
        points = points[:-1]  # closed by its first vertex
    if len(points) < 3:
        raise AnnotationError(f"{place}: expected a polygon of at least 3 vertices, got {len(points)}")
    if len(points) > MOST_VERTICES:
        most = f"expected a polygon of at most {MOST_VERTICES} vertices, got {len(points)}"
        raise AnnotationError(f"{place}: {most}; simplify it in the tool that it comes from")
    if len(points) == 3:
        notes.add("polygons of 3 vertices became quads with one vertex twice")
    if len(points) <= 4:
        return points[[0, 1, 2, -1]]
    polygon = shapely.Polygon(points)
    if len(points) > FEW_VERTICES and not polygon.is_valid and (count := crossings(points)) > MOST_CROSSINGS:
        raise AnnotationError(
            f"{place}: expected an outline, got a polygon that crosses itself {count} times"
        )
    polygon = shapely.make_valid(polygon)
    if not polygon.area:
        raise AnnotationError(f"{place}: expected a polygon with an area, got {len(points)} points on a line")
    notes.add("polygons of more than 4 vertices became the nearest quad")
    return nearest_quad(points, polygon)


def crossings(points: F64) -> int:
    """Return how many pairs of edges of a closed polygon (V, 2) cross in their inside."""
    ends = np.roll(points, -1, axis=0)
    side = _sides(points, ends, points) * _sides(points, ends, ends)
    return int(np.count_nonzero((side < 0) & (side.T < 0)) // 2)


def _sides(starts: F64, ends: F64, points: F64) -> F64:
    """Return on which side (V, V) of each edge, a row each, each point lies: the sign."""
    (dx, dy), (x, y), (px, py) = (ends - starts).T, starts.T, points.T
    turns = dx[:, None] * (py[None] - y[:, None]) - dy[:, None] * (px[None] - x[:, None])
    return np.asarray(np.sign(turns), np.float64)
