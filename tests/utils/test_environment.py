"""What a run writes down about its surroundings."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.environment import environment_text, git_commit, package_version
from utils.seeding import seed_everything


def test_every_line_says_something(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_everything(41)
    monkeypatch.setattr(sys, "argv", ["train_GGHL.py", "data.root=/a b"])
    rows = dict(line.split(": ", 1) for line in environment_text("abc").splitlines())
    assert rows["python"] == ".".join(map(str, sys.version_info[:3]))
    assert rows["numpy"] == np.__version__
    assert rows["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"torchvision", "opencv", "numba", "timm", "cpu", "gpu", "git"} <= set(rows)
    assert "none" not in (rows["numba"], rows["timm"], rows["torchvision"])
    assert f"{torch.get_num_threads()} torch threads" in rows["cpu"]
    assert (rows["data"], rows["seed"]) == ("abc", "41")
    assert shlex.split(rows["command"]) == sys.argv
    assert "\ndata: none\n" in environment_text(None)


def test_packages_that_are_not_there() -> None:
    assert package_version("no-such-package-of-ours") == "none"


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", *identity, *words]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_and_whether_the_tree_differs(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == "none"
    git(tmp_path, "init")
    assert git_commit(tmp_path) == "none", "no commit yet"
    (tmp_path / "a.py").write_text("1\n")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-m", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    (tmp_path / "a.py").write_text("2\n")
    assert git_commit(tmp_path) == f"{commit} with changes"
    (tmp_path / "inner").mkdir()
    assert git_commit(tmp_path / "inner") == "none", "another project's repository around a copy of the code"


def test_no_git_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(tmp_path) == "none"
