"""train.resume from the command line: a run goes on with its own settings, or is refused by name."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

import train_GGHL
from cfg.load import config_text, load_config, load_config_text
from dataloadR.demo.scenes import write_demo_scenes
from tests.test_training import AfterSteps
from tests.training_runs import assert_same, last_state, table
from utils.cli import run_script
from utils.errors import UserError
from utils.interrupts import Interrupted
from utils.resume import Earlier, check_data
from utils.run_settings import name_of


def interrupted(words: list[str], monkeypatch: pytest.MonkeyPatch, steps: int = 4) -> None:
    """Begin a run from the command line and end it after some steps."""
    with monkeypatch.context() as patch:
        patch.setattr(train_GGHL, "noting_interrupts", lambda: Nothing(AfterSteps(steps)))
        with pytest.raises(Interrupted):
            train_GGHL.main(words)


class Nothing:
    """A context that yields what it was given."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __enter__(self) -> object:
        return self.value

    def __exit__(self, *_: object) -> None:
        pass


def refused(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(sys, "argv", ["train_GGHL.py", *words])
    capsys.readouterr()
    assert run_script(train_GGHL.main) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.slow
def test_a_bare_resume_equals_the_uninterrupted_run(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    train_GGHL.main([*words, "train.name=whole"])
    interrupted([*words, "train.name=parts"], monkeypatch)
    config = Path("runs/parts/config.yaml").read_bytes()
    train_GGHL.main(["train.resume=runs/parts", "data.workers=1"])
    assert_same(last_state("parts"), last_state("whole"))
    assert table("parts") == table("whole")
    assert Path("runs/parts/config.yaml").read_bytes() == config
    assert Path("runs/parts/environment.txt").read_text().count("command: ") == 2
    assert sorted(path.name for path in Path("runs").iterdir()) == ["parts", "whole"]


@pytest.mark.slow
def test_other_settings_are_refused_by_name(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted([*words, "train.name=a", "train.lr=0.01"], monkeypatch)
    before = {path: path.read_bytes() for path in Path("runs/a").glob("*.*")}
    other = write_demo_scenes(Path("other").absolute(), train=6, val=2, size=(96, 96), seed=5)
    line = refused(
        ["train.resume=runs/a", f"data.root={other}", "data.image_size=96", "train.lr=0.02", "train.seed=7"],
        monkeypatch,
        capsys,
    )
    for part in (
        "error: train.resume=runs/a: a run goes on with its own settings, got ",
        f"data.root={other} (the run has ",
        "data.image_size=96 (the run has 64)",
        "train.lr=0.02 (the run has 0.01)",
        "train.seed=7 (the run has 0)",
    ):
        assert part in line
    assert "workers" not in line
    line = refused(["train.resume=runs/a", f"data.root={other}"], monkeypatch, capsys)
    assert "images or labels are not those that this run began with" in line
    Path("other.yaml").write_text("data.root: nowhere\ntrain.lr: 0.02\ntrain.weight_decay: 0.1\n")
    line = refused(["other.yaml", "train.resume=runs/a"], monkeypatch, capsys)
    assert "got train.weight_decay=0.1 (the run has 0.0005); leave" in line, "the rest was said at its start"
    assert {path: path.read_bytes() for path in Path("runs/a").glob("*.*")} == before
    assert [path.name for path in Path("runs").iterdir()] == ["a"]


@pytest.mark.slow
def test_a_yaml_that_was_edited_since_is_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.yaml").write_text("train.weight_decay: 0.001\ntrain.lr: 0.02\n")
    interrupted(["mine.yaml", *words, "train.lr=0.01"], monkeypatch)
    Path("mine.yaml").write_text("train.weight_decay: 0.002\ntrain.lr: 0.02\n")
    line = refused(["mine.yaml", *words, "train.resume=auto"], monkeypatch, capsys)
    assert "got train.weight_decay=0.002 (the run has 0.001); leave" in line


@pytest.mark.slow
def test_data_that_moved_are_the_same_and_data_that_changed_are_not(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted([*words, "train.name=a"], monkeypatch)
    shutil.copytree("data", "moved")
    label = next(Path("moved/train/labelTxt").iterdir())
    text = label.read_text()
    label.write_text(text + "1 1 9 1 9 9 1 9 ship 0\n")
    moved = f"data.root={Path('moved').absolute()}"
    line = refused(["train.resume=runs/a", moved], monkeypatch, capsys)
    assert "images or labels are not those that this run began with" in line
    label.write_text(text)
    line = refused(["train.resume=runs/a", moved, "train.epochs=3", "train.seed=1"], monkeypatch, capsys)
    assert "got train.seed=1 (the run has 0), data.root=" in line
    assert "train.epochs" not in line, "which may change"
    train_GGHL.main(["train.resume=runs/a", moved])
    assert last_state("a")["complete"]


@pytest.mark.slow
def test_a_complete_run_is_said_to_be_and_goes_on_for_more_epochs(
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = [*words, "train.name=done", "train.epochs=1", "train.eval_every=1"]
    train_GGHL.main(words)
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["train_GGHL.py", *words, "train.resume=auto"])
    assert run_script(train_GGHL.main) == 0
    assert "runs/done: this run is complete after 1 epochs; train.epochs=2 goes on" in capsys.readouterr().out
    assert "this run is complete" in refused(["train.resume=runs/done"], monkeypatch, capsys)
    assert "found no runs/none" in refused(["train.resume=runs/none"], monkeypatch, capsys)
    caplog.set_level("INFO")
    train_GGHL.main(["train.resume=runs/done", "train.epochs=2"])
    assert "runs/done: going on with train.epochs=2 instead of 1" in caplog.messages
    assert len(table("done")) == 2
    assert load_config_text(Path("runs/done/config.yaml").read_text(), "c").train.epochs == 2
    assert [path.name for path in Path("runs").iterdir()] == ["done"]


def test_a_run_from_before_hashes_wants_its_own_folder_and_classes(tmp_path: Path) -> None:
    config = load_config(None, ["data.root=here"])
    checkpoint = {"classes": ["a", "b"], "config": config_text(config)}
    old = Earlier(tmp_path, checkpoint, config)
    check_data(old, "hash", ("a", "b"), "here")
    with pytest.raises(UserError, match="images or labels are not those"):
        check_data(old, "hash", ("a", "b"), "there")
    for known in ({}, {"data_hash": "hash"}):
        with pytest.raises(UserError, match="the run has the classes a, b, these data b, a"):
            check_data(Earlier(tmp_path, checkpoint | known, config), "hash", ("b", "a"), "here")


def test_a_failed_start_leaves_no_folder(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*words, "train.name=first"]
    assert "no such file" in refused([*words, "train.init=none.pt"], monkeypatch, capsys)
    (image,) = list(Path("data/train/images").iterdir())[:1]
    whole = image.read_bytes()
    image.write_bytes(whole[: len(whole) // 2])
    refused([*words, "augment.mosaic=0", "augment.mixup=0"], monkeypatch, capsys)
    assert not list(Path("runs").glob("*")), "and the name is free"


def test_thresholds_and_scale_are_in_the_checkpoint(words: list[str]) -> None:
    train_GGHL.main([*words, "train.name=a", "train.epochs=1", "train.eval_every=1"])
    best = torch.load("runs/a/best.pt", weights_only=True)
    config = load_config_text(best["config"], "best.pt")
    assert config.data.training_scale == pytest.approx((64 / 96,) * 3, rel=1e-4)
    assert isinstance(best["thresholds"], dict)
    assert config.predict.score_threshold is None


def test_data_of_the_command_line_get_a_name_and_settings_of_their_own(
    words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    own = [word for word in words if word.partition("=")[0] not in ("data.image_size", "model.size")]
    train_GGHL.main([*own, "train.epochs=1", "train.device=cpu"])
    config = load_config_text(Path("runs/data/config.yaml").read_text(), "config.yaml")
    assert config.data.image_size == 96
    assert config.model.size == "nano"
    assert config.train.batch_size == 4
    assert config.augment.mixup == 0.3, "the default, not the demo's"
    said = [message for message in caplog.messages if message.startswith("no YAML is given: ")]
    assert said[0].startswith("no YAML is given: data.image_size=96, as the images have about 96 x 96 px")
    assert said[1].startswith("no YAML is given: model.size=nano, as there is no GPU")


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("ships/data.yaml", "ships"),
        ("coco/annotations/instances_train.json", "coco"),
        ("lists/mine.txt", "mine"),
        ("a b/ships", "ships"),
        ("/", "run"),
    ],
)
def test_a_run_is_called_like_its_data(root: str, name: str, tmp_path: Path) -> None:
    place = Path(root) if root == "/" else tmp_path / root
    if place.suffix:
        place.parent.mkdir(parents=True)
        place.touch()
    assert name_of(str(place)) == name


def test_data_where_a_yaml_should_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images\nnames: [ship]\n")
    for place in (tmp_path, tmp_path / "data.yaml"):
        line = refused([str(place)], monkeypatch, capsys)
        assert f"{place}: expected a YAML of settings; data are named by data.root={place}" in line
    assert "nothing.yaml: no such configuration file" in refused(["nothing.yaml"], monkeypatch, capsys)
