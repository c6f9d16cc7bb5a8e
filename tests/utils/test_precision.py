"""The name of a precision against what autocast does."""

import pytest
import torch

from utils.precision import mixed_precision, precision_name


@pytest.mark.parametrize("native", [None, torch.bfloat16])
@pytest.mark.parametrize("wanted", [True, False])
def test_the_name_is_what_the_network_computes_in(
    native: torch.dtype | None, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.precision.half_type", lambda _: native)
    device = torch.device("cpu")
    with mixed_precision(device, wanted):
        computed = torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 1, 1))
    assert str(computed.dtype) == f"torch.{precision_name(device, wanted)}"
