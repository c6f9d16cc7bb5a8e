"""Fixtures of several test files, and a core for each process of tests."""

import os
from pathlib import Path

import pytest
import torch

from dataloadR.demo.scenes import write_demo_scenes
from tests.training_runs import WORDS

if "PYTEST_XDIST_WORKER" in os.environ:  # one of several, which would wait for each other's threads
    os.environ["OMP_NUM_THREADS"] = "1"  # of what tests start
    torch.set_num_threads(1)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The settings of a run over twelve small scenes, three steps an epoch; the working folder is fresh."""
    monkeypatch.chdir(tmp_path)
    root = write_demo_scenes(tmp_path / "data", train=12, val=5, size=(96, 96))
    return [f"data.root={root}", *WORDS]
