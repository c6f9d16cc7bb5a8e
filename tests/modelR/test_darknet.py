"""Darknet-53 by its published counts, and the reader of its files against a slow writer."""

import struct
from pathlib import Path

import pytest
import torch
from torch import nn

from modelR.backbones.darknet import Darknet
from modelR.backbones.darknet_weights import DarknetWeightsError, load_darknet_weights

FLOATS_53 = 40_620_640  # spec 5.6
BYTES_53 = 162_482_580


def randomise(network: nn.Module) -> None:
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)


def write_slowly(network: Darknet, path: Path) -> None:
    """Write the file by names alone: the stem, then per stage the stride-2 unit and its residuals."""
    state = network.state_dict()
    units = ["stem"]
    for number, stage in enumerate(network.stages):
        units.append(f"stages.{number}.0")
        for residual in range(1, len(stage)):
            units += [f"stages.{number}.{residual}.{part}" for part in ("reduce", "expand")]
    with path.open("wb") as file:
        file.write(struct.pack("<iiiq", 0, 2, 0, 32_013_312))
        for unit in units:
            for name in ("norm.bias", "norm.weight", "norm.running_mean", "norm.running_var", "conv.weight"):
                file.write(state[f"{unit}.{name}"].numpy().astype("<f4").tobytes())


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for (name, left), right in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(left, right), name


def test_darknet_53_has_its_parameters_and_convolutions() -> None:
    with torch.device("meta"):
        network = Darknet()
    assert sum(p.numel() for p in network.parameters()) == 40_584_928
    assert sum(isinstance(m, nn.Conv2d) for m in network.modules()) == 52
    assert network.channels == (256, 512, 1024)


@pytest.mark.parametrize(("width", "depth"), [(0.25, 0.33), (0.75, 0.67)])
def test_features_have_their_strides_and_channels(width: float, depth: float) -> None:
    network = Darknet(width, depth).eval()
    with torch.no_grad():
        features = network(torch.zeros(1, 3, 64, 96))
    expected = [(1, c, 64 // s, 96 // s) for c, s in zip(network.channels, (8, 16, 32), strict=True)]
    assert [tuple(f.shape) for f in features] == expected


def test_every_tensor_comes_back_from_a_file(tmp_path: Path) -> None:
    written, read = Darknet(0.25, 0.33), Darknet(0.25, 0.33)
    randomise(written)
    write_slowly(written, tmp_path / "a.weights")
    floats = load_darknet_weights(read, tmp_path / "a.weights")
    assert floats == ((tmp_path / "a.weights").stat().st_size - 20) / 4
    assert_same(written, read)


@pytest.mark.slow
def test_the_imagenet_file_has_the_published_size(tmp_path: Path) -> None:
    written, read = Darknet(), Darknet()
    randomise(written)
    path = tmp_path / "darknet53.conv.74"
    write_slowly(written, path)
    assert path.stat().st_size == BYTES_53
    assert load_darknet_weights(read, path) == FLOATS_53
    assert_same(written, read)


@pytest.mark.parametrize("difference", [-4, 4, -1])
def test_a_file_one_float_off_is_refused_and_nothing_is_read(tmp_path: Path, difference: int) -> None:
    network = Darknet(0.25, 0.33)
    path = tmp_path / "b.weights"
    write_slowly(network, path)
    size = path.stat().st_size
    path.write_bytes((path.read_bytes() + b"\0" * 4)[: size + difference])
    randomise(network)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(
        DarknetWeightsError, match=rf"b\.weights: expected {size} .* found {size + difference};"
    ):
        load_darknet_weights(network, path)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DarknetWeightsError, match=r"none\.weights: no such"):
        load_darknet_weights(Darknet(0.25, 0.33), tmp_path / "none.weights")
