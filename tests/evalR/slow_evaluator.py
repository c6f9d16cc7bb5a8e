"""The protocol of DOTA_devkit in plain loops with shapely: what the evaluator is compared with."""

from itertools import pairwise

import numpy as np
import shapely

Found = list[tuple[int, float, list]]  # image, score, shape: four vertices, or x_min, y_min, x_max, y_max
Truth = list[tuple[int, bool, list]]  # image, difficult, shape


def iou(a: list, b: list) -> float:
    if len(np.shape(a)) == 2:
        a, b = shapely.Polygon(a), shapely.Polygon(b)
        shared = a.intersection(b).area
        return shared / (a.area + b.area - shared) if shared else 0.0
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    shared = max(width, 0) * max(height, 0)
    both = sum((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (a, b))
    return shared / (both - shared)


def average_precision(found: Found, truth: Truth, threshold: float, metric: str) -> float:
    objects = sum(not difficult for _, difficult, _ in truth)
    if not objects:
        return float("nan")
    taken, hits, misses, curve = set(), 0, 0, [(0.0, 0.0)]
    for image, _, shape in sorted(found, key=lambda row: -row[1]):
        overlaps = [iou(shape, other) if image == place else 0.0 for place, _, other in truth]
        best = int(np.argmax(overlaps)) if truth else -1
        if truth and overlaps[best] > threshold:
            if truth[best][1]:
                continue
            hits, misses = (hits, misses + 1) if best in taken else (hits + 1, misses)
            taken.add(best)
        else:
            misses += 1
        curve.append((hits / objects, hits / (hits + misses)))
    if metric == "voc07":
        return sum(max((p for r, p in curve if r >= 0.1 * k), default=0.0) for k in range(11)) / 11
    steps = pairwise(curve)
    return sum((new[0] - old[0]) * max(p for r, p in curve if r >= new[0]) for old, new in steps)
