"""Quad NMS against the greedy definition, written slowly with shapely."""

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from utils.quad_nms import quad_nms


def slow_nms(quads: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> list[int]:
    polygons = [shapely.Polygon(quad.tolist()) for quad in quads]
    kept: list[int] = []
    for i in sorted(range(len(quads)), key=lambda i: (-float(scores[i]), i)):
        for k in kept:
            shared = polygons[i].intersection(polygons[k]).area
            if labels[i] == labels[k] and shared / (polygons[i].area + polygons[k].area - shared) > threshold:
                break
        else:
            kept.append(i)
    return kept


def random_scene(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rotated rectangles of very different sizes in a crowded image; scores with ties."""
    rng = np.random.default_rng(seed)
    angles, sides = rng.uniform(0, 2 * np.pi, count), rng.lognormal(2.5, 0.8, (count, 2))
    along = np.stack([np.cos(angles), np.sin(angles)], -1) * sides[:, :1] / 2
    across = np.stack([-np.sin(angles), np.cos(angles)], -1) * sides[:, 1:] / 2
    corners = np.stack([-along - across, along - across, along + across, across - along], 1)
    quads = torch.from_numpy(corners + rng.uniform(0, 120, (count, 1, 2)))
    scores = torch.from_numpy(rng.integers(1, 40, count) / 40)
    return quads, scores, torch.from_numpy(rng.integers(0, 3, count))


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.45, 0.8])
@pytest.mark.parametrize("seed", [0, 1])
def test_agrees_with_the_definition(threshold: float, seed: int) -> None:
    quads, scores, labels = random_scene(150, seed)
    kept = quad_nms(quads, scores, labels, threshold)
    assert kept.dtype == torch.int64
    assert kept.tolist() == slow_nms(quads, scores, labels, threshold)
    assert quad_nms(quads, scores, None, threshold).tolist() == slow_nms(
        quads, scores, torch.zeros(150), threshold
    )
    assert quad_nms(quads, scores, labels, threshold, 7).tolist() == kept[:7].tolist()


def test_iou_at_the_threshold_stays() -> None:
    square = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [3.0, 1.0], [0.0, 1.0]]])
    quads = torch.cat([square, square + torch.tensor([1.0, 0.0])])  # share 2 of 4
    scores = torch.tensor([0.5, 0.9])
    assert quad_nms(quads, scores, None, 0.5).tolist() == [1, 0]
    assert quad_nms(quads, scores, None, 0.49).tolist() == [1]


def test_classes_never_meet_in_huge_images() -> None:
    quads = torch.tensor([[[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]]]).repeat(2, 1, 1)
    quads[1] += 4096.0  # where an offset of class times 4096 would collide
    assert quad_nms(quads, torch.tensor([0.9, 0.8]), torch.tensor([1, 0]), 0.3).tolist() == [0, 1]


def test_no_quads() -> None:
    none = torch.zeros(0, 4, 2)
    for labels in (None, torch.zeros(0, dtype=torch.int64)):
        kept = quad_nms(none, torch.zeros(0), labels, 0.5)
        assert kept.shape == (0,)
        assert kept.dtype == torch.int64


def test_bad_input_is_named() -> None:
    quads, scores, labels = random_scene(5, 0)
    with pytest.raises(ValueError, match=r"labels: expected shape \(5,\) as there are quads, got \(4,\)"):
        quad_nms(quads, scores, labels[:4], 0.5)
    scores[3] = torch.nan
    with pytest.raises(ValueError, match=r"scores\[3\]: expected a number, got NaN"):
        quad_nms(quads, scores, labels, 0.5)
