"""Glides (ORC): a quad as its horizontal box and four glides, and the way back.

A glide is the share of each side of the box walked clockwise before its vertex is met (spec 1.2, Gliding
Vertex arXiv:1911.09358).  That needs one vertex on each side; `approximate_quads` moves the few quads that
have none onto the nearest such quad (spec 1.3.2).
"""

import torch
from torch import Tensor

from utils.quads.clip import convex_intersection_areas
from utils.quads.geometry import clockwise_quads, quad_areas, quads_to_hboxes
from utils.selection import rows_where

NEARLY_HORIZONTAL = 0.9  # above this area ratio a quad is written and read as its horizontal box (spec 1.2)


def quads_to_glides(quads: Tensor) -> Tensor:
    """Return where each vertex lies on its side of the horizontal box, (..., 4) in [0, 1].

    Vertices and sides are top, right, bottom, left, measured clockwise.  Boxes without width or height
    give zeros.  Source: spec 1.2.
    """
    x_min, y_min, x_max, y_max = quads_to_hboxes(quads).unbind(-1)
    (top_x, _), (_, right_y), (bottom_x, _), (_, left_y) = (v.unbind(-1) for v in quads.unbind(-2))
    tiny = torch.finfo(quads.dtype).tiny
    width, height = (x_max - x_min).clamp(min=tiny), (y_max - y_min).clamp(min=tiny)
    glides = [
        (top_x - x_min) / width,
        (right_y - y_min) / height,
        (x_max - bottom_x) / width,
        (y_max - left_y) / height,
    ]
    return torch.stack(glides, dim=-1)


def glides_to_quads(hboxes: Tensor, glides: Tensor) -> Tensor:
    """Return the quads (..., 4, 2), top vertex first, of horizontal boxes and glides, both (..., 4).

    Glides in [0, 1] always give a convex quad; zeros give the box itself.  Source: spec 1.2.
    """
    x_min, y_min, x_max, y_max = hboxes.unbind(-1)
    top, right, bottom, left = glides.unbind(-1)
    width, height = x_max - x_min, y_max - y_min
    vertices = [
        torch.stack([x_min + top * width, y_min], dim=-1),
        torch.stack([x_max, y_min + right * height], dim=-1),
        torch.stack([x_max - bottom * width, y_max], dim=-1),
        torch.stack([x_min, y_max - left * height], dim=-1),
    ]
    return torch.stack(vertices, dim=-2)


def mask_glides(glides: Tensor, area_ratio: Tensor) -> Tensor:
    """Return the glides (..., 4) with zeros where the area ratio (...,) says horizontal (spec 1.2, 3.2)."""
    return torch.where((area_ratio > NEARLY_HORIZONTAL).unsqueeze(-1), torch.zeros_like(glides), glides)


def glides_to_area_ratios(glides: Tensor) -> Tensor:
    """Return area of quad / area of box, (...,) in [0, 1], of glides (..., 4) (spec 1.2, closed form)."""
    top, right, bottom, left = glides.unbind(-1)
    corners = top * (1 - left) + (1 - top) * right + (1 - right) * bottom + (1 - bottom) * left
    return 1 - corners / 2


def settle_glides(glides: Tensor, area_ratio: Tensor) -> Tensor:
    """Return `mask_glides` with zeros also where the box fits a predicted area ratio (...,) better.

    Objects that are nearly upright are written with glides near 0 or near 1.  A network in doubt predicts
    their mean, a diamond of half the area, while its area ratio stays high: the one that contradicts it
    is not believed.  Glides of ratios that agree are left alone.
    """
    box_is_nearer = 1 - area_ratio < area_ratio - glides_to_area_ratios(glides)
    return mask_glides(torch.where(box_is_nearer.unsqueeze(-1), torch.zeros_like(glides), glides), area_ratio)


def approximate_quads(quads: Tensor) -> Tensor:
    """Return quads (N, 4, 2) with one vertex on each side of their horizontal box: top, right, bottom, left.

    Each of the four rotations of the clockwise vertices has the four perpendicular coordinates replaced by
    the sides; the one of highest IoU with the original stays, ties to the first.  Quads that need no change
    are only rotated.  Source: spec 1.3.2.
    """
    clockwise = clockwise_quads(quads)
    rotations = torch.stack([clockwise.roll(-turn, dims=-2) for turn in range(4)])
    snapped = _snap_to_sides(rotations, quads_to_hboxes(quads))
    exact = (snapped == rotations).all(dim=-1).all(dim=-1)
    ious = exact.to(quads.dtype)
    (needed,) = rows_where([~exact.any(dim=0)])
    if len(needed):
        candidates, originals = snapped[:, needed], clockwise[needed].expand(4, -1, -1, -1)
        shared = convex_intersection_areas(originals.flatten(0, 1), candidates.flatten(0, 1)).view(4, -1)
        union = quad_areas(candidates) + quad_areas(originals) - shared
        ious[:, needed] = shared / union.clamp(min=torch.finfo(quads.dtype).tiny)
    best = ious.argmax(dim=0)
    return snapped[best, torch.arange(len(quads), device=quads.device)]


def _snap_to_sides(quads: Tensor, hboxes: Tensor) -> Tensor:
    x_min, y_min, x_max, y_max = (side.expand(quads.shape[:-2]) for side in hboxes.unbind(-1))
    (top_x, _), (_, right_y), (bottom_x, _), (_, left_y) = (v.unbind(-1) for v in quads.unbind(-2))
    vertices = [(top_x, y_min), (x_max, right_y), (bottom_x, y_max), (x_min, left_y)]
    return torch.stack([torch.stack(vertex, dim=-1) for vertex in vertices], dim=-2)
