"""Where a run starts from, and batch norms over several processes."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from cfg.schema import Config, ModelConfig
from modelR import build
from modelR.build import build_model, init_model, sync_batch_norms
from modelR.necks.fpn import FpnNeck
from modelR.network import Network
from tests.modelR.test_network import tensors
from utils.checkpoint import CheckpointError, save_checkpoint


def model_of(num_classes: int, backbone: str = "darknet53") -> Network:
    return build_model(Config(model=ModelConfig(size="nano", backbone=backbone)), num_classes)


def saved(path: Path, classes: list[str], backbone: str = "darknet53") -> Network:
    torch.manual_seed(5)
    model = model_of(len(classes), backbone)
    save_checkpoint(path, {"config": "", "classes": classes, "model": model.state_dict()})
    return model


def differing(a: Network, b: Network) -> set[str]:
    left, right = a.state_dict(), b.state_dict()
    return {
        key for key in left if left[key].shape != right[key].shape or not torch.equal(left[key], right[key])
    }


@pytest.mark.parametrize("classes", [["ship", "plane"], ["ship", "plane", "car"], ["plane", "ship"]])
def test_other_classes_keep_all_but_the_class_outputs(tmp_path: Path, classes: list[str]) -> None:
    source = saved(tmp_path / "best.pt", ["ship", "plane"])
    model = model_of(len(classes))
    fit = init_model(model, tmp_path / "best.pt", classes)
    same = classes == ["ship", "plane"]
    outputs = {f"heads.{level}.classes.1.weight" for level in range(3)}
    bias = {f"heads.{level}.classes.1.bias" for level in range(3)}
    assert outputs | bias == set(model.class_outputs())
    assert set(fit.missing) == (set() if same else outputs | bias)
    assert differing(source, model) - bias == (set() if same else outputs)  # biases start alike


def test_another_size_loads_what_fits_and_another_network_nothing(tmp_path: Path) -> None:
    saved(tmp_path / "best.pt", ["a"])
    medium = build_model(Config(model=ModelConfig(size="small")), 1)
    fit = init_model(medium, tmp_path / "best.pt", ["a"])
    assert len(fit.misfits) > len(fit.loaded) > 0
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file"):
        init_model(medium, "none.pt", ["a"])


def test_the_averaged_weights_of_a_last_checkpoint_are_taken(tmp_path: Path) -> None:
    model, ema = model_of(1), model_of(1)
    averages = {f"module.{key}": value for key, value in ema.state_dict().items()}
    averages["n_averaged"] = torch.tensor(9)
    content = {"config": "", "classes": ["a"], "model": model.state_dict(), "ema": averages}
    save_checkpoint(tmp_path / "last.pt", content)
    fresh = model_of(1)
    init_model(fresh, tmp_path / "last.pt", ["a"])
    assert not differing(fresh, ema)


@pytest.mark.parametrize("backbone", ["darknet53", "timm/mobilenetv3_small_050", "timm/resnet10t"])
def test_synchronised_norms_compute_the_same(backbone: str) -> None:
    model = build_model(Config(model=ModelConfig(size="nano", backbone=backbone, freeze=2)), 1).eval()
    norms = sum(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = tensors(model(images))
        model = sync_batch_norms(model)
        after = tensors(model(images))
    assert sum(isinstance(part, nn.SyncBatchNorm) for part in model.modules()) == norms > 0
    assert not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert any(not part.training for part in model.train().modules()), "frozen norms stay frozen"


def test_levels_share_what_the_method_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apart = model_of(2)
    common = replace(apart.method, shared=("classes",), neck=partial(FpnNeck, width=8))
    monkeypatch.setattr(build, "build_method", lambda *_: common)
    model = model_of(2)
    first, *others = model.heads
    assert all(head.classes is first.classes and head.location is not first.location for head in others)
    outputs = set(model.class_outputs())
    assert outputs == {f"heads.{k}.classes.1.{name}" for k in range(3) for name in ("weight", "bias")}
    path = tmp_path / "trained.pt"
    save_checkpoint(path, {"config": "", "classes": ["ship", "plane"], "model": model.state_dict()})
    started = model_of(2)
    init_model(started, path, ["ship", "car"])
    assert differing(started, model) == {name for name in outputs if name.endswith("weight")}
