"""Geometry of quadrilaterals: (..., 4, 2) pixels, x right and y down, ordinarily clockwise on the screen.

ORC writes a convex quad as its horizontal box and four glides, the share of each side of the box walked
clockwise before its vertex is met (spec 1.2, Gliding Vertex arXiv:1911.09358).  That needs one vertex on
each side; `approximate_quads` moves the few quads that have none onto the nearest such quad (spec 1.3.5).
"""

import math

import torch
from torch import Tensor

from utils.quad_clip import convex_intersection_areas

NEARLY_HORIZONTAL = 0.9  # above this area ratio a quad is written and read as its horizontal box (spec 1.2)
TIE = 1e-6  # relative; rectangles on opposite or flush edges differ by rounding alone


def quads_to_hboxes(quads: Tensor) -> Tensor:
    """Return the enclosing horizontal boxes, (..., 4) as x_min, y_min, x_max, y_max."""
    return torch.cat([quads.amin(dim=-2), quads.amax(dim=-2)], dim=-1)


def hboxes_to_quads(hboxes: Tensor) -> Tensor:
    """Return horizontal boxes (..., 4) as quads (..., 4, 2), clockwise from the upper left corner."""
    x_min, y_min, x_max, y_max = hboxes.unbind(-1)
    corners = [x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max]
    return torch.unflatten(torch.stack(corners, dim=-1), -1, (4, 2))


def signed_areas(quads: Tensor) -> Tensor:
    """Return the areas, (...,), positive where the vertices run clockwise on the screen (shoelace)."""
    x, y = (quads - quads.mean(dim=-2, keepdim=True)).unbind(-1)  # about the centre: no cancellation far out
    return 0.5 * (x * y.roll(-1, -1) - y * x.roll(-1, -1)).sum(-1)


def quad_areas(quads: Tensor) -> Tensor:
    """Return the areas, (...,), whatever the direction of the vertices."""
    return signed_areas(quads).abs()


def clockwise_quads(quads: Tensor) -> Tensor:
    """Return the quads with their vertices clockwise on the screen, the first vertex kept."""
    reverse = (signed_areas(quads) < 0)[..., None, None]
    first, second, third, fourth = quads.unbind(-2)
    return torch.where(reverse, torch.stack([first, fourth, third, second], dim=-2), quads)


def self_crossing(quads: Tensor) -> Tensor:
    """Return which quads (N, 4, 2) have opposite edges that cross, (N,) bool; touching does not count."""
    a, b, c, d = quads.unbind(-2)
    return _segments_cross(a, b, c, d) | _segments_cross(b, c, d, a)


def _segments_cross(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    def side(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        (x, y), (u, v) = (q - p).unbind(-1), (r - p).unbind(-1)
        return torch.sign(x * v - y * u)

    return (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)


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


def approximate_quads(quads: Tensor) -> Tensor:
    """Return quads (N, 4, 2) with one vertex on each side of their horizontal box: top, right, bottom, left.

    Each of the four rotations of the clockwise vertices has the four perpendicular coordinates replaced by
    the sides; the one of highest IoU with the original stays, ties to the first.  Quads that need no change
    are only rotated.  Source: spec 1.3.5.
    """
    clockwise = clockwise_quads(quads)
    rotations = torch.stack([clockwise.roll(-turn, dims=-2) for turn in range(4)])
    snapped = _snap_to_sides(rotations, quads_to_hboxes(quads))
    exact = (snapped == rotations).all(dim=-1).all(dim=-1)
    ious = exact.to(quads.dtype)
    needed = ~exact.any(dim=0)
    if needed.any():
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


def long_side_directions(quads: Tensor) -> Tensor:
    """Return unit vectors (N, 2) along the long side of the smallest edge-aligned enclosing rectangle.

    One rectangle per edge, ties to the first edge; quads whose vertices coincide give (1, 0).
    The sign of the direction has no meaning.  Source: design, section 6; replaces the angle of spec 1.4.
    """
    edges = quads.roll(-1, dims=-2) - quads
    lengths = edges.norm(dim=-1)
    along = edges / lengths.clamp(min=torch.finfo(quads.dtype).tiny).unsqueeze(-1)  # (N, 4 edges, 2)
    across = torch.stack([-along.unbind(-1)[1], along.unbind(-1)[0]], dim=-1)
    length, width = _extents(quads, along), _extents(quads, across)
    areas = torch.where(lengths > 0, length * width, torch.inf)
    best = (areas <= areas.amin(dim=-1, keepdim=True) * (1 + TIE)).int().argmax(dim=-1, keepdim=True)
    turned = (width.gather(-1, best) > length.gather(-1, best)).unsqueeze(-1)
    index = best.unsqueeze(-1).expand(-1, -1, 2)
    direction = torch.where(turned, across.gather(-2, index), along.gather(-2, index)).squeeze(-2)
    fallback = torch.tensor([1.0, 0.0], dtype=quads.dtype, device=quads.device)
    return torch.where((lengths > 0).any(dim=-1, keepdim=True), direction, fallback)


def _extents(quads: Tensor, directions: Tensor) -> Tensor:
    """Return how far the vertices (N, 4, 2) reach along each direction (N, E, 2), as (N, E)."""
    projected = directions @ quads.transpose(-1, -2)
    return projected.amax(dim=-1) - projected.amin(dim=-1)


def quad_angles(quads: Tensor) -> Tensor:
    """Return the angles (N,) of the long side in radians, clockwise from +x on the screen, in [0, pi)."""
    x, y = long_side_directions(quads).unbind(-1)
    return torch.atan2(y, x).remainder(math.pi)


def transform_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Return points (..., 2) moved by an affine matrix (2, 3)."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def invert_affine(matrix: Tensor) -> Tensor:
    """Return the inverse of an affine matrix (2, 3)."""
    linear = torch.linalg.inv(matrix[:, :2])
    return torch.cat([linear, -(linear @ matrix[:, 2:])], dim=1)
