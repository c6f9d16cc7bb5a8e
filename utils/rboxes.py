"""Rotated rectangles (N, 5): cx, cy, long, short in pixels and an angle; for import and export alone.

Ours: the angle of the long side in radians, clockwise on the screen from +x, in [0, pi), and of a square in
[0, pi / 2).  Other tools store width, height and the angle of the width, clockwise as well, in a range of
their own.  Source: spec 1.4.
"""

import math

import torch
from torch import Tensor

from utils.quads.geometry import TIE, min_area_rectangles

QUARTER = math.pi / 2


def quads_to_rboxes(quads: Tensor) -> Tensor:
    """Return the smallest rectangles around quads (N, 4, 2) as (N, 5) in our convention."""
    corners = min_area_rectangles(quads)
    sides = corners.roll(-1, dims=1) - corners
    first, second = sides.select(1, 0), sides.select(1, 1)
    width, height = first.norm(dim=-1), second.norm(dim=-1)
    direction = torch.where((width >= height).unsqueeze(-1), first, second)
    x, y = direction.unbind(-1)
    centre = corners.mean(dim=1)
    return _ours(centre, torch.maximum(width, height), torch.minimum(width, height), torch.atan2(y, x))


def rboxes_to_quads(rboxes: Tensor) -> Tensor:
    """Return rectangles of any of these conventions as quads (N, 4, 2), clockwise on the screen."""
    x, y, width, height, angle = rboxes.unbind(-1)
    cos, sin = angle.cos() / 2, angle.sin() / 2
    along = torch.stack([width * cos, width * sin], dim=-1)
    across = torch.stack([-height * sin, height * cos], dim=-1)
    centre = torch.stack([x, y], dim=-1)
    corners = [-along - across, along - across, along + across, across - along]
    return torch.stack([centre + corner for corner in corners], dim=-2)


def _ours(centre: Tensor, long: Tensor, short: Tensor, angle: Tensor) -> Tensor:
    square = long - short <= TIE * long
    angle = torch.where(square, _wrapped(angle, 0.0, QUARTER), _wrapped(angle, 0.0))
    x, y = centre.unbind(-1)
    return torch.stack([x, y, long, short, angle], dim=-1)


def _wrapped(angle: Tensor, low: float, period: float = math.pi) -> Tensor:
    """Return the angle plus whole periods, in [low, low + period)."""
    turned = (angle - low).remainder(period)
    return torch.where(turned >= period, 0.0, turned) + low  # a remainder of -1e-20 rounds up to the period
