"""Anchors of a pyramid level, and boxes as deltas from them: the coding that anchor-based heads share.

Source: Faster R-CNN (arXiv:1506.01497), RetinaNet (arXiv:1708.02002); spec 12.1.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from dataloadR.assign.shapes import Level

LEAST_SHARE = 1e-3  # of a side of the anchor: what is shorter is coded as that long
MAX_LOG = math.log(1000 / 16)  # of a decoded side over that of its anchor; beyond it exp() only explodes

AnchorSides = tuple[tuple[float, float], ...]  # px, width and height of each anchor of a cell


def octave_sides(stride: int, scale: float, octaves: int, aspects: Sequence[float]) -> AnchorSides:
    """Return the anchors of a cell: `octaves` sizes within one octave, and of each size every aspect.

    Args:
        stride: px per cell.
        scale: strides, side of the smallest square.
        octaves: sizes up to twice that, each larger by the same factor.
        aspects: height over width; the area is that of the square.
    """
    sizes = [stride * scale * 2 ** (k / octaves) for k in range(octaves)]
    return tuple((size / math.sqrt(a), size * math.sqrt(a)) for size in sizes for a in aspects)


def level_anchors(level: Level, sides: Tensor) -> Tensor:
    """Return the anchors (H, W, A, 4) of one image, boxes around the centres of the cells of a level.

    Args:
        level: the maps; the batch does not matter.
        sides: (A, 2) px, width and height.
    """
    x = (torch.arange(level.columns, device=sides.device) + 0.5).to(sides.dtype) * level.stride
    y = (torch.arange(level.rows, device=sides.device) + 0.5).to(sides.dtype) * level.stride
    centers = torch.stack([x.expand(level.rows, -1), y.unsqueeze(-1).expand(-1, level.columns)], dim=-1)
    centers, half = centers.unsqueeze(2), 0.5 * sides
    return torch.cat([centers - half, centers + half], dim=-1)


def hboxes_to_deltas(hboxes: Tensor, anchors: Tensor) -> Tensor:
    """Return boxes (..., 4) as deltas from anchors (..., 4): x, y, log width, log height.

    The centre in sides of the anchor from its centre, the sides over those of the anchor.  Source: spec 12.1.
    """
    (middle, size), (center, side) = _middle_and_size(hboxes), _middle_and_size(anchors)
    return torch.cat([(middle - center) / side, (size / side).clamp(min=LEAST_SHARE).log()], dim=-1)


def deltas_to_hboxes(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Return the boxes (..., 4) px of deltas (..., 4) from anchors (..., 4), at most `MAX_LOG` larger."""
    center, side = _middle_and_size(anchors)
    shift, log_size = torch.unflatten(deltas, -1, (2, 2)).unbind(-2)
    middle, half = center + shift * side, 0.5 * side * log_size.clamp(max=MAX_LOG).exp()
    return torch.cat([middle - half, middle + half], dim=-1)


def _middle_and_size(hboxes: Tensor) -> tuple[Tensor, Tensor]:
    low, high = torch.unflatten(hboxes, -1, (2, 2)).unbind(-2)
    return 0.5 * (low + high), high - low
