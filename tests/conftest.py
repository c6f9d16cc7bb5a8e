"""Fixtures of several test files."""

from pathlib import Path

import pytest

from dataloadR.demo.scenes import write_demo_scenes
from tests.training_runs import WORDS


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The settings of a run over twelve small scenes, three steps an epoch; the working folder is fresh."""
    monkeypatch.chdir(tmp_path)
    root = write_demo_scenes(tmp_path / "data", train=12, val=5, size=(96, 96))
    return [f"data.root={root}", *WORDS]
