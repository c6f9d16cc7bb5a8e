"""Layers against loops written from spec 5.2 and 5.4."""

import pytest
import torch
from torch import Tensor

from modelR.layers import DropBlock, SpatialPyramidPooling, drop_blocks


def slow_maximum(plane: Tensor, side: int) -> Tensor:
    """The maximum over the cells of a window that lie on the map."""
    half = side // 2
    result = torch.empty_like(plane)
    for row in range(plane.shape[0]):
        for column in range(plane.shape[1]):
            rows = slice(max(row - half, 0), row + half + 1)
            columns = slice(max(column - half, 0), column + half + 1)
            result[row, column] = plane[rows, columns].max()
    return result


@pytest.mark.parametrize("size", [(1, 1), (4, 5), (17, 14)])
def test_pyramid_pooling_matches_a_loop(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer = SpatialPyramidPooling(2)
    x = torch.randn(1, 2, *size)
    planes = [torch.stack([slow_maximum(p, side) for p in x.squeeze(0)]) for side in (1, 5, 9, 13)]
    weight = layer.mix.weight.reshape(2, 8)
    expected = torch.einsum("oi,ihw->ohw", weight, torch.cat(planes)) + layer.mix.bias[:, None, None]
    torch.testing.assert_close(layer(x).squeeze(0), expected)


def test_drop_blocks_matches_a_loop() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 11)
    seeds = torch.rand(2, 9, 11) < 0.05
    kept = torch.ones(2, 9, 11)
    for image, row, column in seeds.nonzero().tolist():
        for r in range(max(row - 1, 0), min(row + 2, 9)):
            for c in range(max(column - 1, 0), min(column + 2, 11)):
                kept[image, r, c] = 0.0
    expected = x * kept[:, None] * kept.numel() / kept.sum()
    torch.testing.assert_close(drop_blocks(x, seeds, 3), expected)


def test_dropblock_drops_at_its_probability_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer = DropBlock(0.1)
    y = layer(torch.ones(64, 2, 50, 50))
    share = 1 - (1 - 0.1 / 9) ** 9  # a cell stays when none of the nine seeds around it is drawn
    assert (y == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert y.mean().item() == pytest.approx(1.0, abs=1e-4)
    first, second = y.unbind(1)
    assert torch.equal(first, second), "all channels of a cell share their fate"


def test_dropblock_leaves_evaluation_and_probability_0_alone() -> None:
    x = torch.randn(1, 2, 5, 5)
    assert DropBlock(0.9).eval()(x) is x
    assert DropBlock(0.0)(x) is x


def test_drop_blocks_survives_a_map_that_is_dropped_whole() -> None:
    assert drop_blocks(torch.ones(1, 2, 3, 3), torch.ones(1, 3, 3, dtype=torch.bool), 3).sum() == 0


@pytest.mark.parametrize("arguments", [(1.0,), (-0.1,), (0.1, 2)])
def test_dropblock_refuses_impossible_settings(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="DropBlock: expected"):
        DropBlock(*arguments)
