"""Polygons of any number of vertices as quads, with exact areas (shapely)."""

import numpy as np
import shapely
import torch

from utils.arrays import F64
from utils.quads.geometry import min_area_rectangles, reduce_to_quads

MANY = 64  # vertices; the work of min_area_rectangles grows with their cube


def nearest_quad(points: F64, polygon: shapely.Geometry) -> F64:
    """Return the vertices (V, 2) of a polygon, V >= 4, as a quad.

    Either the smallest rectangle around them or the polygon with its shortest edges shrunk to points,
    whichever has the higher IoU with the polygon.

    Args:
        points: the vertices in order.
        polygon: the same, valid and of some area.
    """
    reduced = reduce_to_quads(torch.from_numpy(points)[None])[0].numpy()
    return max((reduced, _smallest_rectangle(points)), key=lambda quad: _overlap(quad, polygon))


def _smallest_rectangle(points: F64) -> F64:
    """Return the smallest rectangle (4, 2) around any number of points."""
    hull = shapely.get_coordinates(shapely.convex_hull(shapely.MultiPoint(points)))
    if len(hull) > MANY:
        hull = shapely.get_coordinates(shapely.oriented_envelope(shapely.Polygon(hull)))
    return np.asarray(min_area_rectangles(torch.from_numpy(hull)[None])[0].numpy(), np.float64)


def _overlap(quad: F64, polygon: shapely.Geometry) -> float:
    """Return the IoU of a quad with a polygon; 0 for a quad whose edges cross."""
    shape = shapely.Polygon(quad)
    if not shape.is_valid:
        return 0.0
    shared = float(shape.intersection(polygon).area)
    return shared / float(shape.area + polygon.area - shared)  # the polygon has an area
