"""Checkpoints to predict with: whatever is damaged in one is a line that names the key."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cfg.load import load_config
from evalR.inference.load import load_detector
from modelR.build import build_model, init_model
from tests.evalR.tiny_checkpoint import CLASSES, write_tiny_checkpoint
from utils.checkpoint import CheckpointError
from utils.checkpoint_values import check_usable

GOOD: dict[str, Any] = {"format": 1, "config": "", "classes": ["a"], "model": {"w": torch.ones(2)}}
STRANGE = [None, "text", -3, float("nan"), [], {"a": "x"}, [[]], torch.zeros(2), True, ["a", "a"], ["a", 1]]


@pytest.mark.parametrize("key", ["config", "classes", "model", "thresholds", "ema"])
def test_every_damage_is_one_line(key: str) -> None:
    harmless = {"config": "text", "thresholds": None}
    for new in STRANGE:
        if key in harmless and type(new) is type(harmless[key]):
            continue
        with pytest.raises(CheckpointError) as caught:
            check_usable({**GOOD, key: new}, Path("x.pt"))
        assert str(caught.value).startswith(f"x.pt: damaged, or of another program: {key}")
        assert "\n" not in str(caught.value)


def test_all_that_takes_weights_asks(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path)
    torch.save({**torch.load(path, weights_only=True), "thresholds": "text"}, path)
    with pytest.raises(CheckpointError, match=rf"{path}: damaged, .*: thresholds: expected a score"):
        load_detector(path, [], lambda _: torch.device("cpu"))
    model = build_model(load_config(None, ["model.size=nano"]), len(CLASSES))
    with pytest.raises(CheckpointError, match=rf"{path}: damaged, .*: thresholds: expected a score"):
        init_model(model, path, CLASSES)


@pytest.mark.parametrize("part", ["model", "ema"])
def test_weights_are_finite_numbers(part: str) -> None:
    odd = [
        None,
        1.0,
        torch.tensor([1.0, float("nan")]),
        torch.tensor([float("inf")]),
        torch.eye(2).to_sparse(),
    ]
    for value in [*odd, torch.ones(2, dtype=torch.complex64), torch.ones(2, device="meta")]:
        with pytest.raises(
            CheckpointError, match=rf"x\.pt: .*: {part}\.w: expected a tensor of finite numbers"
        ):
            check_usable({**GOOD, part: {"w": value}}, Path("x.pt"))


@pytest.mark.parametrize("found", [{"a": 1.5}, {"a": -0.1}, {"a": True}, {1: 0.5}, {"a": None}])
def test_thresholds_are_scores(found: Any) -> None:
    with pytest.raises(CheckpointError, match="thresholds: expected a score from 0 to 1 by class"):
        check_usable({**GOOD, "thresholds": found}, Path("x.pt"))


def test_whole_ones_pass() -> None:
    counter = torch.tensor(7)
    for more in ({}, {"thresholds": None}, {"thresholds": {"*": 0.3, "a": 1}}, {"ema": {"n": counter}}):
        check_usable(GOOD | more, Path("x.pt"))
