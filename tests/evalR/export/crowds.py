"""Crowded scenes of quads, and greedy suppression as a loop."""

import numpy as np
import torch
from shapely.geometry import Polygon
from torch import Tensor

from utils.quads.glides import glides_to_quads

CLASSES = 3


def crowd(seed: int, count: int, objects: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return quads (count, 4, 2) around a few objects, best first, their scores and classes."""
    chance = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=chance)

    centers, sides = 300 * drawn(objects, 2), 8 + 60 * drawn(objects, 2)
    glides, labels = drawn(objects, 4), torch.randint(CLASSES, (objects,), generator=chance)
    of = torch.randint(objects, (count,), generator=chance)
    boxes = torch.cat([centers - sides / 2, centers + sides / 2], dim=1)[of]
    boxes = boxes + 3 * torch.randn(count, 4, generator=chance)
    boxes = torch.cat([torch.minimum(boxes[:, :2], boxes[:, 2:] - 1), boxes[:, 2:]], dim=1)
    shaken = glides[of] + 0.05 * torch.randn(count, 4, generator=chance)
    scores = drawn(count).sort(descending=True).values
    return glides_to_quads(boxes, shaken.clamp(0, 1)), scores, labels[of]


def shapely_iou(a: Tensor, b: Tensor) -> float:
    """Return the IoU of two quads (4, 2)."""
    one, two = Polygon(a.double().numpy()), Polygon(b.double().numpy())
    if not one.area or not two.area:
        return 0.0
    shared = one.intersection(two).area
    return float(shared / (one.area + two.area - shared))


def greedy_loop(quads: Tensor, labels: Tensor, threshold: float) -> list[int]:
    """Return what greedy suppression keeps of quads that stand best first, one after another."""
    boxes = np.concatenate([quads.amin(1).numpy(), quads.amax(1).numpy()], axis=1)
    kept: list[int] = []
    for row in range(len(quads)):
        near = [
            k
            for k in kept
            if labels[k] == labels[row]
            and (boxes[k, :2] < boxes[row, 2:]).all()
            and (boxes[row, :2] < boxes[k, 2:]).all()
        ]
        if all(shapely_iou(quads[k], quads[row]) <= threshold for k in near):
            kept.append(row)
    return kept
