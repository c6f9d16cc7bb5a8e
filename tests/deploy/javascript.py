"""Functions of the page in the browser, called by node."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

CALLER = Path(__file__).with_name("call.mjs")
OLDEST = 18  # version of node


def need_node() -> str:
    """Return the path of node; skip the test where there is none, or one that is too old."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").partition(".")[0]) < OLDEST:
        pytest.skip(f"node {version.strip()} is older than {OLDEST}")
    return node


def call(calls: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the results of calls [module, function, arguments]."""
    answers = [answer["result"] for answer in _answers(calls)]
    assert len(answers) == len(calls)
    return answers


def error_of(module: str, function: str, arguments: Sequence[Any]) -> str:
    """Return the message of the error that a call throws."""
    (answer,) = _answers([[module, function, arguments]])
    return str(answer["error"])


def _answers(calls: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    command = [need_node(), str(CALLER)]
    done = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers
