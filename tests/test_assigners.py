"""Each rule of assignment in a training: it trains, resumes to the bit, and says where it does not go."""

from pathlib import Path

import pytest
import torch

import train_GGHL
from cfg.assign import DYNAMIC
from cfg.load import ConfigError, load_config
from cfg.schema import Config
from dataloadR.demo.scenes import write_demo_scenes
from evalR.inference.load import load_detector
from evalR.pictures.cells import targets_of
from modelR.build import build_model
from modelR.detectors.gghl.assigning import Counting
from modelR.training.stepper import Stepper
from tests.modelR.training.test_methods import CPU, TRAIN, batches
from tests.test_training import PLAIN, AfterSteps
from tests.training_runs import ROOT, WORDS, assert_same, finish, last_state, start, table
from utils.interrupts import Interrupted
from utils.records import Batch, Objects

RULES = ("fcos", "atss", "ga", *DYNAMIC)
NOW = "assign.warmup_steps=0"
FCOS_R = str(ROOT / "cfg/detectors/fcos_r.yaml")


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_demo_scenes(tmp_path / "data", train=8, val=2, size=(64, 64))
    return ["data.root=data", *WORDS, NOW]


@pytest.mark.parametrize("rule", RULES)
def test_trains_and_predicts(rule: str, words: list[str]) -> None:
    train_GGHL.main([*words, f"assign.rule={rule}", "train.epochs=1", "train.eval_every=1", "train.name=run"])
    (row,) = table("run")
    assert 0 < float(row["total"]) < 1e4
    trained = load_detector(Path("runs/run/best.pt"), [], lambda _: torch.device("cpu"))
    assert trained.config.assign.rule == rule
    assert trained.model.method.is_dynamic == (rule in DYNAMIC)


@pytest.mark.parametrize("rule", ["atss", "ga", "tal", "simota", "soft", "paa", "dtla"])
def test_fcos_r_learns_by_other_rules(rule: str) -> None:
    torch.manual_seed(0)
    model = build_model(load_config(FCOS_R, ["model.size=nano", f"assign.rule={rule}", NOW]), 4)
    losses = Stepper(model, TRAIN, CPU, 10).step(batches())
    assert losses is not None
    assert float(losses["centerness"]) > 0


def test_fcos_r_is_what_it_was_by_whatever_name_its_own_rule_has() -> None:
    found = []
    for rule in ("current", "fcos"):
        torch.manual_seed(0)
        model = build_model(load_config(FCOS_R, ["model.size=nano", f"assign.rule={rule}"]), 4)
        found.append(Stepper(model, TRAIN, CPU, 10).step(batches()))
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_resumes_to_the_bit(rule: str, words: list[str]) -> None:
    """`tal` and `soft` inside of their warm-up, too: its end falls between the second and the third step."""
    words = [*[word for word in words if word != NOW], f"assign.rule={rule}", "assign.warmup_steps=3"]
    config = load_config(None, words)
    train_GGHL.train(config, "whole")
    with pytest.raises(Interrupted):
        train_GGHL.train(config, "parts", AfterSteps(2))
    again = config.train.model_copy(update={"resume": "auto"})
    train_GGHL.train(config.model_copy(update={"train": again}), "parts")
    assert_same(last_state("parts"), last_state("whole"))
    assert table("parts") == table("whole")


def stepper_of(*words: str) -> Stepper:
    torch.manual_seed(0)
    model = build_model(load_config(None, ["model.size=nano", *words]), 4)
    return Stepper(model, TRAIN, CPU, 10)


@pytest.mark.parametrize("rule", ["tal", "soft"])
def test_the_warm_up_is_the_own_rule_and_counts_good_steps(rule: str) -> None:
    plain, warm = (
        stepper_of(),
        stepper_of(f"assign.rule={rule}", "assign.warmup_steps=2", "train.accumulate=2"),
    )
    loss = warm.method.loss
    assert isinstance(loss, Counting)
    first, second = batches()
    assert warm.step([first, second._replace(images=second.images * torch.nan)]) is None
    assert loss.seen == 0
    assert plain.step(batches()) is not None
    assert warm.step(batches()) is not None
    assert loss.seen == 2
    for a, b in zip(warm.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    plain.step(batches())
    warm.step(batches())
    state = warm.parts["loss"].state_dict()
    assert state["_extra_state"] == 4
    expected, found = (s.step(batches()) for s in (plain, warm))  # two steps of two micro-batches are over
    assert expected is not None
    assert found is not None
    assert float(found["total"]) != pytest.approx(float(expected["total"]), rel=1e-3)
    resumed = stepper_of(f"assign.rule={rule}", "assign.warmup_steps=2", "train.accumulate=2")
    resumed.parts["loss"].load_state_dict(state)
    assert isinstance(resumed.method.loss, Counting)
    assert resumed.method.loss.seen == 4


@pytest.mark.parametrize("rule", DYNAMIC)
def test_predictions_that_are_no_numbers_end_a_step_not_a_training(rule: str) -> None:
    stepper = stepper_of(f"assign.rule={rule}", NOW)
    before = [parameter.detach().clone() for parameter in stepper.model.parameters()]
    (batch,) = batches(1)
    assert stepper.step([batch._replace(images=batch.images * torch.nan)]) is None
    assert all(torch.equal(a, b) for a, b in zip(before, stepper.model.parameters(), strict=True))
    assert stepper.step([batch]) is not None


@pytest.mark.parametrize("words", [(), ("model.detector=fcos_r",)])
def test_every_rule_is_a_setting(words: tuple[str, ...]) -> None:
    for rule in RULES:
        load_config(None, [*words, f"assign.rule={rule}"])
    assert Config().assign.rule == "current"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["model.detector=fcos_r", "assign.rule=pro"],
            r"assign\.rule: expected one of current, fcos, atss, ga, tal, simota, soft, paa, dtla for "
            r"fcos_r, got pro, which goes with the head of gghl alone",
        ),
        (["model.detector=centernet_r", "assign.rule=tal"], r"assign\.rule: read by gghl, fcos_r, .* alone"),
        (["assign.rule=otto"], r"assign\.rule: .*'current', 'paper', 'pro', 'fcos', 'atss', 'ga', 'tal'"),
        (["assign.tal_top_k=0"], r"assign\.tal_top_k: .*greater than or equal to 1"),
        (["model.detector=centernet_r", "assign.ga_alpha=2"], r"assign\.ga_alpha: read by gghl, fcos_r"),
    ],
)
def test_rules_that_do_not_go_with_a_head(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load_config(None, words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("rule", ["simota", "tal", "dtla"])
def test_micro_batches_equal_one_large_batch(rule: str) -> None:
    """Images are assigned by themselves, and the normaliser is that of all."""
    one, two = (stepper_of(f"assign.rule={rule}", NOW, "model.dropblock=0") for _ in range(2))
    first, second = batches()
    fields = zip(first.objects[:-1], second.objects[:-1], strict=True)
    index = torch.cat([first.objects.image_index, second.objects.image_index + 2])
    objects = Objects(*(torch.cat(pair) for pair in fields), index)
    whole = Batch(torch.cat([first.images, second.images]), objects, [], torch.arange(4))
    for stepper in (one, two):
        stepper.model.eval()
    expected, found = one.step([whole]), two.step([first, second])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_pictures_of_cells_leave_frozen_norms_frozen() -> None:
    """They are drawn in the midst of a training, by one of its processes."""
    stepper = stepper_of("assign.rule=simota")
    stepper.config = stepper.config.model_copy(update={"freeze_norm": True})
    stepper.train_mode()
    before = [module.training for module in stepper.model.modules()]
    assert {True, False} == set(before)
    targets_of(stepper.model, batches(1)[0])
    assert [module.training for module in stepper.model.modules()] == before


@pytest.mark.slow
def test_two_processes_equal_one(words: list[str]) -> None:
    """The normaliser of a dynamic rule is that of all processes.

    From a network that has seen something: what a new one predicts with frozen norms is the same everywhere
    but for rounding, and rounding would choose the cells.
    """
    train_GGHL.main([*words, "train.epochs=3", "train.eval_every=3", "train.name=before"])
    words = [*words, "assign.rule=simota", "train.epochs=1", "train.eval_every=1", *PLAIN]
    words.append("train.init=runs/before/last.pt")
    finish(start([*words, "train.name=one"]))
    finish(start([*words, "train.name=two"], processes=2))
    found = last_state("two")
    for key, value in last_state("one")["model"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(found["model"][key], value, rtol=0, atol=1e-5)  # type: ignore[index]
