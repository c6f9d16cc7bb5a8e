"""Damaged resume files: each damage of a real last.pt is one line that names the key, never a traceback."""

import copy
import sys
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import train_GGHL
from dataloadR.demo.scenes import write_demo_scenes
from modelR.detectors.gghl.loss import TERMS
from tests.training_runs import WORDS
from utils.checkpoint import CheckpointError
from utils.cli import run_script
from utils.resume import read_run, restore
from utils.resume_check import Expected

EXPECTED = Expected(("total", *TERMS), 3)
Path_ = tuple[Any, ...]
STRANGE: list[Any] = [None, "text", -3, float("nan"), [], {}, {"a": 1}, [[]], torch.zeros(2, 3), True, 1e300]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield the folder of a run of two steps, and what it was made by."""
    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        data = write_demo_scenes(root / "data", train=12, val=2, size=(64, 64))
        train_GGHL.main([f"data.root={data}", *WORDS, "train.epochs=1", "train.eval_every=1", "train.name=a"])
        yield root / "runs/a"


@pytest.fixture(scope="module")
def state(run: Path) -> dict[str, Any]:
    return torch.load(run / "last.pt", weights_only=True)


class Part:
    """Gives the state of a part of the run, and notes whether another is given to it."""

    def __init__(self, state: Any) -> None:
        self.state = state
        self.taken = 0

    def state_dict(self) -> Any:
        return self.state

    def load_state_dict(self, _: Any) -> None:
        self.taken += 1


def parts_of(state: dict[str, Any]) -> dict[str, Part]:
    return {key: Part(state[key]) for key in ("model", "ema", "optimizer", "scheduler", "scaler")}


def places(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Yield where values stand, all of the small ones and the first few of long lists."""
    if at:
        yield at
    if isinstance(value, dict):
        for key in list(value)[:12]:
            yield from places(value[key], (*at, key))
    elif isinstance(value, list):
        for key in range(min(len(value), 2)):
            yield from places(value[key], (*at, key))


def replaced(value: Any, at: Path_, new: Callable[[Any], Any]) -> Any:
    """Return a copy with one value changed; `new` returns Ellipsis where it is to be left out."""
    if not at:
        return new(value)
    copied = copy.copy(value)
    changed = replaced(value[at[0]], at[1:], new)
    if changed is ...:
        del copied[at[0]]
    else:
        copied[at[0]] = changed
    return copied


def attempt(folder: Path, damaged: dict[str, Any], parts: dict[str, Part]) -> str | None:
    """Return the error of going on from a state, which must be a CheckpointError; None: it is taken."""
    torch.save(damaged, folder / "last.pt")
    before = torch.get_rng_state()
    try:
        restore(parts, read_run(folder).checkpoint, EXPECTED, folder / "last.pt")
    except CheckpointError as error:
        assert torch.equal(torch.get_rng_state(), before)
        assert all(part.taken == 0 for part in parts.values())
        return str(error)
    torch.set_rng_state(before)
    return None


def small(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state with few weights, which is quick to write."""
    keys = list(state["model"])[:3]
    return {
        **state,
        "model": {key: state["model"][key] for key in keys},
        "ema": {key: state["ema"][key] for key in list(state["ema"])[:3]},
        "optimizer": {**state["optimizer"], "state": dict(list(state["optimizer"]["state"].items())[:0])},
    }


def test_a_whole_state_is_taken(tmp_path: Path, state: dict[str, Any]) -> None:
    parts = parts_of(state)
    assert attempt(tmp_path, state, parts) is None
    assert all(part.taken == 1 for part in parts.values() if not isinstance(part, nn.Module))


@pytest.mark.slow
def test_every_damage_is_one_line(tmp_path: Path, state: dict[str, Any]) -> None:
    few = small(state)
    accepted = []
    count = 0
    for at in places(few):
        for new in (..., *STRANGE):
            old = reduce(lambda place, key: place[key], at, few)
            if type(old) is type(new) and not isinstance(old, Tensor) and old == new:
                continue  # no damage
            damaged = replaced(few, at, lambda _, new=new: new)
            error = attempt(tmp_path, damaged, parts_of(few))
            count += 1
            if error is None:
                accepted.append((at, new))
            else:
                assert "\n" not in error
                assert str(tmp_path / "last.pt") in error
    assert count > 300
    mild = {"thresholds", "data_hash", "said", "complete", "classes", "scaler"}  # may be missing or short
    # of torch's optimisers: how they compute, not what
    switches = ("foreach", "fused", "maximize", "capturable", "differentiable", "decoupled_weight_decay")
    for at, new in accepted:
        known = at[0] in mild or "thresholds" in at or at[-1] in ("best", "config", *switches)
        assert known or type(new) in (bool, int, float) or new is ..., (at, new)


@pytest.mark.parametrize(
    ("at", "new", "message"),
    [
        (("position", "epoch"), -1, "position.epoch: expected a whole number from 0, found int '-1'"),
        (("position", "done"), 4, "position.done: expected at most 3 steps of an epoch, found 4"),
        (
            ("position", "sums"),
            {"total": torch.zeros(()), "iou": torch.zeros(())},
            "position.sums: expected the losses total, foreground, background, positive, negative, iou, "
            "glide, ratio, distance, found total, iou",
        ),
        (("position", "sums", "iou"), torch.zeros(2), "position.sums: expected a finite loss by name, found"),
        (("position", "sums"), ..., "position.sums: expected a value, found nothing"),
        (
            ("random_states", 0, 0),
            torch.zeros(7, dtype=torch.uint8),
            "random_states[0][0]: expected 5056 by",
        ),
        (
            ("random_states", 0),
            [],
            "random_states[0]: expected a list of tensors of bytes, found",
        ),
        (("optimizer",), ..., "optimizer: expected a dictionary, found nothing"),
        (("scheduler", "last_epoch"), "3", "scheduler.last_epoch: expected a finite number, found str '3'"),
    ],
)
def test_the_message_names_the_key(
    tmp_path: Path, state: dict[str, Any], at: Path_, new: Any, message: str
) -> None:
    error = attempt(tmp_path, replaced(state, at, lambda _: new), parts_of(state))
    assert error is not None
    assert f"{tmp_path / 'last.pt'}: cannot be gone on with: {message}" in error
    assert error.endswith("; without train.resume a new run begins")
    (tmp_path / "best.pt").touch()
    error = attempt(tmp_path, replaced(state, at, lambda _: new), parts_of(state))
    assert str(error).endswith(f"; train.init={tmp_path / 'best.pt'} starts a new run from the best weights")


def test_moments_that_are_missing_or_no_numbers(tmp_path: Path, state: dict[str, Any]) -> None:
    moments = state["optimizer"]["state"]
    number, own = next((number, own) for number, own in moments.items() if "exp_avg" in own)
    for new in (..., own["exp_avg"] * float("nan"), "text", None):
        at = ("optimizer", "state", number, "exp_avg")
        error = attempt(tmp_path, replaced(state, at, lambda _, new=new: new), parts_of(state))
        assert f"optimizer.state.{number}.exp_avg: expected " in str(error)


@pytest.mark.parametrize("cut", [0.3, 0.9, 0.999, None])
def test_the_script_ends_in_one_line(
    run: Path,
    state: dict[str, Any],
    cut: float | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file of which a share is left, and a whole one from before losses had names, with another term."""
    monkeypatch.chdir(run.parents[1])
    whole = (run / "last.pt").read_bytes()
    sums = Tensor([0.0] * 10)
    torch.save({**state, "complete": False, "position": {**state["position"], "sums": sums}}, run / "last.pt")
    if cut:
        (run / "last.pt").write_bytes(whole[: int(cut * len(whole))])
    monkeypatch.setattr(sys, "argv", ["train_GGHL.py", "train.resume=runs/a", "train.epochs=2"])
    try:
        assert run_script(train_GGHL.main) == 2
    finally:
        (run / "last.pt").write_bytes(whole)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert "last.pt" in line
    assert cut or "found total, foreground, background, positive" in line
    assert cut or "distance, loss 9; " in line


def test_losses_without_names_get_them(run: Path, state: dict[str, Any]) -> None:
    """A checkpoint from before losses had names goes on as one of today."""
    last = run / "last.pt"
    whole, position = last.read_bytes(), state["position"]
    unnamed = torch.stack(list(position["sums"].values()))
    torch.save({**state, "position": {**position, "sums": unnamed}}, last)
    try:
        found = read_run(run).position.sums
    finally:
        last.write_bytes(whole)
    assert dict(found) == position["sums"]
