import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from utils import checkpoint as module
from utils.checkpoint import CheckpointError, find_weights, load_checkpoint, load_state, save_checkpoint
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


WRITERS = {
    "truncated": truncated,
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


def test_seeds_repeat() -> None:
    def draw(seed: int) -> tuple[float, ...]:
        rng = seed_everything(seed)
        return float(rng.random()), float(torch.rand(1)), float(np.random.rand())  # noqa: NPY002

    assert draw(3) == draw(3)
    assert all(a != b for a, b in zip(draw(3), draw(4), strict=True))
