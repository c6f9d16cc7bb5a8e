"""Suppression against their definitions, written slowly with shapely."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from benchmarks.operators import crowd, tree_nms
from utils.quads.iou import pairwise_quad_iou
from utils.quads.nms import batched_quad_groups, quad_nms
from utils.quads.nms_torch import greedy_groups_torch

ROOT = Path(__file__).parents[3]


def slow_nms(quads: Tensor, scores: Tensor, labels: Tensor, threshold: float) -> list[int]:
    polygons = [shapely.Polygon(quad.tolist()) for quad in quads]
    kept: list[int] = []
    for i in sorted(range(len(quads)), key=lambda i: (-float(scores[i]), i)):
        for k in kept:
            shared = polygons[i].intersection(polygons[k]).area
            if labels[i] == labels[k] and shared > threshold * (polygons[i].area + polygons[k].area - shared):
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


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.6])
def test_ten_thousand_boxes_agree_with_a_tree(threshold: float) -> None:
    quads, scores, labels = crowd(1250, 0)
    expected = tree_nms(quads, scores, labels, threshold)
    assert 1000 < len(expected) < 9000
    assert quad_nms(quads, scores, labels, threshold).tolist() == expected
    assert quad_nms(quads.flip(1), scores, labels, threshold, 100).tolist() == expected[:100]


def test_sizes_of_all_orders_and_far_places() -> None:
    """Specks among giants, one box a million pixels away, points and lines: the grid must lose none."""
    rng = np.random.default_rng(3)
    quads, scores, labels = random_scene(300, 3)
    quads = quads * torch.from_numpy(np.exp(rng.normal(0, 2.5, (300, 1, 1)))) + 1000
    quads[7] += 1e6
    quads[8], quads[9, 2:] = quads[8, :1], quads[9, :2].flip(0)
    small = slow_nms(quads, scores, labels, 0.05)
    assert quad_nms(quads, scores, labels, 0.05).tolist() == small
    assert {8, 9} <= set(small), "without area nothing overlaps"


@pytest.mark.parametrize("over", ["union", "smaller"])
def test_batches_and_the_way_of_the_gpu_agree(over: str) -> None:
    quads, scores, labels = (
        torch.cat(parts) for parts in zip(*(crowd(60, k) for k in range(4)), strict=True)
    )
    images = torch.tensor([3, 0, 7, 5]).repeat_interleave(480)
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(len(images)))
    quads, scores, labels, images = (values[shuffled] for values in (quads, scores, labels, images))
    scores = (scores * 50).round()  # many ties
    for limit in (None, 20, 0):
        expected = []
        for image in (0, 3, 5, 7):
            rows = (images == image).nonzero().squeeze(-1)
            expected += rows[quad_nms(quads[rows], scores[rows], labels[rows], 0.3, limit, over)].tolist()
        found = batched_quad_groups(quads, scores, labels, images, 0.3, limit, over).kept
        assert found.tolist() == expected
        kept, owners = greedy_groups_torch(quads, scores, labels, images, 0.3, limit, over == "smaller")
        assert kept.tolist() == expected
        groups = batched_quad_groups(quads, scores, labels, images, 0.3, limit, over)
        assert owners.tolist() == groups.owners.tolist()
    alone = quad_nms(quads, scores, None, 0.3, over=over)
    kept, _ = greedy_groups_torch(quads, scores, None, None, 0.3, None, over == "smaller")
    assert kept.tolist() == alone.tolist()


def test_what_is_removed_belongs_to_the_best_that_removes_it() -> None:
    quads, scores, labels = crowd(60, 2)
    images = torch.arange(len(labels)) % 2
    kept, owners = batched_quad_groups(quads, scores, labels, images, 0.3)
    ious = pairwise_quad_iou(quads, quads)
    for row in range(len(quads)):
        same = (labels[kept] == labels[row]) & (images[kept] == images[row])
        rivals = [k for k in kept[same].tolist() if k != row and ious[k, row] > 0.3]
        assert owners[row] == (row if row in kept else max(rivals, key=lambda k: float(scores[k])))


def test_suppression_by_the_share_of_the_smaller() -> None:
    whole, piece = torch.tensor([[0.0, 0.0], [10, 0], [10, 10], [0, 10]]), torch.tensor([0.3, 1.0])
    quads, scores = torch.stack([whole, whole * piece]), torch.tensor([0.9, 0.8])
    assert quad_nms(quads, scores, None, 0.5).tolist() == [0, 1]
    assert quad_nms(quads, scores, None, 0.5, over="smaller").tolist() == [0]


def test_no_images() -> None:
    none, empty = torch.zeros(0, 4, 2), torch.zeros(0, dtype=torch.int64)
    for found in (
        *batched_quad_groups(none, torch.zeros(0), empty, empty, 0.5),
        *greedy_groups_torch(none, torch.zeros(0), empty, empty, 0.5, 3, smaller=False),
    ):
        assert found.shape == (0,)
        assert found.dtype == torch.int64


def test_bad_input_is_named() -> None:
    quads, scores, labels = random_scene(5, 0)
    with pytest.raises(ValueError, match=r"labels: expected shape \(5,\) as there are quads, got \(4,\)"):
        quad_nms(quads, scores, labels[:4], 0.5)
    with pytest.raises(ValueError, match=r"images: expected shape \(5,\)"):
        batched_quad_groups(quads, scores, labels, labels[:2], 0.5)
    with pytest.raises(ValueError, match="iou_threshold: expected 0 to 1, got 45"):
        quad_nms(quads, scores, labels, 45)
    for bad in (torch.nan, torch.inf, -torch.inf):
        wrong, broken = scores.clone(), quads.clone()
        wrong[3], broken[2, 1, 0], broken[4, 0, 0] = bad, bad, bad
        with pytest.raises(ValueError, match=rf"scores\[3\]: expected a finite number, got {bad}"):
            quad_nms(quads, wrong, labels, 0.5)
        with pytest.raises(ValueError, match=r"quads\[2\]: expected finite coordinates, got .*(nan|inf)"):
            quad_nms(broken, scores, labels, 0.5)


@pytest.mark.parametrize("module", ["nms", "iou"])
def test_an_import_compiles_nothing(module: str) -> None:
    code = f"""
import utils.quads.{module}
from utils.quads import grid, kernels, parts
compiled = [d for m in (kernels, parts, grid) for d in vars(m).values() if getattr(d, "signatures", None)]
assert not compiled, compiled
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gpu_keeps_what_the_cpu_keeps(dtype: torch.dtype) -> None:
    quads, scores, labels = crowd(1250, 1)
    quads, scores = quads.to(dtype), scores.to(dtype)
    images = torch.arange(len(labels)) // 1000
    expected = batched_quad_groups(quads, scores, labels, images, 0.3, 500).kept
    found = batched_quad_groups(quads.cuda(), scores.cuda(), labels.cuda(), images.cuda(), 0.3, 500).kept
    assert found.is_cuda
    assert found.tolist() == expected.tolist()
