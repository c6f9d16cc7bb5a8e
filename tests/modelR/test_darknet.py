"""Darknet-53 by its published counts, and the reader of its files against a slow writer."""

import logging
import struct
from pathlib import Path

import pytest
import torch
from torch import nn

from modelR.backbones.darknet import Darknet
from modelR.backbones.darknet_weights import DarknetWeightsError, known_content, load_darknet_weights

FLOATS_53 = 40_620_640  # spec 5.6
BYTES_53 = 162_482_580
HEADER = struct.pack("<iiiq", 0, 2, 0, 32_013_312)


def randomise(network: nn.Module) -> None:
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5)


def write_slowly(network: Darknet, path: Path, header: bytes = HEADER) -> None:
    """Write the file by names alone: the stem, then per stage the stride-2 unit and its residuals."""
    state = network.state_dict()
    units = ["stem"]
    for number, stage in enumerate(network.stages):
        units.append(f"stages.{number}.0")
        for residual in range(1, len(stage)):
            units += [f"stages.{number}.{residual}.{part}" for part in ("reduce", "expand")]
    with path.open("wb") as file:
        file.write(header)
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


@pytest.mark.parametrize(
    ("version", "count"),
    [((0, 1, 0), "i"), ((0, 1, 9), "i"), ((0, 2, 0), "q"), ((0, 2, 5), "q"), ((1, 0, 0), "q")],
)
def test_the_header_has_the_length_of_its_version(
    version: tuple[int, int, int], count: str, tmp_path: Path
) -> None:
    written, read = Darknet(0.25, 0.33), Darknet(0.25, 0.33)
    randomise(written)
    write_slowly(written, tmp_path / "a.weights", struct.pack("<iii" + count, *version, 1))
    load_darknet_weights(read, tmp_path / "a.weights")
    assert_same(written, read)


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0)])
def test_a_header_of_another_length_than_its_version_says_is_refused(
    version: tuple[int, int, int], tmp_path: Path
) -> None:
    network = Darknet(0.25, 0.33)
    header = struct.pack("<iii" + ("q" if version == (0, 1, 0) else "i"), *version, 1)
    write_slowly(network, tmp_path / "a.weights", header)
    wanted = 16 if version == (0, 1, 0) else 20
    with pytest.raises(DarknetWeightsError, match=rf"a header of {wanted} and "):
        load_darknet_weights(network, tmp_path / "a.weights")


def yolo_floats(classes: int, spp: bool) -> int:
    """All of YOLOv3, layer by layer."""

    def unit(inputs: int, outputs: int, kernel: int) -> int:
        return 4 * outputs + inputs * outputs * kernel**2

    total = FLOATS_53
    for inputs, width in ((1024, 512), (768, 256), (384, 128)):
        total += unit(inputs, width, 1) + 2 * unit(2 * width, width, 1) + 3 * unit(width, 2 * width, 3)
        total += (2 * width + 1) * 3 * (5 + classes)
    total += unit(512, 256, 1) + unit(256, 128, 1)  # up to the next level
    return total + unit(2048, 512, 1) * spp


KNOWN = {
    "darknet53.weights": (BYTES_53 + 4 * 1025 * 1000, "with its classifier"),
    "yolov3.weights": (248_007_048, "YOLOv3, 80 classes"),
    "yolov3-spp.weights": (252_209_544, "YOLOv3-SPP, 80 classes"),
    "boats.weights": (20 + 4 * yolo_floats(1, spp=False), "YOLOv3, 1 class"),
    "dota.weights": (20 + 4 * yolo_floats(15, spp=True), "YOLOv3-SPP, 15 classes"),
}


def sparse(path: Path, size: int, header: bytes) -> Path:
    """A file of zeros, but for the header and the first and the last float of the backbone, 3 and 7."""
    with path.open("wb") as file:
        file.write(header + struct.pack("<f", 3.0))
        file.seek(len(header) + 4 * (FLOATS_53 - 1))
        file.write(struct.pack("<2f", 7.0, 9.0)[: max(size - file.tell(), 0)])
        file.truncate(size)
    return path


@pytest.fixture(scope="module")
def darknet_53() -> Darknet:
    with torch.device("meta"):
        network = Darknet()
    return network.to_empty(device="cpu")


def test_layer_by_layer_the_totals_are_those_of_the_files() -> None:
    assert 20 + 4 * yolo_floats(80, spp=False) == KNOWN["yolov3.weights"][0]
    assert 20 + 4 * yolo_floats(80, spp=True) == KNOWN["yolov3-spp.weights"][0]


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", KNOWN)
def test_the_backbone_of_other_networks_is_taken(
    name: str, old: bool, darknet_53: Darknet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size, content = KNOWN[name]
    header = struct.pack("<iiii", 0, 1, 0, 5) if old else HEADER
    size += len(header) - len(HEADER)
    with caplog.at_level(logging.INFO):
        assert load_darknet_weights(darknet_53, sparse(tmp_path / name, size, header)) == FLOATS_53
    floats = (size - len(header)) // 4
    assert f"backbone of {name}: 40,620,640 of {floats:,} floats ({content})" in caplog.text
    assert darknet_53.stem.norm.bias.tolist() == [3.0] + [0.0] * 31
    last = darknet_53.stages[4][4].expand.conv.weight.detach()
    assert float(last.flatten()[-1]) == 7.0
    assert float(last.abs().sum()) == 7.0


@pytest.mark.parametrize("size", [size + more for size, _ in KNOWN.values() for more in (-4, -1, 4)])
def test_other_lengths_are_refused_and_the_known_ones_named(
    size: int, darknet_53: Darknet, tmp_path: Path
) -> None:
    file = sparse(tmp_path / "x.weights", size, HEADER)
    known = "darknet53.conv.74 162482580, darknet53.weights 166582580, yolov3.weights 248007048, "
    with pytest.raises(DarknetWeightsError, match=rf"found {size}; .*{known}yolov3-spp.weights 252209544"):
        load_darknet_weights(darknet_53, file)


def test_smaller_networks_take_their_own_files_alone(tmp_path: Path) -> None:
    file = sparse(tmp_path / "yolov3.weights", 248_007_048, HEADER)
    with pytest.raises(DarknetWeightsError, match=r"a classifier or detection head does not fit$"):
        load_darknet_weights(Darknet(0.25, 0.33), file)


@pytest.mark.parametrize("floats", [0, FLOATS_53, yolo_floats(0, spp=False), yolo_floats(-1, spp=True)])
def test_what_is_no_other_network_is_not_known(floats: int) -> None:
    assert known_content(floats) is None
