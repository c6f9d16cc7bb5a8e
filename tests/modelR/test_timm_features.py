"""Backbones of timm: published counts, shapes, weights from files, normalisation, frozen stages."""

import logging
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from cfg.schema import Config, ModelConfig
from modelR.backbones import timm_features as module
from modelR.backbones.darknet import Darknet
from modelR.backbones.timm_features import BackboneError, timm_features
from modelR.build import build_model
from modelR.network import Network
from tests.methods import STRIDES
from tests.modelR.test_network import tensors
from utils.errors import UserError

SMALL = "mobilenetv3_small_050"
# Published totals less the classifier: 25,557,032 - 2,049,000; 28,589,128 - 769,000 - 1,536 (its norm);
# 5,483,032 - 1,281,000 - 1,230,080 (the convolution before it); Darknet-53 of spec 5.6.
PARAMETERS = {
    "resnet50": 23_508_032,
    "convnext_tiny": 27_818_592,
    "mobilenetv3_large_100": 2_971_952,
    "darknet53": 40_584_928,
}
CHANNELS = {
    "resnet50": (512, 1024, 2048),
    "convnext_tiny": (192, 384, 768),
    "mobilenetv3_large_100": (40, 112, 960),
    "darknet53": (256, 512, 1024),
}


def model_of(name: str, **settings: Any) -> Network:
    torch.manual_seed(0)
    return build_model(Config(model=ModelConfig(backbone=f"timm/{name}", dropblock=0.0, **settings)), 3)


def write(name: str, path: Path) -> dict[str, torch.Tensor]:
    """Save a whole network, classifier and all, with weights that no initialisation gives."""
    torch.manual_seed(1)
    state = timm.create_model(name).state_dict()
    state = {k: torch.rand_like(v) + 0.5 if v.is_floating_point() else v for k, v in state.items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return state


@pytest.mark.parametrize("name", PARAMETERS)
def test_counts_and_channels(name: str) -> None:
    with torch.device("meta"):
        backbone = timm_features(name, STRIDES)
    assert sum(p.numel() for p in backbone.parameters()) == PARAMETERS[name]
    assert backbone.channels == CHANNELS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_forward_and_backward(name: str) -> None:
    model = model_of(name)
    levels = model(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8))
    assert [level.objectness_logit.shape for level in levels] == [(2, 8, 12), (2, 4, 6), (2, 2, 3)]
    sum(field.square().mean() for field in tensors(levels)).backward()  # type: ignore[union-attr]
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def test_images_are_normalised_inside() -> None:
    backbone = timm_features(SMALL, STRIDES).eval()
    images = torch.rand(1, 3, 64, 64)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
    by_hand = torch.stack([(images[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    with torch.no_grad():
        pairs = zip(backbone(images), backbone.body(by_hand), strict=True)
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)
    assert {"mean", "std"} <= set(backbone.state_dict()), "a checkpoint knows what its weights want"


def test_no_images() -> None:
    with torch.no_grad():
        levels = model_of(SMALL).eval()(torch.zeros(0, 3, 64, 64, dtype=torch.uint8))
    assert [level.objectness_logit.shape for level in levels] == [(0, 8, 8), (0, 4, 4), (0, 2, 2)]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("name", [SMALL, "resnet10t", "convnext_atto"])
def test_weights_of_a_file_arrive(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    state = write(name, path)
    with caplog.at_level(logging.INFO):
        model = model_of(name, weights=str(path))
    backbone = model.backbone
    assert isinstance(backbone, module.TimmFeatures)
    by_name = {key.replace(".", "_"): value for key, value in state.items()}  # timm renames a.0 to a_0
    for key, value in backbone.body.state_dict().items():
        assert torch.equal(value, by_name[key.replace(".", "_")]), key
    assert caplog.messages == [f"{path}: all {len(backbone.body.state_dict())} tensors of timm/{name}"]


def short(path: Path) -> None:
    state = write(SMALL, path)
    del state["conv_stem.weight"], state["bn1.bias"]
    torch.save(state, path)


FILES = {
    "other": (lambda p: write("convnext_atto", p), r"conv_stem\.weight missing; .* and \d+ more"),
    "larger": (
        lambda p: write("mobilenetv3_small_100", p),
        r"conv_pw\.weight \(16, 16, 1, 1\) instead of \(8, 16, 1, 1\); .* and \d+ more",
    ),
    "short": (short, r"conv_stem\.weight missing; bn1\.bias missing$"),
    "empty": (lambda p: torch.save({}, p), "expected tensors, found nothing"),
    "numbers": (lambda p: torch.save({"epoch": 3}, p), "expected tensors, found epoch"),
    "list": (lambda p: torch.save([1], p), "expected a checkpoint"),
    "text": (lambda p: p.write_text("0 1 ship\n" * 20), "expected a checkpoint"),
    "code": (lambda p: torch.save({"a": Path("x")}, p), "which needs code to be run"),
    "zip": (lambda p: p.write_bytes(b"PK\x03\x04" + bytes(90)), "damaged or truncated"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_do_not_fit(tmp_path: Path, kind: str) -> None:
    writer, message = FILES[kind]
    path = tmp_path / "b.pth"
    writer(path)
    with pytest.raises(BackboneError, match=message) as caught:
        model_of(SMALL, weights=str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    write(SMALL, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BackboneError, match=r"c\.safetensors: expected a checkpoint"):
        model_of(SMALL, weights=str(path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet500", r"no network 'resnet500'; the nearest: timm/resnet50\b"),
        ("timm/hf-hub:a/b", "no network 'hf-hub:a/b'"),
        ("timm/resnet50.nonsense", "Invalid pretrained tag"),
        ("timm/deit_tiny_patch16_224", "expected features at strides 8, 16, 32, timm/deit.* has 16"),
        ("timm/inception_v3", "inception_v3"),
        ("timm/swin_tiny_patch4_window7_224", "does not take images of any size"),
        ("resnet50", "expected .*timm/NAME, got 'resnet50'"),
        ("darknet35", "got 'darknet35'"),
    ],
)
def test_names_that_are_no_backbone(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_model(Config(model=ModelConfig(backbone=name)), 1)
    assert "\n" not in str(caught.value)


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def offline(*words: Any, pretrained: bool = False, **settings: Any) -> nn.Module:
        if pretrained:
            raise FileNotFoundError("no connection\nat all")
        return create(*words, **settings)

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(BackboneError, match=r"no weights of timm/mob\w+ \(no connection\); model\.weights="):
        model_of(SMALL, pretrained=True)


@pytest.mark.parametrize(
    ("name", "stages", "parts"),
    [
        ("resnet10t", 2, {"conv1", "bn1", "layer1"}),
        ("resnet10t", 3, {"conv1", "bn1", "layer1", "layer2"}),
        ("convnext_atto", 2, {"stem_0", "stem_1", "stages_0"}),
        ("convnext_atto", 5, {"stem_0", "stem_1", *(f"stages_{i}" for i in range(4))}),
    ],
)
def test_frozen_stages_by_name(name: str, stages: int, parts: set[str]) -> None:
    backbone = model_of(name, freeze=stages).backbone
    assert isinstance(backbone, module.TimmFeatures)
    frozen = {key for key, p in backbone.body.named_parameters() if not p.requires_grad}
    assert {key.split(".")[0] for key in frozen} == parts
    assert {key for key, _ in backbone.body.named_parameters() if key.split(".")[0] in parts} == frozen


def test_a_stage_finer_than_the_first_features_cannot_be_frozen() -> None:
    with pytest.raises(BackboneError, match=r"model\.freeze=1: expected 0 or 2 to 5"):
        model_of("convnext_atto", freeze=1)


def backbone_of(name: str, stages: int) -> Network:
    if name == "darknet53":
        return build_model(Config(model=ModelConfig(size="nano", freeze=stages)), 3)
    return model_of(name, freeze=stages)


@pytest.mark.parametrize("name", ["darknet53", SMALL, "resnet10t"])
def test_frozen_stages_do_not_move(name: str) -> None:
    model = backbone_of(name, stages=3).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    frozen = {key for key, p in model.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    sum(field.square().mean() for field in tensors(model(torch.rand(2, 3, 64, 64)))).backward()  # type: ignore[union-attr]
    optimizer.step()
    owners = {key.rpartition(".")[0] for key in frozen}
    for key, value in model.state_dict().items():
        moved = not torch.equal(value, before[key])
        fixed = key.rpartition(".")[0] in owners or key in ("backbone.mean", "backbone.std")
        assert not (moved and fixed), key
    norms = {key for key, part in model.named_modules() if isinstance(part, nn.BatchNorm2d)}
    assert {key for key in norms if not model.get_submodule(key).training} == norms & owners
    assert 0 < len(norms & owners) < len(norms)
    model.eval()
    assert not any(part.training for part in model.modules())


def test_stages_of_darknet() -> None:
    with torch.device("meta"):
        network = Darknet()
    assert network.early_parameters(0) == []
    assert {key.split(".")[0] for key in network.early_parameters(1)} == {"stem", "stages"}
    tensors = [len(network.early_parameters(stages)) for stages in range(1, 6)]
    units = [4, 9, 26, 43, 52]  # the stem and, per stage, one conv unit and two per residual unit (spec 5.1)
    assert tensors == [3 * count for count in units], "a kernel, a gain and a bias each"
