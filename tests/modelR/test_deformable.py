"""Deformable convolution against plain ones: at its places, shifted by whole cells, in half precision."""

import pytest
import torch
import torch.nn.functional as F

from modelR.deformable import ShiftedConv


@pytest.mark.parametrize("stride", [1, 2])
def test_it_starts_as_half_a_plain_convolution(stride: int) -> None:
    torch.manual_seed(0)
    layer = ShiftedConv(3, 4, stride)
    x = torch.randn(2, 3, 8, 6)
    plain = F.conv2d(x, 0.5 * layer.conv.weight, layer.conv.bias, stride, padding=1)  # masks of sigmoid(0)
    torch.testing.assert_close(layer(x), plain)


def test_shifts_are_rows_first_and_masks_come_last() -> None:
    torch.manual_seed(0)
    layer = ShiftedConv(3, 4)
    bias = torch.zeros(27)
    bias[0:18:2] = 1  # one cell down
    bias[1:18:2] = -2  # two cells to the left
    bias[18:] = torch.linspace(-2, 2, 9)
    layer.shifts.bias.data.copy_(bias)  # type: ignore[union-attr]
    x = torch.zeros(1, 3, 9, 9)
    x[..., 3:6, 3:6] = torch.randn(3, 3, 3)
    seen = x.roll((-1, 2), dims=(2, 3))  # what lies one down and two left comes to each cell
    masks = torch.sigmoid(bias[18:]).view(3, 3)
    torch.testing.assert_close(
        layer(x), F.conv2d(seen, layer.conv.weight * masks, layer.conv.bias, padding=1)
    )


@pytest.mark.parametrize("bias", [False, True])
def test_without_masks_it_starts_as_a_plain_convolution(bias: bool) -> None:
    torch.manual_seed(0)
    layer = ShiftedConv(3, 4, masked=False, bias=bias)
    assert layer.shifts.out_channels == 18
    x = torch.randn(2, 3, 8, 6)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.conv.weight, layer.conv.bias, padding=1))
    layer.shifts.bias.data[0::2] = 10  # type: ignore[index]
    seen = F.pad(x, (1, 1, 0, 2))  # what lies one cell down, zeros beyond the map
    torch.testing.assert_close(layer(x), F.conv2d(seen, layer.conv.weight, layer.conv.bias))


def test_half_precision_computes_places_in_full() -> None:
    torch.manual_seed(0)
    layer = ShiftedConv(3, 4)
    x = torch.randn(1, 3, 8, 8)
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.float32, "what stands behind it chooses its type again"
    torch.testing.assert_close(found, expected)
    found = layer.bfloat16()(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)


def test_no_images() -> None:
    assert ShiftedConv(3, 4, 2)(torch.zeros(0, 3, 8, 6)).shape == (0, 4, 4, 3)


def test_gradients_reach_places_and_masks() -> None:
    torch.manual_seed(0)
    layer = ShiftedConv(3, 4)
    layer(torch.randn(1, 3, 8, 6)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())
