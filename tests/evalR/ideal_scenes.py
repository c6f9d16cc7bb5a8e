"""A fixed scene and an ideal network, which returns what a tile shows of the known objects."""

from typing import NamedTuple

import numpy as np
import shapely
import torch

from utils.records import Detections
from utils.tiles import Window

SEEN = 0.05  # share of an object that must be visible


class Scene(NamedTuple):
    size: tuple[int, int]  # height, width
    quads: np.ndarray  # (N, 4, 2) none overlaps another of its class
    labels: np.ndarray  # (N,)


def draw_scene(seed: int, side: int, count: int, longest: float, classes: int = 3) -> Scene:
    """Rectangles and other convex quads of all sizes and angles; some reach beyond the scene."""
    rng = np.random.default_rng([7, seed])
    quads: list[np.ndarray] = []
    labels: list[int] = []
    taken: list[list[shapely.Geometry]] = [[] for _ in range(classes)]
    while len(quads) < count:
        length = np.exp(rng.uniform(np.log(10), np.log(longest)))
        width = max(length * rng.uniform(0.15, 0.9), 6)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length / 2, width / 2]
        corners *= rng.uniform(0.8, 1, (4, 1)) if rng.random() < 0.3 else 1
        angle = rng.uniform(0, np.pi)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        quad = corners @ turn + rng.uniform(0, side, 2)
        label = int(rng.integers(classes))
        shape = shapely.Polygon(quad).buffer(2)
        if not shapely.intersects(shape, taken[label]).any():
            taken[label].append(shape)
            quads.append(quad)
            labels.append(label)
    return Scene((side, side), np.array(quads), np.array(labels))


def look(scene: Scene, window: Window, rate: float = 1.0) -> Detections:
    """Return what a window of the scaled scene shows, in its own pixels; of what is cut the rectangle."""
    low, high = scene.quads.min(axis=1) * rate, scene.quads.max(axis=1) * rate
    near = np.flatnonzero(((low < window[2:]) & (high > window[:2])).all(axis=1))
    shapes = shapely.polygons(scene.quads[near] * rate)
    seen = shapely.intersection(shapes, shapely.box(*window))
    shares = shapely.area(seen) / shapely.area(shapes)
    is_whole, is_seen = shares > 1 - 1e-9, shares > SEEN
    rectangles = shapely.get_coordinates(shapely.oriented_envelope(seen[is_seen])).reshape(-1, 5, 2)[:, :4]
    quads = np.where(is_whole[is_seen, None, None], scene.quads[near][is_seen] * rate, rectangles)
    return Detections(
        torch.from_numpy(quads - window[:2]).float(),
        torch.from_numpy(0.9 * shares[is_seen] ** 0.5).float(),
        torch.from_numpy(scene.labels[near][is_seen]).long(),
    )


def differences(scene: Scene, found: Detections, iou: float = 0.5) -> tuple[int, int]:
    """Return how many objects are not found once, and how many detections are none of the objects."""
    inside = shapely.box(0, 0, scene.size[1], scene.size[0])
    truth = shapely.intersection(shapely.polygons(scene.quads), inside)
    shapes = shapely.polygons(found.quads.numpy())
    first, second = shapely.STRtree(shapes).query(truth) if len(shapes) else np.zeros((2, 0), int)
    shown = shapely.intersection(shapes[second], inside)
    shared = shapely.area(shapely.intersection(truth[first], shown))
    ious = shared / (shapely.area(truth[first]) + shapely.area(shown) - shared)
    good = (ious > iou) & (scene.labels[first] == found.labels.numpy()[second])
    hits = np.bincount(first[good], minlength=len(truth))
    visible = shapely.area(truth) / shapely.area(shapely.polygons(scene.quads)) > 0.2
    return int((hits[visible] != 1).sum()), len(shapes) - len(set(second[good]))
