"""Darknet ``.weights`` files read into the backbone (spec 5.6).

A file is a header of 20 bytes (three int32 of version, a 64-bit count of images seen) and float32 values:
per convolution the bias, weight, mean and variance of its batch norm, then its kernel (out, in, h, w).
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from modelR.layers import ConvUnit
from utils.errors import UserError

HEADER_BYTES = 20
FLOAT_BYTES = 4


class DarknetWeightsError(UserError):
    """A file that does not hold exactly the tensors of the network."""


def load_darknet_weights(network: nn.Module, path: str | Path) -> int:
    """Copy the file into the conv units of `network`, in definition order; return the number of floats read.

    Raises:
        DarknetWeightsError: the file is missing, or shorter or longer than the network by a single byte.
    """
    file = Path(path)
    if not file.is_file():
        raise DarknetWeightsError(f"{file}: no such weights file")
    tensors = darknet_tensors(network)
    floats = sum(tensor.numel() for tensor in tensors)
    found, expected = file.stat().st_size, HEADER_BYTES + FLOAT_BYTES * floats
    if found != expected:
        raise DarknetWeightsError(
            f"{file}: expected {expected} bytes (a header of {HEADER_BYTES} and {floats} floats) "
            f"for this backbone, found {found}; a file with a classifier or detection head does not fit"
        )
    values = torch.from_numpy(np.fromfile(file, dtype="<f4", offset=HEADER_BYTES).astype(np.float32))
    with torch.no_grad():
        for tensor, part in zip(tensors, torch.split(values, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))
    return floats


def darknet_tensors(network: nn.Module) -> list[Tensor]:
    """Return the parameters and running statistics of all conv units in the order of the file."""
    tensors: list[Tensor] = []
    for unit in network.modules():
        if isinstance(unit, ConvUnit):
            norm = unit.norm
            assert norm.running_mean is not None
            assert norm.running_var is not None
            tensors += [norm.bias, norm.weight, norm.running_mean, norm.running_var, unit.conv.weight]
    return tensors
