"""Rotated rectangles (N, 5): cx, cy, long, short in pixels and an angle; for import and export alone.

Ours: the angle of the long side in radians, clockwise on the screen from +x, in [0, pi), and of a square in
[0, pi / 2).  Other tools store width, height and the angle of the width, clockwise as well, and differ in its
range:

| name | width | angle | where |
|---|---|---|---|
| le90 | the long side | [-pi/2, pi/2) | MMRotate |
| le135 | the long side | [-pi/4, 3pi/4) | MMRotate, S2ANet |
| oc | the side met first | (0, pi/2] | MMRotate, OpenCV 4.5.1 to 4.12 |

Source: spec 1.4; Zhou et al., MMRotate, 2022 (arXiv:2204.13317), section 3.
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


def rboxes_from_sides(boxes: Tensor) -> Tensor:
    """Return (N, 5) of cx, cy, width, height, angle of the width - le90, le135 or oc - in our convention."""
    x, y, width, height, angle = boxes.unbind(-1)
    angle = torch.where(width >= height, angle, angle + QUARTER)
    long, short = torch.maximum(width, height), torch.minimum(width, height)
    return _ours(torch.stack([x, y], dim=-1), long, short, angle)


def rboxes_to_le90(rboxes: Tensor) -> Tensor:
    """Return our rectangles with the angle of the long side in [-pi/2, pi/2)."""
    return _with_angle(rboxes, _wrapped(rboxes.select(-1, 4), -QUARTER))


def rboxes_to_le135(rboxes: Tensor) -> Tensor:
    """Return our rectangles with the angle of the long side in [-pi/4, 3pi/4)."""
    return _with_angle(rboxes, _wrapped(rboxes.select(-1, 4), -QUARTER / 2))


def rboxes_to_oc(rboxes: Tensor) -> Tensor:
    """Return our rectangles as width, height and the angle of the width in (0, pi/2]."""
    x, y, long, short, angle = rboxes.unbind(-1)
    upright = (angle > 0) & (angle <= QUARTER)
    width, height = torch.where(upright, long, short), torch.where(upright, short, long)
    turned = torch.where(angle > 0, angle - QUARTER, angle + QUARTER)
    return torch.stack([x, y, width, height, torch.where(upright, angle, turned)], dim=-1)


def _ours(centre: Tensor, long: Tensor, short: Tensor, angle: Tensor) -> Tensor:
    square = long - short <= TIE * long
    angle = torch.where(square, _wrapped(angle, 0.0, QUARTER), _wrapped(angle, 0.0))
    x, y = centre.unbind(-1)
    return torch.stack([x, y, long, short, angle], dim=-1)


def _wrapped(angle: Tensor, low: float, period: float = math.pi) -> Tensor:
    """Return the angle plus whole periods, in [low, low + period)."""
    turned = (angle - low).remainder(period)
    return torch.where(turned >= period, 0.0, turned) + low  # a remainder of -1e-20 rounds up to the period


def _with_angle(rboxes: Tensor, angle: Tensor) -> Tensor:
    x, y, width, height, _ = rboxes.unbind(-1)
    return torch.stack([x, y, width, height, angle], dim=-1)
