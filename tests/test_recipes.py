"""Every command of the recipes is one that its tool accepts."""

import argparse
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from cfg.load import load_config

ROOT = Path(__file__).parents[1]
LINES = re.findall(r"^(?:python|sh) .+$", (ROOT / "docs/recipes.md").read_text(), re.MULTILINE)
TOOLS = [line for line in LINES if " -m datasets_tools." in line]
SCRIPTS = [line for line in LINES if line not in TOOLS]
OWN = ("out=", "weights=")  # words of test.py and predict.py that are no settings


class ParsedError(Exception):
    """The words were accepted; nothing is to run."""


@pytest.mark.parametrize("line", TOOLS)
def test_tools_accept_the_words(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, module, *words = shlex.split(line)
    for name in ("parse_args", "parse_intermixed_args"):
        parse = getattr(argparse.ArgumentParser, name)

        def stop(parser: argparse.ArgumentParser, *arguments: Any, parse: Any = parse) -> None:
            parse(parser, *arguments)
            raise ParsedError

        monkeypatch.setattr(argparse.ArgumentParser, name, stop)
    with pytest.raises(ParsedError):
        importlib.import_module(module).main(words)


@pytest.mark.parametrize("line", SCRIPTS)
def test_scripts_accept_the_settings(line: str) -> None:
    _, script, *words = shlex.split(line)
    assert (ROOT / script).is_file()
    files = [word for word in words if "=" not in word and not word.startswith("cfg/detectors/")]
    yaml = next((ROOT / file for file in files if file.endswith(".yaml")), None)
    load_config(
        [ROOT / word for word in words if word.endswith(".yaml")],
        [word for word in words if "=" in word and not word.startswith(OWN)],
    )
    assert len(files) <= 1 + (script == "test.py" and yaml is not None)
    assert yaml or script in ("test.py", "predict.py") or not files


def test_every_yaml_has_its_recipe() -> None:
    text = (ROOT / "docs/recipes.md").read_text()
    files = {path.name for path in (ROOT / "cfg").glob("*.yaml")} - {"demo.yaml"}
    assert files == set(re.findall(r"^python .* cfg/(\w+\.yaml)", text, re.MULTILINE))
    assert len(TOOLS) > 20
    assert len(SCRIPTS) > 15
