"""The whole network: published counts, shapes, initial state, gradients."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cfg.schema import Config, ModelConfig
from modelR.backbones.darknet_weights import DarknetWeightsError
from modelR.build import build_model
from modelR.layers import DropBlock
from modelR.network import Network
from utils.checkpoint import CheckpointError
from utils.records import LevelPrediction


def nano(num_classes: int = 3, dropblock: float | None = None) -> Network:
    torch.manual_seed(0)
    return build_model(Config(model=ModelConfig(size="nano", dropblock=dropblock)), num_classes)


def tensors(levels: list[LevelPrediction]) -> list[Tensor]:
    return [field for level in levels for field in level if isinstance(field, Tensor)]


def test_large_has_the_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        model = build_model(Config(model=ModelConfig(size="large")), 15)
    assert sum(p.numel() for p in model.parameters()) == 68_782_123
    assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 75


def test_large_has_the_operations_of_the_paper() -> None:
    macs = 0

    def count(layer: nn.Conv2d, _: object, output: Tensor) -> None:
        nonlocal macs
        macs += output.numel() * layer.weight[0].numel()

    with torch.device("meta"):
        model = build_model(Config(model=ModelConfig(size="large")), 15)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(count)
        levels = model(torch.zeros(1, 3, 800, 800))
    assert round(macs / 1e9, 2) == 130.26
    assert [level.objectness_logit.shape[-1] for level in levels] == [100, 50, 25]


@pytest.mark.parametrize(("size", "expected"), [("nano", 0.0), ("medium", 0.0), ("large", 0.1)])
def test_dropblock_belongs_to_large(size: str, expected: float) -> None:
    with torch.device("meta"):
        model = build_model(Config.model_validate({"model": {"size": size}}), 1)
        chosen = build_model(Config.model_validate({"model": {"size": size, "dropblock": 0.2}}), 1)
    assert {m.probability for m in model.modules() if isinstance(m, DropBlock)} == {expected}
    assert {m.probability for m in chosen.modules() if isinstance(m, DropBlock)} == {0.2}


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_shapes_of_inputs_that_are_not_square(num_classes: int, batch: int) -> None:
    model = nano(num_classes).eval()
    with torch.no_grad():
        levels = model(torch.zeros(batch, 3, 64, 96, dtype=torch.uint8))
    assert [level.stride for level in levels] == [8, 16, 32]
    for level in levels:
        cells = (batch, 64 // level.stride, 96 // level.stride)
        assert level.edge_logits.shape == level.glide_logits.shape == (*cells, 4)
        assert level.ratio_logit.shape == level.objectness_logit.shape == cells
        assert level.class_logits.shape == (*cells, num_classes)


def test_bytes_and_floats_give_the_same() -> None:
    model = nano().eval()
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        pairs = zip(tensors(model(images)), tensors(model(images.float() / 255)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_batch_gives_what_its_images_give() -> None:
    model = nano().eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        both, second = tensors(model(images)), tensors(model(images[1:]))
    for batch, single in zip(both, second, strict=True):
        torch.testing.assert_close(batch[1:], single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_classes", [1, 5])
def test_training_starts_from_few_objects_and_even_classes(num_classes: int) -> None:
    model = nano(num_classes).eval()
    with torch.no_grad():
        for level in model(torch.rand(1, 3, 128, 128)):
            assert level.objectness_logit.mean().item() == pytest.approx(math.log(0.01 / 0.99), abs=0.2)
            even = -math.log(max(num_classes - 1, 1))
            assert level.class_logits.mean().item() == pytest.approx(even, abs=0.2)
            assert level.edge_logits.abs().max().item() < 1


@pytest.mark.parametrize("dropblock", [0.0, 0.1])
def test_gradients_reach_every_parameter(dropblock: float) -> None:
    model = nano(dropblock=dropblock)
    loss = sum((field.square().mean() for field in tensors(model(torch.rand(2, 3, 96, 64)))), torch.zeros(()))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 64, 64), r"\(B, 3, H, W\), got \(3, 64, 64\)"),
        (torch.zeros(1, 1, 64, 64), r"got \(1, 1, 64, 64\)"),
        (torch.zeros(1, 3, 64, 72), "multiples of 32, got 64 x 72"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.int64), "got torch.int64"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nano()(images)


def test_no_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one class, got 0"):
        build_model(Config(model=ModelConfig(size="nano")), 0)


def test_weights_are_read_or_their_absence_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere\.weights"):
        build_model(Config(model=ModelConfig(size="nano", weights="nowhere.weights")), 1)
    short = tmp_path / "short.weights"
    short.write_bytes(b"\0" * 100)
    with pytest.raises(DarknetWeightsError, match="found 100"):
        build_model(Config(model=ModelConfig(size="nano", weights=str(short))), 1)
    full = tmp_path / "full.weights"
    full.write_bytes(file_of_halves(nano()))
    model = build_model(Config(model=ModelConfig(size="nano", weights=str(full))), 1)
    assert all((p == 0.5).all() for p in model.backbone.parameters())


def file_of_halves(model: Network) -> bytes:
    """A header and as many halves as the backbone has floats."""
    floats = sum(p.numel() for p in model.backbone.parameters())
    floats += sum(b.numel() for n, b in model.backbone.named_buffers() if "running" in n)
    header = b"\0\0\0\0\2\0\0\0\5\0\0\0" + bytes(8)  # version 0.2.5: 64 bits of images seen
    return header + b"\0\0\0\x3f" * floats
