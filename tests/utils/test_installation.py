"""Scripts started by a Python without the libraries end with one line."""

from utils.installation import missing_line

import subprocess
import sys
from pathlib import Path

import pytest

from tests.training_runs import ROOT


@pytest.mark.parametrize(
    "words", [["train_GGHL.py"], ["test.py"], ["predict.py", "a.png"], ["-m", "datasets_tools.check", "x"]]
)
def test_a_python_without_libraries_says_what_to_do(words: list[str]) -> None:
    command = [sys.executable, "-S", "-E", *words]  # -S: no site-packages
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {sys.executable} has no torch and ")
    assert "make shell" in line
    assert not done.stdout


def test_nothing_is_missing_here(tmp_path: Path) -> None:
    assert missing_line(tmp_path) is None


def test_the_line_names_the_environment_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.installation.find_spec", lambda name: None if name == "cv2" else object())
    line = missing_line(tmp_path)
    head = f"{sys.executable} has no opencv-python-headless; "
    listed = tmp_path / "requirements.txt"
    assert line == f"{head}make shell sets up an environment, or pip install -r {listed}"
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    assert missing_line(tmp_path) == f"{head}activate its environment: source {activate}, or make shell"
