"""Mean of checkpoints: against numpy, and in whole trainings, with interruptions and damage."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import train_GGHL
from cfg.load import load_config
from evalR.inference.load import load_detector
from modelR.training.last_epochs import epoch_files, mean_weights
from tests.test_training import AfterSteps
from tests.training_runs import assert_same, finish, last_state, start
from utils.checkpoint import averaged_weights, load_checkpoint, save_checkpoint
from utils.interrupts import Interrupted

LONG = ["train.epochs=4", "train.eval_every=4", "train.average_last=2"]


def small(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model.train()
    for _ in range(seed + 1):
        model(torch.randn(2, 3, 8, 8) * (seed + 1))
    return model


def kept(folder: str) -> dict[int, dict[str, Tensor]]:
    files = epoch_files(Path("runs", folder, "epochs"))
    return {number: load_checkpoint(path)["model"] for number, path in files.items()}


def numpy_mean(states: list[dict[str, Tensor]]) -> dict[str, np.ndarray]:
    return {key: np.mean([state[key].double().numpy() for state in states], axis=0) for key in states[0]}


def test_weights_and_statistics_are_averaged_and_counters_are_the_last(tmp_path: Path) -> None:
    models, paths = [small(seed) for seed in range(3)], [tmp_path / f"{k}.pt" for k in range(3)]
    for model, path in zip(models, paths, strict=True):
        save_checkpoint(path, {"config": "", "classes": [], "model": model.state_dict()})
    mean = mean_weights(paths)
    expected = numpy_mean([model.state_dict() for model in models])
    for key in ("0.weight", "0.bias", "1.running_mean", "1.running_var"):
        assert mean[key].dtype == torch.float32
        np.testing.assert_allclose(mean[key].numpy(), expected[key], rtol=1e-6)
    assert mean["1.num_batches_tracked"] == 3
    assert_same(mean_weights(paths[:1]), models[0].state_dict())


def test_files_of_epochs_in_their_order(tmp_path: Path) -> None:
    for name in ("0010.pt", "0009.pt", "10000.pt", "mean.pt", "0001.txt", "0002.pt.tmp"):
        (tmp_path / name).touch()
    assert list(epoch_files(tmp_path)) == [9, 10, 10000]
    assert epoch_files(tmp_path / "none") == {}


@pytest.mark.slow
def test_the_last_epochs_and_their_mean(words: list[str]) -> None:
    train_GGHL.train(load_config(None, [*words, *LONG]), "whole")
    states = kept("whole")
    assert list(states) == [3, 4]
    assert_same(states[4], averaged_weights(last_state("whole")))
    assert not torch.equal(*(next(iter(states[k].values())) for k in (3, 4)))
    checkpoint = load_checkpoint("runs/whole/mean.pt")
    assert checkpoint["epochs"] == [3, 4]
    assert checkpoint["thresholds"] == last_state("whole")["thresholds"]
    for key, value in numpy_mean(list(states.values())).items():
        if checkpoint["model"][key].is_floating_point():
            np.testing.assert_allclose(checkpoint["model"][key].numpy(), value, rtol=1e-6, atol=1e-9)
    trained = load_detector(Path("runs/whole/mean.pt"), [], lambda _: torch.device("cpu"))
    assert_same(trained.model.state_dict(), checkpoint["model"])
    with pytest.raises(Interrupted):
        train_GGHL.train(load_config(None, [*words, *LONG]), "parts", AfterSteps(10))
    assert not Path("runs/parts/mean.pt").exists()
    train_GGHL.train(load_config(None, [*words, *LONG, "train.resume=auto"]), "parts")
    assert_same(load_checkpoint("runs/parts/mean.pt"), checkpoint)
    assert_same(last_state("parts"), last_state("whole"))


@pytest.mark.slow
def test_more_epochs_and_a_damaged_file(words: list[str], caplog: pytest.LogCaptureFixture) -> None:
    train_GGHL.train(load_config(None, [*words, *LONG, "train.epochs=1"]), "more")
    assert load_checkpoint("runs/more/mean.pt")["epochs"] == [1]
    assert "average_last" not in caplog.text  # fewer are there than asked for, but all that there can be
    Path("runs/more/epochs/0001.pt").write_bytes(b"cut off")
    with caplog.at_level(logging.WARNING):
        train_GGHL.train(load_config(None, [*words, *LONG, "train.epochs=2", "train.resume=auto"]), "more")
    assert load_checkpoint("runs/more/mean.pt")["epochs"] == [2]
    assert "left out of mean.pt: runs/more/epochs/0001.pt: expected" in caplog.text
    assert "train.average_last=2: the weights of 1 epoch are there" in caplog.text


@pytest.mark.slow
def test_two_processes_leave_one_mean(words: list[str]) -> None:
    finish(start([*words, *LONG, "train.epochs=2", "train.sync_bn=false", "train.name=two"], 2))
    states = kept("two")
    assert list(states) == [1, 2]
    assert_same(states[2], averaged_weights(last_state("two")))
    mean = load_checkpoint("runs/two/mean.pt")["model"]
    for key, value in numpy_mean(list(states.values())).items():
        if mean[key].is_floating_point():
            np.testing.assert_allclose(mean[key].numpy(), value, rtol=1e-6, atol=1e-9)


def test_nothing_is_kept_by_default(words: list[str]) -> None:
    train_GGHL.train(load_config(None, [*words, "train.epochs=1"]), "plain")
    assert not Path("runs/plain/epochs").exists()
    assert not Path("runs/plain/mean.pt").exists()
