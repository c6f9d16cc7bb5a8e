import logging
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from modelR.training.muon import Muon
from utils import checkpoint as module
from utils.checkpoint import (
    CheckpointError,
    find_weights,
    load_checkpoint,
    load_fitting,
    load_optimizer,
    load_state,
    save_checkpoint,
)
from utils.seeding import seed_everything

CONTENT = {"config": "train.lr: 0.1", "classes": ["a"], "model": {"w": torch.arange(3.0)}, "epoch": 4}


class Code:
    pass


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "run" / "last.pt"
    save_checkpoint(path, CONTENT)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded.pop("model")["w"], torch.arange(3.0))
    assert loaded == {"format": 1, "config": "train.lr: 0.1", "classes": ["a"], "epoch": 4}
    assert [p.name for p in path.parent.iterdir()] == ["last.pt"]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, CONTENT)

    def half(_: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", half)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {})
    assert load_checkpoint(path)["epoch"] == 4
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def truncated(path: Path) -> None:
    save_checkpoint(path, CONTENT)
    path.write_bytes(path.read_bytes()[:-300])


def cut_short(path: Path) -> None:
    """To less than torch reads at a time from its end."""
    save_checkpoint(path, CONTENT | {"model": {f"w{k}": torch.zeros(1) for k in range(464)}})
    path.write_bytes(path.read_bytes()[:40_000])


WRITERS = {
    "truncated": truncated,
    "cut short": cut_short,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("0.5 0.5 ship\n" * 20),
    "label": lambda path: path.write_text("imagesource:GoogleEarth\ngsd:0.1\n"),
    "darknet": lambda path: path.write_bytes(np.array([0, 2, 5, 7, 0] + [0] * 99, np.int32).tobytes()),
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(4000)),
    "png": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200)),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"format": 1})[:-1]),
}


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", WRITERS)
def test_files_that_are_no_checkpoint(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.pt"
    WRITERS[kind](path)
    with pytest.raises(CheckpointError, match=r"x\.pt: expected") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_every_prefix_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    save_checkpoint(path, CONTENT)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


def test_code_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    torch.save({**CONTENT, "format": 1, "extra": Code()}, path)
    with pytest.raises(CheckpointError, match=r"Code, which needs code to be run"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected a dictionary, found list"),
        ({"state_dict": 1}, "expected the key 'format' of a GGHL checkpoint, found state_dict"),
        ({"format": 9}, "expected format 1, found 9"),
        ({"format": 1, "config": 1, "model": 1}, "missing classes"),
    ],
)
def test_other_content(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "x.pt")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found nothing"):
        load_checkpoint(tmp_path / "no.pt")
    with pytest.raises(CheckpointError, match="found a folder"):
        load_checkpoint(tmp_path)


def test_find_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WEIGHT_FOLDER", tmp_path / "weight")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weight").mkdir()
    (tmp_path / "weight" / "a.pt").touch()
    (tmp_path / "b.pt").touch()
    assert find_weights("a.pt") == tmp_path / "weight" / "a.pt"
    assert find_weights("b.pt") == Path("b.pt")
    with pytest.raises(CheckpointError, match=r"c\.pt: no such file, neither .*c\.pt nor .*weight/c\.pt"):
        find_weights("c.pt")
    (tmp_path / "run").mkdir()
    with pytest.raises(CheckpointError, match="run: no such file"):
        find_weights("run")
    (tmp_path / "run/best.pt").touch()
    assert find_weights("run") == Path("run/best.pt")


def test_load_state_is_strict() -> None:
    model = nn.Linear(2, 3)
    before = model.weight.clone()
    load_state(model, {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, "a.pt")
    assert torch.equal(model.weight, torch.ones(3, 2))
    assert not torch.equal(before, model.weight)
    with pytest.raises(
        CheckpointError, match=r"bias missing; gain unknown; weight \(2, 2\) instead of \(3, 2\)"
    ):
        load_state(model, {"weight": torch.zeros(2, 2), "gain": torch.zeros(1)}, "b.pt")
    assert torch.equal(model.weight, torch.ones(3, 2))


def test_what_fits_is_loaded_and_the_rest_told(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    last = model[1].weight.clone()
    state = {
        "0.weight": torch.ones(3, 2),
        "0.bias": torch.ones(3),
        "1.weight": torch.ones(5, 3),
        "x": torch.ones(1),
    }
    with caplog.at_level(logging.INFO):
        fit = load_fitting(model, state, "a.pt")
    assert fit.loaded == ("0.weight", "0.bias")
    assert (fit.missing, fit.unknown) == (("1.bias",), ("x",))
    assert fit.misfits == ("1.weight (5, 3) instead of (4, 3)",)
    assert model[0].weight.eq(1).all()
    assert torch.equal(model[1].weight, last)
    (line,) = caplog.messages
    expected = "a.pt: loaded 2 of 4 tensors, not 1.weight (5, 3) instead of (4, 3); 1.bias missing; x unknown"
    assert line == expected


def test_all_that_fits_is_told_without_a_rest(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Linear(2, 3)
    with caplog.at_level(logging.INFO):
        fit = load_fitting(model, {k: torch.zeros_like(v) for k, v in model.state_dict().items()}, "b.pt")
    assert fit[1:] == ((), (), ())
    assert caplog.messages == ["b.pt: loaded 2 of 2 tensors"]


def test_nothing_that_fits_is_an_error() -> None:
    norm = nn.BatchNorm1d(3)
    with pytest.raises(
        CheckpointError, match=r"c\.pt: nothing fits .* weight \(4,\) instead of \(3,\); bias missing"
    ):
        load_fitting(norm, {"weight": torch.ones(4), "num_batches_tracked": torch.tensor(7)}, "c.pt")
    assert norm.num_batches_tracked == 0
    with pytest.raises(CheckpointError, match="nothing fits the model: weight missing"):
        load_fitting(norm, {}, "c.pt")


OPTIMIZERS = {
    "sgd": lambda layer: torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9),
    "adamw": lambda layer: torch.optim.AdamW(layer.parameters(), lr=0.1),
    "muon": lambda layer: Muon([layer.weight], [{"params": [layer.bias]}], 0.1, 0.0),
}


def trained(kind: str, outputs: int = 3) -> tuple[nn.Linear, torch.optim.Optimizer]:
    layer = nn.Linear(2, outputs)
    optimizer = OPTIMIZERS[kind](layer)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return layer, optimizer


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_goes_on(kind: str, tmp_path: Path) -> None:
    layer, optimizer = trained(kind)
    save_checkpoint(tmp_path / "last.pt", {**CONTENT, "optimizer": optimizer.state_dict()})
    copy = nn.Linear(2, 3)
    copy.load_state_dict(layer.state_dict())
    again = OPTIMIZERS[kind](copy)
    load_optimizer(again, load_checkpoint(tmp_path / "last.pt")["optimizer"], "last.pt")
    for network, moves in ((layer, optimizer), (copy, again)):
        moves.zero_grad()
        network(torch.full((1, 2), 2.0)).sum().backward()
        moves.step()
    assert torch.equal(layer.weight, copy.weight)
    assert torch.equal(layer.bias, copy.bias)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_of_other_shapes_is_refused(kind: str) -> None:
    (_, found), (_, optimizer) = trained(kind, outputs=4), trained(kind)
    before = optimizer.state_dict()
    with pytest.raises(
        CheckpointError, match=r"last\.pt: .*tensor 0 \w+ \(4, 2\) instead of \(3, 2\); tensor 1"
    ):
        load_optimizer(optimizer, found.state_dict(), "last.pt")
    assert optimizer.state_dict().keys() == before.keys()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("muon", "does not fit the optimizer: 2 groups instead of 1"),
        ("adamw", r"group 0 momentum missing; .*group 0 \w+ unknown"),
    ],
)
def test_an_optimizer_of_another_kind_is_refused(kind: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_optimizer(trained("sgd")[1], trained(kind)[1].state_dict(), "last.pt")
    more = torch.optim.SGD([torch.zeros(1)] * 1 + [torch.zeros(2), torch.zeros(2)], lr=0.1, momentum=0.9)
    with pytest.raises(CheckpointError, match="group 0 3 tensors instead of 2"):
        load_optimizer(trained("sgd")[1], more.state_dict(), "last.pt")
    with pytest.raises(CheckpointError, match="0 groups instead of 1"):
        load_optimizer(trained("sgd")[1], {}, "last.pt")


def test_seeds_repeat() -> None:
    def draw(seed: int) -> tuple[float, ...]:
        rng = seed_everything(seed)
        return float(rng.random()), float(torch.rand(1)), float(np.random.rand())  # noqa: NPY002

    assert draw(3) == draw(3)
    assert all(a != b for a, b in zip(draw(3), draw(4), strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of file sizes")
def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "last.pt"
    whole = {"config": "", "classes": [], "model": {"w": torch.arange(10.0)}}
    save_checkpoint(path, whole)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(
            CheckpointError, match=r"last\.pt: the checkpoint could not be written; the one before"
        ):
            save_checkpoint(path, whole | {"model": {"w": torch.zeros(100_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.equal(load_checkpoint(path)["model"]["w"], torch.arange(10.0))
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]


def test_a_lack_of_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(*_: object, **__: object) -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    path = tmp_path / "best.pt"
    save_checkpoint(path, {})
    monkeypatch.setattr(torch, "load", allocate)
    with pytest.raises(CheckpointError, match=r"best\.pt: the machine has too little memory.*can't allocate"):
        load_checkpoint(path)
