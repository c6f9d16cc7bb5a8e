"""The list of the tools, and one of them by its name."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from datasets_tools.__main__ import main, tools
from utils.errors import UserError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_every_tool_has_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert not main(words)
    lines = capsys.readouterr().out.splitlines()
    with_parser = {
        path.stem for path in (ROOT / "datasets_tools").glob("*.py") if "ArgumentParser(" in path.read_text()
    }
    assert {line.split()[0] for line in lines[2:]} == with_parser
    assert len(with_parser) >= 7
    assert all(len(line) <= 130 and line.endswith(".") for line in lines[2:])


@pytest.mark.parametrize("name", tools())
def test_each_tool_says_how_its_words_are_written(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: python -m datasets_tools.{name}" in shown
    assert "--name value, --name=value or name=value" in shown
    assert (importlib.import_module(f"datasets_tools.{name}").__doc__ or "").splitlines()[0]


def test_a_name_that_no_tool_has() -> None:
    with pytest.raises(UserError, match="cut: no such tool, expected check, convert, "):
        main(["cut", "a", "b"])


def test_a_tool_gets_the_words_behind_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected"):
        main(["split", str(tmp_path / "none"), str(tmp_path / "out"), "size=64"])


@pytest.mark.slow
def test_from_the_outside() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "datasets_tools"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "  convert  " in done.stdout.replace("convert    ", "convert  ")


LIGHT = """
import contextlib, importlib, io, sys
for name in sys.argv[1:]:
    tool, shown = importlib.import_module("datasets_tools." + name), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        tool.main(["--help"])
    assert "usage: python -m datasets_tools." + name in shown.getvalue()
    heavy = {"torch", "numpy", "cv2", "numba", "shapely", "timm", "matplotlib"} & set(sys.modules)
    assert not heavy, (name, heavy)
"""


def test_help_loads_no_library_that_takes_seconds() -> None:
    command = [sys.executable, "-c", LIGHT, *tools()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
