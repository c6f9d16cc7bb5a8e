"""Short trainings with each loss: finite, named, resumed to the bit, the same in two processes."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import train_GGHL
from cfg.load import load_config
from dataloadR.demo.scenes import write_demo_scenes
from dataloadR.loader import training_data
from dataloadR.splits import load_split
from modelR.build import build_model
from modelR.training.stepper import TOTAL, Stepper
from tests.modelR.detectors.test_choices import WORDS as CHOICES
from tests.test_detectors import LIGHT, yaml_of
from tests.test_training import PLAIN, AfterSteps
from tests.training_runs import WORDS, assert_same, finish, last_state, start, table
from utils.interrupts import Interrupted
from utils.records import Batch

CPU = torch.device("cpu")
GHM = ["loss.classification=ghm", "loss.regression=ghm"]
SHORT = [word for word in WORDS if not word.startswith("train.e")]


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Batch]:
    """Eight scenes of 64 px as training sees them."""
    root = tmp_path_factory.mktemp("scenes")
    write_demo_scenes(root / "data", train=8, val=1, size=(64, 64))
    config = load_config(None, [f"data.root={root / 'data'}", *SHORT])
    annotations, _ = load_split(config.data, config.data.train, config.data.classes)
    _, loader = training_data(annotations, config.data, config.augment, config.train, 4.0, CPU)
    return [
        Batch(b.images.clone(), b.objects, b.frames, b.indices)
        for b in loader  # memory is used again
    ]


SOME = [CHOICES[-1], *(word for word in CHOICES if "beside" in word or "=vfl" in word or "balanced" in word)]
OTHERS = ("fcos_r", "gghl_hbb", "lo_det", "yolov3_r", "retinanet")
RUNS = [
    *(("gghl", words) for words in CHOICES),
    *((detector, words) for detector in OTHERS for words in SOME),
    ("gghl", f"assign.rule=tal assign.warmup_steps=1 {CHOICES[-1]}"),
    ("fcos_r", f"assign.rule=simota {CHOICES[-1]}"),
]


@pytest.mark.parametrize(("detector", "words"), RUNS)
def test_eight_scenes_are_learnt_with_finite_losses(
    detector: str, words: str, batches: Sequence[Batch]
) -> None:
    torch.manual_seed(0)
    config = load_config(yaml_of(detector), [*SHORT, *LIGHT.get(detector, []), *words.split()])
    stepper = Stepper(build_model(config, 4), config.train, CPU, len(batches))
    stepper.train_mode()
    assert sum(len(batch.objects.quads) for batch in batches) > 4
    for batch in batches:
        losses = stepper.step([batch])
        assert losses is not None
        assert tuple(losses) == stepper.terms
        assert all(loss.isfinite() for loss in losses.values())
        assert float(losses[TOTAL]) > 0
    assert all(parameter.isfinite().all() for parameter in stepper.model.parameters())
    of_classes = 1 if detector == "retinanet" else 2  # the others have an objectness, too
    expected = of_classes * ("loss.classification=ghm" in words) + 3 * ("loss.regression=ghm" in words)
    assert len(stepper.histograms) == expected


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_demo_scenes(tmp_path / "data", train=8, val=2, size=(64, 64))
    return ["data.root=data", *SHORT, *GHM]


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["gghl", "fcos_r"])
def test_ghm_resumes_to_the_bit(detector: str, words: list[str], caplog: pytest.LogCaptureFixture) -> None:
    config = load_config(yaml_of(detector), [*words, "train.epochs=2", "train.eval_every=2"])
    with caplog.at_level("INFO"):
        train_GGHL.train(config, "whole")
    logged = [line for line in caplog.messages if "gradients from easy to hard" in line]
    assert len(logged) == 2 * 5
    shares = [float(share) for share in logged[0].partition("%: ")[2].split()]
    assert len(shares) == 30
    assert sum(shares) == pytest.approx(100, abs=1)
    with pytest.raises(Interrupted):
        train_GGHL.train(config, "parts", AfterSteps(3))
    again = config.train.model_copy(update={"resume": "auto"})
    train_GGHL.train(config.model_copy(update={"train": again}), "parts")
    assert_same(last_state("parts"), last_state("whole"))
    assert table("parts") == table("whole")
    assert len(last_state("whole")["loss"]) == 5 * 3  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["gghl", "fcos_r"])
def test_ghm_in_two_processes_equals_one(detector: str, words: list[str]) -> None:
    """Each counts its own cells, and all weigh them by the counts of both."""
    words = [yaml_of(detector), *words, *PLAIN, "train.epochs=1", "train.eval_every=1"]
    finish(start([*words, "train.name=one"]))
    finish(start([*words, "train.name=two"], processes=2))
    expected, found = last_state("one"), last_state("two")
    for key, value in expected["model"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(found["model"][key], value, rtol=0, atol=1e-5)  # type: ignore[index]
    for key, value in expected["loss"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(found["loss"][key], value, rtol=0, atol=1.0)  # type: ignore[index]


@pytest.mark.slow
def test_a_run_with_another_loss_is_not_gone_on_with(words: list[str]) -> None:
    config = load_config(yaml_of("gghl"), [*words, "train.epochs=2", "train.eval_every=2"])
    with pytest.raises(Interrupted):
        train_GGHL.train(config, "parts", AfterSteps(1))
    other = config.loss.model_copy(update={"classification": "focal"})
    again = config.train.model_copy(update={"resume": "auto"})
    with pytest.raises(Exception, match=r"loss\.classification"):
        train_GGHL.train(
            config.model_copy(update={"train": again, "loss": other}), "parts", said=["loss.classification"]
        )
