"""Merging of the detections of overlapping tiles and several rates into one set: every object once.

What lies whole in a tile speaks first.  A part, which a border of its tile cuts, is dropped where a whole
one shows the same object; parts of one object that no tile holds whole become one quad.  Two detections show
the same object if they agree in what both tiles can see of it: loosely where they are about as sure of it,
closely where they are not.  What is found with a low score beside the object, as at the low thresholds of an
evaluation, thus neither displaces nor joins what is sure.
"""

from typing import Literal

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalR.inference.scenes.tiling import TileDetections
from utils.arrays import I64
from utils.quads.clip import clip_by_line
from utils.quads.fusion import fuse_quads
from utils.quads.geometry import clip_quads, clockwise_quads, quad_areas, signed_areas
from utils.quads.nms import overlapping_quads, quad_nms
from utils.quads.polygons import nearest_quad
from utils.records import Detections

COVERED = 0.5  # share of a part that another covers and is therefore the same object
COMPARABLE = 0.6  # of a score: what is less sure decides about another only where both agree closely
CLOSE = 0.7  # IoU of what both tiles see
JOINABLE = 0.3  # of a score: so much less sure a network is of the smaller part of an object
FILLED = 0.7  # share of a quad around parts of an object that these must fill
PAIRS_AT_ONCE = 1 << 17  # some 100 MB while they are clipped


def merge_found(found: TileDetections, method: Literal["nms", "fuse"], iou_threshold: float) -> Detections:
    """Return the objects of a scene, highest score first.

    Args:
        found: what all tiles show.
        method: of several whole views of an object the best remains, or their weighted mean.
        iou_threshold: two detections of a class that overlap by more are one object.
    """
    order = np.lexsort((found.windows[:, 0], found.windows[:, 1], -found.scores))  # whoever found it first
    everything = _chosen(found, order)
    whole = _one_each(_chosen(everything, ~everything.cut), method, iou_threshold)
    parts = _without_shown(_chosen(everything, everything.cut), whole, iou_threshold)
    joined = _joined(parts, iou_threshold)
    both = Detections(*(torch.cat(fields) for fields in zip(whole, joined, strict=True)))
    ranks = both.scores.double()
    ranks[len(whole.scores) :] *= COMPARABLE  # whole ones first, where they are as sure
    kept = quad_nms(both.quads, ranks, both.labels, iou_threshold)
    kept = kept[both.scores[kept].argsort(descending=True, stable=True)]
    merged = Detections(*(field[kept] for field in both))
    return merged._replace(quads=clockwise_quads(merged.quads))


def _chosen(found: TileDetections, rows: NDArray[np.bool_] | I64) -> TileDetections:
    quads, scores, labels, cut, windows = found
    return TileDetections(quads[rows], scores[rows], labels[rows], cut[rows], windows[rows])


def _detections(found: TileDetections) -> Detections:
    return Detections(*(torch.from_numpy(field) for field in (found.quads, found.scores, found.labels)))


def _one_each(whole: TileDetections, method: Literal["nms", "fuse"], iou_threshold: float) -> Detections:
    """Return the whole detections, one of each object."""
    views = _detections(whole)
    if method == "fuse":
        fused = fuse_quads(*views, iou_threshold)
        return Detections(fused.quads, fused.scores, views.labels[fused.leaders])
    kept = quad_nms(*views, iou_threshold)
    return Detections(*(field[kept] for field in views))


def _without_shown(parts: TileDetections, whole: Detections, iou_threshold: float) -> TileDetections:
    """Return the parts of objects that no whole detection shows.

    Of a whole one all is known: what its part would look like in the tile of the other as well.
    """
    count = len(whole.scores)
    own = _detections(parts)
    pairs = overlapping_quads(torch.cat([whole.quads, own.quads]), torch.cat([whole.labels, own.labels]))
    mixed = (pairs.first < count) & (pairs.second >= count)
    of_whole, of_parts = pairs.first[mixed], pairs.second[mixed] - count
    a, b = whole.quads[of_whole], own.quads[of_parts]
    areas, windows = quad_areas(own.quads), torch.from_numpy(parts.windows)
    shared = _shared(quad_areas(whole.quads)[of_whole], areas[of_parts], pairs.ious[mixed])
    as_sure = whole.scores[of_whole] >= COMPARABLE * own.scores[of_parts]
    shown = torch.zeros(len(own.scores), dtype=torch.bool)
    shown[of_parts[as_sure & (shared > COVERED * areas[of_parts])]] = True
    visible = signed_areas(clip_quads(clockwise_quads(own.quads), windows))
    needed = torch.where(as_sure, iou_threshold, CLOSE)
    rest = ~shown[of_parts] & (shared > needed * visible[of_parts])  # others cannot agree so far
    agreed = _agreement(a[rest], b[rest], windows[of_parts[rest]])
    shown[of_parts[rest][agreed > needed[rest]]] = True
    return _chosen(parts, ~shown.numpy())


def _joined(parts: TileDetections, iou_threshold: float) -> Detections:
    """Return one quad for the parts of each object, with the best of their scores."""
    own, windows = _detections(parts), torch.from_numpy(parts.windows)
    pairs = overlapping_quads(own.quads, own.labels)
    sides = own.scores[pairs.first], own.scores[pairs.second]
    as_sure = torch.minimum(*sides) >= JOINABLE * torch.maximum(*sides)
    a, b = own.quads[pairs.first], own.quads[pairs.second]
    areas = quad_areas(own.quads)
    areas_a, areas_b = areas[pairs.first], areas[pairs.second]
    same = as_sure & (_shared(areas_a, areas_b, pairs.ious) > COVERED * torch.minimum(areas_a, areas_b))
    rest = (~same).nonzero().squeeze(1)
    first, second = windows[pairs.first[rest]], windows[pairs.second[rest]]
    low, high = torch.maximum(first, second), torch.minimum(first, second)
    both = torch.where(torch.tensor([True, True, False, False]), low, high)
    same[rest] = _agreement(a[rest], b[rest], both) > torch.where(as_sure[rest], iou_threshold, CLOSE)
    groups = _groups(len(own.scores), pairs.first[same].numpy(), pairs.second[same].numpy())
    leaders, group = np.unique(groups, return_inverse=True)  # the best of a group has its lowest row
    quads = own.quads[leaders].clone()
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    for place, rows in enumerate(members):
        if len(rows) > 1:
            quads[place] = _around(own.quads[rows], quads[place])
    return Detections(quads, own.scores[leaders], own.labels[leaders])


def _shared(areas_a: Tensor, areas_b: Tensor, ious: Tensor) -> Tensor:
    """Return the areas that quads share row by row, from their own areas and their IoU."""
    return ious / (1 + ious) * (areas_a + areas_b)


def _agreement(a: Tensor, b: Tensor, windows: Tensor) -> Tensor:
    """Return the IoU (P,) of what quads (P, 4, 2) show of windows (P, 4); 0 where there is nothing to see."""
    found = [torch.zeros(0, dtype=torch.float64)]
    for first, second, window in zip(*(torch.split(x, PAIRS_AT_ONCE) for x in (a, b, windows)), strict=True):
        first, second = clockwise_quads(first), clockwise_quads(second)
        seen = clip_quads(first, window)
        total = signed_areas(seen) + signed_areas(clip_quads(second, window))
        for k in range(4):
            seen = clip_by_line(seen, second[:, k], second[:, (k + 1) % 4])
        shared = signed_areas(seen)
        some = (window[:, 2] > window[:, 0]) & (window[:, 3] > window[:, 1]) & (total > shared)
        found.append(torch.where(some, shared / torch.where(some, total - shared, 1.0), 0.0))
    return torch.cat(found)


def _groups(count: int, first: I64, second: I64) -> I64:
    """Return, for each of `count` rows, the lowest row that pairs connect it with."""
    groups = np.arange(count)
    while True:
        lowest = np.minimum(groups[first], groups[second])
        following = groups.copy()
        for side in (first, second):
            np.minimum.at(following, side, lowest)
            np.minimum.at(following, groups[side], lowest)
        if (following == groups).all():
            return groups
        groups = following


def _around(parts: Tensor, best: Tensor) -> Tensor:
    """Return the quad around parts (K, 4, 2) of an object; the best of them where they do not fill it."""
    shapes = shapely.convex_hull(shapely.polygons(parts.numpy()))
    union = shapely.union_all(shapes)
    hull = shapely.convex_hull(union)
    points = shapely.get_coordinates(hull)[:-1]
    if len(points) < 4:  # a triangle: its parts are no better than the best of them
        return best
    quad = torch.from_numpy(nearest_quad(points, hull))
    return quad if union.area >= FILLED * quad_areas(quad) else best
