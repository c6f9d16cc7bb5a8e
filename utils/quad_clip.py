"""Intersection of convex quads by clipping, vectorised torch on any device (Sutherland and Hodgman, 1974)."""

import torch
from torch import Tensor


def convex_intersection_areas(subjects: Tensor, clips: Tensor) -> Tensor:
    """Return the areas shared by rows of two (N, 4, 2) sets of convex clockwise quads, as (N,).

    Every half-plane of a clip adds at most one vertex, so polygons are padded to a known length with copies
    of their first vertex, which add no area.
    """
    origin = clips.mean(dim=-2, keepdim=True)
    polygons, clips = subjects - origin, clips - origin
    for start, end in zip(clips.unbind(-2), clips.roll(-1, dims=-2).unbind(-2), strict=True):
        polygons = _clip_by_line(polygons, start, end)
    return torch.minimum(_areas(polygons), _areas(clips)).clamp(min=0)  # a clip of one point cuts nothing off


def _areas(polygons: Tensor) -> Tensor:
    x, y = polygons.unbind(-1)
    return 0.5 * (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(-1)


def _clip_by_line(polygons: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Keep what lies right of the line on the screen; polygons (N, V, 2) become (N, V + 1, 2)."""
    direction = (end - start).unsqueeze(-2)
    offset = polygons - start.unsqueeze(-2)
    side = _cross(direction, offset)  # (N, V), positive inside
    following, next_side = polygons.roll(-1, dims=-2), side.roll(-1, dims=-1)
    inside = side >= 0
    crossing = inside != (next_side >= 0)
    gap = side - next_side
    share = side / torch.where(gap == 0, torch.ones_like(gap), gap)
    cut = polygons + share.unsqueeze(-1) * (following - polygons)
    points = torch.stack([polygons, cut], dim=-2).flatten(-3, -2)  # vertex, cut, vertex, cut, ...
    keep = torch.stack([inside, crossing], dim=-1).flatten(-2)
    return _first_kept(points, keep, polygons.shape[-2] + 1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    (a_x, a_y), (b_x, b_y) = a.unbind(-1), b.unbind(-1)
    return a_x * b_y - a_y * b_x


def _first_kept(points: Tensor, keep: Tensor, count: int) -> Tensor:
    """Move kept points to the front, in order, and fill up with copies of the first; none kept: zeros."""
    order = (~keep).to(torch.uint8).argsort(dim=-1, stable=True)[..., :count]
    kept = keep.gather(-1, order).unsqueeze(-1)
    chosen = points.gather(-2, order.unsqueeze(-1).expand(*order.shape, 2))
    first = chosen.narrow(-2, 0, 1)
    return torch.where(
        kept.any(dim=-2, keepdim=True), torch.where(kept, chosen, first), torch.zeros_like(chosen)
    )
