"""Geometry of quadrilaterals: (..., 4, 2) pixels, x right and y down, ordinarily clockwise on the screen."""

import math

import torch
from torch import Tensor

from utils.quads.clip import FIRST_CROSSING, PART_ORDERS, clip_by_line, part_cases
from utils.selection import on_device

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
    """Return a mask (N,) of self-crossing quads (N, 4, 2): opposite edges cross, touching does not count."""
    return part_cases(quads) >= FIRST_CROSSING


def canonical_quads(quads: Tensor) -> Tensor:
    """Return the quads (N, 4, 2) clockwise on the screen from the topmost vertex, the leftmost of several."""
    clockwise = clockwise_quads(quads)
    x, y = clockwise.unbind(-1)
    top = torch.where(y == y.amin(dim=-1, keepdim=True), x, torch.inf).argmin(dim=-1, keepdim=True)
    order = (top + torch.arange(4, device=quads.device)) % 4
    return clockwise.gather(1, order.unsqueeze(-1).expand(-1, -1, 2))


def is_convex(quads: Tensor) -> Tensor:
    """Return which quads (N, 4, 2) are convex, (N,) bool; vertices in a line or on one another are."""
    edges = quads.roll(-1, dims=-2) - quads
    (x, y), (u, v) = edges.unbind(-1), edges.roll(-1, dims=-2).unbind(-1)
    turns = x * v - y * u
    return (turns >= 0).all(dim=-1) | (turns <= 0).all(dim=-1)


def uncrossed_quads(quads: Tensor) -> Tensor:
    """Return quads (N, 4, 2), the self-crossing ones with their vertices in the order of their hull."""
    case = part_cases(quads)
    return _in_order(quads, torch.where(case >= FIRST_CROSSING, case, 0))


def hull_quads(quads: Tensor) -> Tensor:
    """Return the convex hulls of four points each, (N, 4, 2); a hull of three repeats a vertex."""
    whole = uncrossed_quads(quads)
    doubled = whole.unsqueeze(1).repeat(1, 4, 1, 1)
    for k in range(4):  # the k-th without its k-th vertex
        doubled[:, k, k] = whole[:, k - 1]
    areas = quad_areas(doubled).amax(dim=1)
    best = quad_areas(doubled).argmax(dim=1)
    triangle = doubled[torch.arange(len(quads), device=quads.device), best]
    return torch.where((areas > quad_areas(whole))[:, None, None], triangle, whole)


def _in_order(quads: Tensor, case: Tensor) -> Tensor:
    orders = on_device([first for first, _ in PART_ORDERS], quads)[case]
    return quads.gather(1, orders.unsqueeze(-1).expand(-1, -1, 2))


def long_side_directions(quads: Tensor) -> Tensor:
    """Return unit vectors (N, 2) along the long side of the smallest edge-aligned enclosing rectangle.

    One rectangle per edge, ties to the first edge; quads whose vertices coincide give (1, 0).
    The sign of the direction has no meaning.  Source: spec 1.4.
    """
    along = _smallest_direction(quads, quads.roll(-1, dims=-2) - quads)
    across = _right_of(along)
    turned = _extents(quads, across.unsqueeze(1)) > _extents(quads, along.unsqueeze(1))
    return torch.where(turned, across, along)


def min_area_rectangles(points: Tensor) -> Tensor:
    """Return the smallest rectangles (N, 4, 2) around V points each, (N, V, 2), clockwise on the screen.

    The smallest is flush with an edge of the hull, so calipers are laid along every pair of points: right
    for convex, concave and self-crossing quads alike.  Meant for few points: work grows with V^3.
    Source: Freeman and Shapira, 1975; Toussaint, Rotating calipers, 1983.
    """
    first, second = torch.combinations(torch.arange(points.shape[1], device=points.device)).unbind(-1)
    origin = points.narrow(1, 0, 1)
    along = _smallest_direction(points - origin, points[:, second] - points[:, first])
    axes = torch.stack([along, _right_of(along)], dim=1)  # (N, 2 axes, 2)
    projected = (points - origin) @ axes.transpose(1, 2)
    low, high = projected.amin(dim=1), projected.amax(dim=1)
    corners = hboxes_to_quads(torch.cat([low, high], dim=1))
    return corners @ axes + origin


def _smallest_direction(points: Tensor, edges: Tensor) -> Tensor:
    """Return the direction (N, 2) of the edge (N, E, 2) with the smallest rectangle, ties to the first."""
    lengths = edges.norm(dim=-1)
    along = edges / lengths.clamp(min=torch.finfo(points.dtype).tiny).unsqueeze(-1)
    areas = _extents(points, along) * _extents(points, _right_of(along))
    areas = torch.where(lengths > 0, areas, torch.inf)
    best = (areas <= areas.amin(dim=-1, keepdim=True) * (1 + TIE)).int().argmax(dim=-1)
    direction = along[torch.arange(len(points), device=points.device), best]
    fallback = on_device([1.0, 0.0], points, points.dtype)
    return torch.where((lengths > 0).any(dim=-1, keepdim=True), direction, fallback)


def _right_of(directions: Tensor) -> Tensor:
    """Return directions (..., 2) turned clockwise on the screen by a right angle."""
    x, y = directions.unbind(-1)
    return torch.stack([-y, x], dim=-1)


def _extents(points: Tensor, directions: Tensor) -> Tensor:
    """Return how far points (N, V, 2) reach along each direction (N, E, 2), as (N, E)."""
    projected = directions @ points.transpose(-1, -2)
    return projected.amax(dim=-1) - projected.amin(dim=-1)


def quad_angles(quads: Tensor) -> Tensor:
    """Return the angles (N,) of the long side in radians, clockwise from +x on the screen, in [0, pi)."""
    x, y = long_side_directions(quads).unbind(-1)
    return torch.atan2(y, x).remainder(math.pi)


def edge_aligned_sides(quads: Tensor) -> Tensor:
    """Return the sides (N, 2) of the rectangle of `long_side_directions`, the long one first."""
    along = long_side_directions(quads).unsqueeze(1)
    return torch.cat([_extents(quads, along), _extents(quads, _right_of(along))], dim=1)


def clip_quads(quads: Tensor, hboxes: Tensor) -> Tensor:
    """Return what of convex quads (N, 4, 2) lies in horizontal boxes (N, 4) or (4,), as polygons (N, 8, 2).

    Spare places repeat the first vertex; where nothing stays all are zeros.
    """
    corners = hboxes_to_quads(hboxes.to(quads).expand(len(quads), 4))
    polygons = quads
    for k in range(4):
        polygons = clip_by_line(polygons, corners[:, k], corners[:, (k + 1) % 4])
    return polygons


def reduce_to_quads(polygons: Tensor) -> Tensor:
    """Return polygons (N, V, 2), V >= 4, as quads: the shortest edge becomes its middle until four are left.

    Repeated vertices go first, so what has four vertices stays as it is; a triangle repeats one.
    Source: spec 9.2, the devkit's rule for five vertices.
    """
    while polygons.shape[1] > 4:
        count = polygons.shape[1]
        following = polygons.roll(-1, dims=1)
        shortest = (following - polygons).norm(dim=-1).argmin(dim=-1, keepdim=True)
        place = torch.arange(count, device=polygons.device)
        middle = (place == shortest).unsqueeze(-1)
        polygons = torch.where(middle, 0.5 * (polygons + following), polygons)
        dropped = (shortest + 1) % count
        kept = (place != dropped).nonzero().select(-1, 1).view(len(polygons), count - 1)
        polygons = polygons.gather(1, kept.unsqueeze(-1).expand(-1, -1, 2))
    return polygons


def transform_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Return points (..., P, 2) moved by an affine matrix (2, 3), or by one for each row (..., 2, 3)."""
    return points @ matrix.narrow(-1, 0, 2).mT + matrix.select(-1, 2).unsqueeze(-2)


def invert_affine(matrix: Tensor) -> Tensor:
    """Return the inverse of an affine matrix (2, 3)."""
    linear = torch.linalg.inv(matrix[:, :2])
    return torch.cat([linear, -(linear @ matrix[:, 2:])], dim=1)
