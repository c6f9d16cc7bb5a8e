"""Means and votes of groups against loops over them."""

import pytest
import torch
from torch import Tensor

from benchmarks.operators import crowd
from utils.quads.fusion import fuse_quads, vote_quads
from utils.quads.geometry import is_convex
from utils.quads.iou import pairwise_quad_iou
from utils.quads.nms import batched_quad_groups, quad_nms

SQUARE = torch.tensor([[0.0, 0.0], [10, 0], [10, 10], [0, 10]], dtype=torch.float64)


def groups_of(quads: Tensor, scores: Tensor, labels: Tensor) -> dict[int, list[int]]:
    """Return the rows of each quad that suppression at 0.3 keeps, itself first."""
    kept = quad_nms(quads, scores, labels, 0.3).tolist()
    ious, groups = pairwise_quad_iou(quads, quads), {row: [row] for row in kept}
    for row in set(range(len(quads))) - set(kept):
        groups[next(k for k in kept if labels[k] == labels[row] and ious[k, row] > 0.3)].append(row)
    return groups


def slow_mean(quads: Tensor, weights: Tensor, rows: list[int]) -> Tensor:
    total, mean = 0.0, torch.zeros(4, 2, dtype=torch.float64)
    for row in rows:
        turns = [quads[row].roll(turn, 0) for turn in range(4)]
        mean += weights[row] * min(turns, key=lambda quad: float((quad - quads[rows[0]]).norm()))
        total += float(weights[row])
    return mean / total


def test_fusion_by_hand() -> None:
    moved = (SQUARE + torch.tensor([1.0, 2.0])).flip(0).roll(2, 0)  # another direction and first vertex
    quads = torch.stack([SQUARE, moved, SQUARE + 100])
    scores, labels = torch.tensor([0.6, 0.3, 0.5]).double(), torch.tensor([1, 1, 1])
    fused = fuse_quads(quads, scores, labels, 0.5)
    assert fused.leaders.tolist() == [0, 2]
    torch.testing.assert_close(fused.quads[0], SQUARE + torch.tensor([1.0, 2.0]).double() / 3)
    torch.testing.assert_close(fused.quads[1], SQUARE + 100)
    assert fused.scores.tolist() == pytest.approx([0.6, 0.5])
    assert fuse_quads(quads, scores, labels, 0.5, views=3).scores.tolist() == pytest.approx([0.3, 0.5 / 3])
    apart = fuse_quads(quads, scores, torch.tensor([1, 2, 1]), 0.5)
    assert apart.leaders.tolist() == [0, 2, 1]
    nothing = fuse_quads(quads, torch.zeros(3).double(), labels, 0.5)
    torch.testing.assert_close(nothing.quads[0], SQUARE)


def test_fused_quads_are_the_means_of_the_groups_of_nms() -> None:
    quads, scores, labels = crowd(80, 6)
    fused = fuse_quads(quads, scores, labels, 0.3)
    groups = groups_of(quads, scores, labels)
    assert fused.leaders.tolist() == list(groups)
    for rows, found in zip(groups.values(), fused.quads, strict=True):
        torch.testing.assert_close(found, slow_mean(quads, scores, rows))
    assert is_convex(fused.quads).all()


def test_votes_by_hand() -> None:
    quads = torch.stack([SQUARE, (SQUARE + torch.tensor([2.0, 0.0])).roll(1, 0), SQUARE + 6, SQUARE + 100])
    scores = torch.tensor([0.8, 0.4, 0.7, 0.5], dtype=torch.float64)
    groups = batched_quad_groups(quads, scores, None, None, 0.05)  # all but the last are of the first
    voted = vote_quads(quads, scores, groups, 0.5)  # IoUs 80 / 120 and 16 / 184
    torch.testing.assert_close(voted.quads, torch.stack([SQUARE + torch.tensor([0.4, 0.0]), SQUARE + 100]))
    assert voted.support.tolist() == pytest.approx([0.4 * 80 / 120, 0.0])
    alone = vote_quads(quads, scores, groups, 1.0)
    assert torch.equal(alone.quads, quads[groups.kept])
    assert alone.support.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("limit", [None, 40])
def test_votes_agree_with_a_loop(limit: int | None) -> None:
    quads, scores, labels = crowd(80, 6)
    groups = batched_quad_groups(quads, scores, labels, None, 0.3, limit)
    voted = vote_quads(quads, scores, groups, 0.5)
    ious, moved = pairwise_quad_iou(quads, quads), 0
    expected = list(groups_of(quads, scores, labels).items())[:limit]
    for k, (kept, rows) in enumerate(expected):
        voters = [row for row in rows if row == kept or ious[kept, row] > 0.5]
        torch.testing.assert_close(voted.quads[k], slow_mean(quads, scores**2, voters))
        support = sum(float(scores[row] * ious[kept, row]) for row in voters[1:])
        assert voted.support[k].item() == pytest.approx(support)
        moved += len(voters) > 1
    assert len(voted.quads) == len(expected)
    assert moved > 20


def test_nobody_votes_where_nothing_is() -> None:
    quads, scores = torch.zeros(0, 4, 2), torch.zeros(0)
    voted = vote_quads(quads, scores, batched_quad_groups(quads, scores, None, None, 0.5), 0.5)
    assert voted.quads.shape == (0, 4, 2)
    assert voted.support.shape == fuse_quads(quads, scores, None, 0.5).leaders.shape == (0,)


def test_bad_input_is_named() -> None:
    quads, scores, labels = torch.stack([SQUARE] * 5), torch.ones(5), torch.zeros(5)
    with pytest.raises(ValueError, match=r"scores\[2\]: expected 0 or above"):
        fuse_quads(quads, scores - 2.0 * (torch.arange(5) == 2), labels, 0.5)
    with pytest.raises(ValueError, match=r"scores\[3\]: expected a finite number, got nan"):
        fuse_quads(quads, scores.index_fill(0, torch.tensor([3]), torch.nan), labels, 0.5)
    with pytest.raises(ValueError, match=r"quads\[2\]: expected finite coordinates, got .*inf"):
        fuse_quads(quads.index_fill(0, torch.tensor([2]), torch.inf), scores, labels, 0.5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_votes_of_the_gpu_are_those_of_the_cpu() -> None:
    quads, scores, labels = crowd(300, 6)
    expected = vote_quads(quads, scores, batched_quad_groups(quads, scores, labels, None, 0.3), 0.5)
    quads, scores, labels = quads.cuda(), scores.cuda(), labels.cuda()
    voted = vote_quads(quads, scores, batched_quad_groups(quads, scores, labels, None, 0.3), 0.5)
    for found, same in zip(voted, expected, strict=True):
        torch.testing.assert_close(found.cpu(), same)
