"""Shared area of convex quads with its exact gradient, vectorised over pairs (spec 4.8).

The border of what two quads share is what of each side lies in the other quad.  The four half-planes of the
other quad cut each side, and what they keep adds its part to the area (Green): no vertex is listed or sorted.
A vertex that moves takes its two sides with it, and the area grows by what their kept parts sweep.
"""

from typing import NamedTuple

import torch
from torch import Tensor

PARALLEL = 1e-9  # sine of the angle below which two sides are parallel
ON_LINE = 1e-9  # distance below which parallel sides lie on one line, in extents of the pair


class Areas(NamedTuple):
    """Areas of K pairs, and their gradients by x and y of the eight vertices."""

    values: Tensor  # (K,)
    by_x: Tensor  # (8, K)
    by_y: Tensor


class Sides(NamedTuple):
    """The sides of K quads, clockwise on the screen, (4, K) each."""

    x: Tensor  # where they begin
    y: Tensor
    dx: Tensor  # how far they go
    dy: Tensor
    length: Tensor
    is_short: Tensor  # bool: a point, which cuts nothing


class Kept(NamedTuple):
    """What part of a side the other quad keeps, (4, K) each, in lengths of the side."""

    first: Tensor
    last: Tensor  # not below `first`


def pair_areas(x: Tensor, y: Tensor, short: float) -> tuple[Areas, Tensor, Areas]:
    """Return the areas that pairs of convex quads share, those of both quads (2, K), and their sums.

    Quads that touch or lie apart share 0, with gradient 0; of sides that coincide that of the first counts.

    Args:
        x: (8, K) float64 in extents of the pair, four vertices of either quad, in any direction.
        y: likewise.
        short: sides below this length are points.
    """
    (a, a_turned), (b, b_turned) = (
        _sides(*own, short) for own in zip(torch.split(x, 4), torch.split(y, 4), strict=True)
    )
    kept_a, kept_b = _cut(a, b)
    shared_a, *by_a = _swept(a, kept_a, a_turned)
    shared_b, *by_b = _swept(b, kept_b, b_turned)
    shared = Areas(shared_a + shared_b, *(torch.cat(own) for own in zip(by_a, by_b, strict=True)))
    (area_a, *by_a), (area_b, *by_b) = _whole(a, a_turned), _whole(b, b_turned)
    both = Areas(area_a + area_b, *(torch.cat(own) for own in zip(by_a, by_b, strict=True)))
    return shared, torch.stack([area_a, area_b]), both


def _sides(x: Tensor, y: Tensor, short: float) -> tuple[Sides, Tensor]:
    """Return the sides of quads (4, K), and which had to be turned around, (K,) bool."""
    turned = (x * y.roll(-1, 0) - y * x.roll(-1, 0)).sum(dim=0) < 0
    x, y = (torch.where(turned, _around(own), own) for own in (x, y))
    dx, dy = x.roll(-1, 0) - x, y.roll(-1, 0) - y
    length = (dx * dx + dy * dy).sqrt()
    return Sides(x, y, dx, dy, length, length < short), turned


def _around(rows: Tensor) -> Tensor:
    """Return rows (4, K) in the other direction, the first kept."""
    return rows.flip(0).roll(1, 0)


def _cut(a: Sides, b: Sides) -> tuple[Kept, Kept]:
    """Return what each side keeps within the other quad: tables of side of `a`, side of `b`, pair."""
    own, other = Sides(*(field.unsqueeze(1) for field in a)), Sides(*(field.unsqueeze(0) for field in b))
    away_x, away_y = own.x - other.x, own.y - other.y
    turn = other.dx * own.dy - other.dy * own.dx
    a_inside = other.dx * away_y - other.dy * away_x  # where a side of `a` begins, times the length of b's
    b_inside = own.dy * away_x - own.dx * away_y
    is_parallel = (turn.abs() <= PARALLEL * own.length * other.length) | own.is_short | other.is_short
    turn = torch.where(is_parallel, 1.0, turn)
    leaves, enters = (turn < 0) & ~is_parallel, (turn > 0) & ~is_parallel  # sides of `a`; those of `b` do
    a_at, b_at = -a_inside / turn, b_inside / turn  # the other thing
    a_keeps, b_keeps = _parallel_keep(own, other, a_inside)
    a_is_out, b_is_out = is_parallel & ~a_keeps, is_parallel & ~b_keeps
    return (
        _kept(a_at, enters, leaves, a_is_out, dim=1),
        _kept(b_at, leaves, enters, b_is_out, dim=0),
    )


def _parallel_keep(own: Sides, other: Sides, a_inside: Tensor) -> tuple[Tensor, Tensor]:
    """Return where parallel sides of `a` and of `b` lie within each other's half-planes, bool tables.

    Of two that run the same way exactly one does, so that a side of both quads counts once.
    """
    edge = ON_LINE * other.length
    same_way = own.dx * other.dx + own.dy * other.dy >= 0
    is_in = a_inside > edge  # of logic alone, for engines choose between numbers only
    a_keeps = is_in | (same_way & (a_inside >= -edge))
    b_keeps = (is_in & ~same_way) | (same_way & (a_inside < -edge))
    return a_keeps | other.is_short, b_keeps | own.is_short


def _kept(at: Tensor, enters: Tensor, leaves: Tensor, is_out: Tensor, dim: int) -> Kept:
    """Return what is left of sides that cross lines `at` a part of their length, over the lines in `dim`."""
    first = torch.where(enters, at, 0.0).amax(dim=dim).clamp(min=0)
    last = torch.where(leaves, at, 1.0).amin(dim=dim).clamp(max=1)
    last = torch.where(is_out.any(dim=dim), first, torch.maximum(first, last))
    return Kept(first, last)


def _swept(sides: Sides, kept: Kept, turned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the area (K,) beside the kept parts, and its gradients by x and y of the vertices, (4, K)."""
    part = kept.last - kept.first
    area = 0.5 * (part * (sides.x * sides.dy - sides.y * sides.dx)).sum(dim=0)
    of_end = 0.5 * part * (kept.last + kept.first)
    return area, *_moved(sides, part - of_end, of_end, turned)


def _whole(sides: Sides, turned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the area (K,) of the quad, and its gradients by x and y of the vertices, (4, K)."""
    area = 0.5 * (sides.x * sides.dy - sides.y * sides.dx).sum(dim=0)
    half = torch.full_like(sides.x, 0.5)
    return area, *_moved(sides, half, half, turned)


def _moved(sides: Sides, of_start: Tensor, of_end: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients (4, K) of an area by vertices, which sweep these shares of a side at its ends."""
    by_x = sides.dy * of_start + (sides.dy * of_end).roll(1, 0)
    by_y = -(sides.dx * of_start + (sides.dx * of_end).roll(1, 0))
    return torch.where(turned, _around(by_x), by_x), torch.where(turned, _around(by_y), by_y)
