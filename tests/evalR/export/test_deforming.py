"""Deformable convolution in plain operators, beside torchvision's."""

import pytest
import torch

from evalR.export.deforming import PlainDeforming
from modelR.deformable import ShiftedConv


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(13, 20), (1, 1), (2, 7)])
def test_sampling_is_the_deformable_convolution(masked: bool, stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = ShiftedConv(4, 6, stride, masked=masked).eval()
    torch.nn.init.normal_(conv.shifts.weight, std=1.0 if masked else 10.0)  # far beyond the map, too
    x = torch.randn(2, 4, *size)
    with torch.no_grad():
        expected = conv(x)
        with PlainDeforming():
            found = conv(x)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(conv(x), expected, atol=0, rtol=0)  # the mode is over
