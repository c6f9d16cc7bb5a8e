"""The files around the code: one version, and checks that are those of `make`."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import gghl

ROOT = Path(__file__).parents[1]


def read_yaml(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def test_there_is_one_version() -> None:
    project = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    newest = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert project
    assert newest
    versions = {gghl.__version__, project[1], newest[1], read_yaml("CITATION.cff")["version"]}
    assert len(versions) == 1, versions


def test_the_citation_is_that_of_the_readme() -> None:
    citation = read_yaml("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    paper, readme = citation["preferred-citation"], (ROOT / "README.md").read_text()
    entry = re.search(r"```bibtex\n(.*?)```", readme, re.DOTALL)
    assert entry
    bibtex = re.sub(r"[{}]", "", entry[1])
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    pages = f"{paper['start']}--{paper['end']}"
    for text in (
        " and ".join(names),
        paper["title"],
        paper["journal"],
        paper["doi"],
        str(paper["year"]),
        pages,
    ):
        assert text in bibtex


def test_hooks_are_the_tools_of_the_project_and_fetch_nothing() -> None:
    repos = read_yaml(".pre-commit-config.yaml")["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = repos[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert lint
    made = [line.strip().replace("$(BIN)", ".venv/bin").removesuffix(" .") for line in lint[1].splitlines()]
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in hooks] == made


def test_the_workflow_runs_what_every_machine_runs() -> None:
    steps = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    oldest = re.search(r'requires-python = ">=(.+)"', (ROOT / "pyproject.toml").read_text())
    assert oldest
    matrix = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"][0] == oldest[1]


@pytest.mark.skipif(shutil.which("pre-commit") is None, reason="pre-commit is not installed")
def test_pre_commit_reads_its_configuration() -> None:
    done = subprocess.run(["pre-commit", "validate-config"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
