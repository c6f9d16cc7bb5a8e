"""Networks of LO-Det, NPMMR-Det, RTMDet-R, and all parts that a setting chooses: counts, types, export."""

import math

import pytest
import torch
from torch import Tensor, nn

from cfg.load import load_config
from modelR.build import build_model
from modelR.deformable import ShiftedConv
from modelR.detectors.gghl.detector import STRIDES
from modelR.detectors.npmmr import RefinedHead
from modelR.network import Network
from tests.modelR.test_network import tensors
from tests.training_runs import ROOT
from utils.errors import UserError

MEMBERS = ("lo_det", "npmmr")
NETWORKS = {
    "lo_det": ["cfg/detectors/lo_det.yaml"],
    "npmmr": ["cfg/detectors/npmmr.yaml"],
    "rtmdet_r": ["cfg/detectors/rtmdet_r.yaml"],
    "cspnext": ["model.backbone=cspnext"],
    "mit_b1": ["model.backbone=mit_b1"],
    "fpn": ["model.neck=fpn"],
    "pafpn": ["model.neck=pafpn"],
}


def network(name: str, *words: str, classes: int = 3) -> Network:
    torch.manual_seed(0)
    files = [str(ROOT / word) for word in NETWORKS[name] if word.endswith(".yaml")]
    others = [word for word in NETWORKS[name] if not word.endswith(".yaml")]
    return build_model(load_config(files, [*others, *words]), classes)


def count(*layers: nn.Module) -> int:
    return sum(p.numel() for layer in layers for p in layer.parameters())


@pytest.mark.parametrize(
    ("name", "backbone", "rest"), [("lo_det", 2_223_872, 4_497_893), ("npmmr", None, 28_547_282)]
)
def test_counts(name: str, backbone: int | None, rest: int) -> None:
    with torch.device("meta"):
        model = network(name, classes=15)
    assert count(model.neck, *model.heads) == rest
    assert backbone in (None, count(model.backbone))
    assert name != "lo_det" or count(model) == 6_721_765


@pytest.mark.parametrize("size", [(64, 96), (160, 128)])
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_and_backward(name: str, size: tuple[int, int]) -> None:
    model = network(name, "model.size=nano", "model.dropblock=0.1")
    levels = model(torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8))
    for level, stride in zip(levels, STRIDES, strict=True):
        cells = (2, size[0] // stride, size[1] // stride)
        assert level.stride == stride
        assert level.edge_logits.shape == level.glide_logits.shape == (*cells, 4)
        assert level.ratio_logit.shape == level.objectness_logit.shape == cells
        assert level.class_logits.shape == (*cells, 3)
    sum(field.square().mean() for field in tensors(levels)).backward()  # type: ignore[union-attr]
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision_is_finite(name: str) -> None:
    model = network(name, "model.size=nano")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        levels = model(255 * torch.rand(2, 3, 64, 96))  # as bright as no image is
    fields = tensors(levels)
    assert all(field.isfinite().all() for field in fields)
    sum(field.float().square().mean() for field in fields).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("batch", [0, 1])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_images_and_one(name: str, batch: int) -> None:
    if name == "mit_b1" and batch == 0:
        pytest.skip("timm's transformers take no empty batch")
    with torch.no_grad():
        levels = network(name, "model.size=nano").eval()(torch.rand(batch, 3, 64, 64))
    assert [level.objectness_logit.shape for level in levels] == [(batch, 64 // s, 64 // s) for s in STRIDES]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_export_computes_the_same(name: str) -> None:
    model = network(name, "model.size=nano").eval()
    images = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    program = torch.export.export(model, (images,), strict=False)
    other = torch.randint(0, 256, (1, 3, 64, 96), dtype=torch.uint8)
    with torch.no_grad():
        pairs = zip(tensors(program.module()(other)), tensors(model(other)), strict=True)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)


def shifting(model: Network) -> list[nn.Conv2d]:
    """Return the convolutions that say where deformable ones read."""
    owners = [part for part in model.modules() if isinstance(part, ShiftedConv | RefinedHead)]
    return [owner.shifts for owner in owners]


@pytest.mark.parametrize(("name", "number"), [("lo_det", 2), ("npmmr", 5)])
def test_shifts_start_from_zero(name: str, number: int) -> None:
    convolutions = shifting(network(name, "model.size=nano"))
    assert len(convolutions) == number
    assert all((p == 0).all() for conv in convolutions for p in conv.parameters())


@pytest.mark.parametrize("classes", [1, 5])
@pytest.mark.parametrize("name", MEMBERS)
def test_training_starts_from_few_objects_and_even_classes(name: str, classes: int) -> None:
    model = network(name, "model.size=nano", classes=classes).eval()
    with torch.no_grad():
        for level in model(torch.rand(1, 3, 128, 128)):
            assert level.objectness_logit.mean().item() == pytest.approx(math.log(0.01 / 0.99), abs=0.2)
            even = -math.log(max(classes - 1, 1))
            assert level.class_logits.mean().item() == pytest.approx(even, abs=0.2)
            assert level.ratio_logit.abs().max().item() < 1


@pytest.mark.parametrize("name", MEMBERS)
def test_class_outputs_alone_depend_on_the_classes(name: str) -> None:
    one, five = (network(name, "model.size=nano", classes=n) for n in (1, 5))
    shapes = {key: value.shape for key, value in one.state_dict().items()}
    other = {key: value.shape for key, value in five.state_dict().items()}
    assert {key for key in shapes if shapes[key] != other[key]} == set(one.class_outputs())


@pytest.mark.parametrize("name", MEMBERS)
def test_a_batch_gives_what_its_images_give(name: str) -> None:
    model = network(name, "model.size=nano").eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        both, second = tensors(model(images)), tensors(model(images[1:]))
    pairs: list[tuple[Tensor, Tensor]] = list(zip(both, second, strict=True))
    for batch, single in pairs:
        torch.testing.assert_close(batch[1:], single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MEMBERS)
def test_other_levels_and_no_classes_are_refused(name: str) -> None:
    message = rf"model\.strides: expected none, {name} has three levels at strides 8, 16 and 32"
    with pytest.raises(UserError, match=message):
        network(name, "model.strides=16,32")
    with pytest.raises(ValueError, match="at least one class, got 0"):
        network(name, "model.size=nano", classes=0)


@pytest.mark.parametrize("name", MEMBERS)
def test_rules_that_look_at_predictions_count_micro_batches(name: str) -> None:
    words = ("model.size=nano", "assign.rule=tal", "train.accumulate=4")
    plain = build_model(load_config(None, words), 3).method.targets
    own = network(name, *words).method
    assert own.is_dynamic
    assert own.targets.warmup == plain.warmup > 0  # type: ignore[attr-defined]
