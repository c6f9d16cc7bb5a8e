"""Clipping and overlap of quads, vectorised torch on any device (Sutherland and Hodgman, 1974).

The GPU's way to the numbers of `quad_kernels`, and what the label assignment uses on either device.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from utils.quads.parts import FLAT
from utils.selection import on_device, rows_where

PAIRS_AT_ONCE = 1 << 20  # some 0.5 GB of float64 while they are clipped
CELLS_AT_ONCE = 1 << 25  # of a table of box pairs
# Vertices of the two parts of a convex quad, of a concave one, split along a diagonal, and of the hull of a
# self-crossing one.
PART_ORDERS = (
    ((0, 1, 2, 3), (0, 0, 0, 0)),
    ((0, 1, 2, 2), (0, 2, 3, 3)),
    ((1, 2, 3, 3), (1, 3, 0, 0)),
    ((0, 2, 1, 3), (0, 0, 0, 0)),
    ((0, 1, 3, 2), (0, 0, 0, 0)),
)
FIRST_CROSSING = 3


class SplitQuads(NamedTuple):
    """N quads as convex parts; a triangle repeats a vertex, a part that is not needed is a point."""

    parts: Tensor  # (N, 2, 4, 2) positive shoelace
    two: Tensor  # (N,) bool: the second part counts
    areas: Tensor  # (N,) 0 for a degenerate quad
    boxes: Tensor  # (N, 4) x_min, y_min, x_max, y_max


def split_quads(quads: Tensor) -> SplitQuads:
    """Return quads (N, 4, 2) in convex parts, by the rules of `quad_parts.to_shapes`."""
    case = part_cases(quads)
    index = on_device(PART_ORDERS, quads)[case]  # (N, 2, 4)
    vertices = quads.unsqueeze(1).expand(-1, 2, -1, -1)
    parts = vertices.gather(2, index.unsqueeze(-1).expand(-1, -1, -1, 2))
    areas = _areas(parts - parts.narrow(2, 0, 1))
    parts = torch.where((areas < 0)[..., None, None], parts.flip(2), parts)
    total = areas.abs().sum(dim=1)
    boxes = torch.cat([quads.amin(dim=1), quads.amax(dim=1)], dim=1)
    size = (quads.amax(dim=1) - quads.amin(dim=1)).sum(dim=1)
    farthest = quads.abs().amax(dim=1).sum(dim=1)
    total = torch.where(total <= FLAT * farthest * size, 0.0, total)
    return SplitQuads(parts, (case == 1) | (case == 2), total, boxes)


def part_cases(quads: Tensor) -> Tensor:
    """Return the row of PART_ORDERS for each quad (N, 4, 2): 0 convex, 1 and 2 concave, 3 and 4 crossing."""
    a, b, c, d = quads.unbind(-2)
    abc, acd, bcd, bda = _turn(a, b, c), _turn(a, c, d), _turn(b, c, d), _turn(b, d, a)
    inside_ac, inside_bd = abc * acd >= 0, bcd * bda >= 0
    case = torch.where(abc * bcd > 0, 3, 4)
    case = torch.where(inside_bd, 2, case)
    return torch.where(inside_ac, torch.where(inside_bd, 0, 1), case)


def aligned_overlaps_torch(a: SplitQuads, b: SplitQuads) -> Tensor:
    """Return the areas shared row by row, (N,)."""
    shared = convex_intersection_areas(a.parts.select(1, 0), b.parts.select(1, 0))
    needed = rows_where([a.two, b.two, a.two & b.two])
    for (part_a, part_b), rows in zip(((1, 0), (0, 1), (1, 1)), needed, strict=True):
        if len(rows):
            more = convex_intersection_areas(a.parts[rows, part_a], b.parts[rows, part_b])
            shared = shared.index_add(0, rows, more)
    return torch.minimum(shared, torch.minimum(a.areas, b.areas))


def ratios_of_pairs(a: SplitQuads, b: SplitQuads, i: Tensor, j: Tensor, smaller: bool) -> Tensor:
    """Return the IoU, or the share of the smaller area, of rows `i` of `a` with rows `j` of `b`, (K,)."""
    found = [a.areas.new_zeros(0)]
    for rows, columns in zip(torch.split(i, PAIRS_AT_ONCE), torch.split(j, PAIRS_AT_ONCE), strict=True):
        first, second = (SplitQuads(*(f[r] for f in s)) for s, r in ((a, rows), (b, columns)))
        shared = aligned_overlaps_torch(first, second)
        least = torch.minimum(first.areas, second.areas)
        whole = least if smaller else first.areas + second.areas - shared
        found.append(torch.where(shared > 0, shared / torch.where(shared > 0, whole, 1.0), 0.0))
    return torch.cat(found)


def pairwise_ratios_torch(a: Tensor, b: Tensor, smaller: bool) -> Tensor:
    """Return the IoU, or the share of the smaller area, of quads (N, 4, 2) and (M, 4, 2), (N, M) float64."""
    split_a, split_b = split_quads(a.double()), split_quads(b.double())
    ratios = split_a.areas.new_zeros(len(a), len(b))
    step = max(1, CELLS_AT_ONCE // max(len(b), 1))
    for first, boxes in zip(range(0, len(a), step), torch.split(split_a.boxes, step), strict=False):
        i, j = boxes_meet(boxes.unsqueeze(1), split_b.boxes.unsqueeze(0)).nonzero().unbind(-1)
        ratios[i + first, j] = ratios_of_pairs(split_a, split_b, i + first, j, smaller)
    return ratios


def boxes_meet(a: Tensor, b: Tensor) -> Tensor:
    """Return where boxes (..., 4) share an area, (...,) bool."""
    (left_a, top_a, right_a, bottom_a), (left_b, top_b, right_b, bottom_b) = a.unbind(-1), b.unbind(-1)
    return (right_a > left_b) & (right_b > left_a) & (bottom_a > top_b) & (bottom_b > top_a)


def convex_intersection_areas(subjects: Tensor, clips: Tensor) -> Tensor:
    """Return the areas shared by rows of two (N, 4, 2) sets of convex clockwise quads, as (N,).

    Every half-plane of a clip adds at most one vertex, so polygons are padded to a known length with copies
    of their first vertex, which add no area.
    """
    origin = clips.mean(dim=-2, keepdim=True)
    polygons, clips = subjects - origin, clips - origin
    for start, end in zip(clips.unbind(-2), clips.roll(-1, dims=-2).unbind(-2), strict=True):
        polygons = clip_by_line(polygons, start, end)
    return torch.minimum(_areas(polygons), _areas(clips)).clamp(min=0)  # a clip of one point cuts nothing off


def clip_by_line(polygons: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Keep what lies right of the line on the screen; polygons (N, V, 2) become (N, V + 1, 2).

    Spare places repeat the first vertex; a polygon of which nothing stays becomes zeros.
    """
    direction = (end - start).unsqueeze(-2)
    side = _cross(direction, polygons - start.unsqueeze(-2))  # (N, V), positive inside
    following, next_side = polygons.roll(-1, dims=-2), side.roll(-1, dims=-1)
    inside = side >= 0
    crossing = inside != (next_side >= 0)
    gap = side - next_side
    share = side / torch.where(gap == 0, torch.ones_like(gap), gap)
    cut = polygons + share.unsqueeze(-1) * (following - polygons)
    points = torch.stack([polygons, cut], dim=-2).flatten(-3, -2)  # vertex, cut, vertex, cut, ...
    keep = torch.stack([inside, crossing], dim=-1).flatten(-2)
    return _first_kept(points, keep, polygons.shape[-2] + 1)


def _first_kept(points: Tensor, keep: Tensor, count: int) -> Tensor:
    """Move kept points to the front, in order, and fill up with copies of the first; none kept: zeros."""
    place = keep.cumsum(dim=-1) - 1
    place = torch.where(keep & (place < count), place, count)  # the last place is thrown away
    room = points.new_zeros(*points.shape[:-2], count + 1, 2)
    kept = room.scatter(-2, place.unsqueeze(-1).expand_as(points), points).narrow(-2, 0, count)
    filled = torch.arange(count, device=keep.device) < keep.sum(dim=-1, keepdim=True)
    return torch.where(filled.unsqueeze(-1), kept, kept.narrow(-2, 0, 1))


def _areas(polygons: Tensor) -> Tensor:
    x, y = polygons.unbind(-1)
    return 0.5 * (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(-1)


def _turn(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """Return twice the signed area of triangles."""
    return _cross(q - p, r - p)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    (a_x, a_y), (b_x, b_y) = a.unbind(-1), b.unbind(-1)
    return a_x * b_y - a_y * b_x
