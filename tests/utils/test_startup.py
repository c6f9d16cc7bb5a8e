"""Scripts started by a Python without the libraries end with one line."""

from utils.startup import missing_line, spin_briefly

import ast
import os
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


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_spin_briefly_unless_told_otherwise(
    given: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    spin_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_every_script_begins_with_it() -> None:
    """Before torch, which reads the environment when it is loaded."""
    for path in (ROOT / name for name in ("train_GGHL.py", "test.py", "predict.py")):
        imports = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)]
        assert ast.unparse(imports[0]) == "import utils.startup", path
    assert (ROOT / "datasets_tools/__init__.py").read_text().startswith("from utils import startup")


def test_nothing_is_missing_here(tmp_path: Path) -> None:
    assert missing_line(tmp_path) is None


def test_the_line_names_the_environment_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.startup.find_spec", lambda name: None if name == "cv2" else object())
    line = missing_line(tmp_path)
    head = f"{sys.executable} has no opencv-python-headless; "
    listed = tmp_path / "requirements.txt"
    assert line == f"{head}make shell sets up an environment, or pip install -r {listed}"
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    assert missing_line(tmp_path) == f"{head}activate its environment: source {activate}, or make shell"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("ImportError('libtorch.so: failed to map segment from shared object')", 2, "too little memory"),
        ("MemoryError()", 2, "too little memory"),
        ("OSError(24, 'Too many open files')", 2, "ulimit -n"),
        ("ImportError('cannot import name')", 1, None),
        ("TypeError('out of memory')", 1, None),
    ],
)
def test_a_machine_that_cannot_load_the_libraries(error: str, code: int, words: str | None) -> None:
    command = [sys.executable, "-c", f"import utils.startup\nraise {error}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code
    if words:
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert words in line
    else:
        assert done.stderr.startswith("Traceback")
