"""IoU and GIoU of single pairs, of boxes in plain Python, of quads by shapely."""

import numpy as np
import shapely


def box_overlaps(a: list[float], b: list[float]) -> tuple[float, float]:
    """Return IoU and GIoU, the hull being the box around both."""
    wide, high = (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) for k in (0, 1))
    shared = max(wide, 0.0) * max(high, 0.0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return shared / union, shared / union - (hull - union) / hull


def quad_overlaps(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return IoU and GIoU, the hull being the convex one of both."""
    p, q = shapely.Polygon(a), shapely.Polygon(b)
    hull = shapely.MultiPoint(np.concatenate([a, b])).convex_hull.area
    shared = p.intersection(q).area if p.area and q.area else 0.0
    union = p.area + q.area - shared
    iou = shared / union
    return iou, iou - (hull - union) / hull
