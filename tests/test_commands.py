"""Every printed command can be pasted into bash and zsh as it stands, and its settings exist."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cfg.listing import default_text
from cfg.load import load_config
from cfg.words import kinds

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SCRIPTS = [*sorted(ROOT.glob("*.py")), *sorted((ROOT / "datasets_tools").glob("*.py"))]
START = re.compile(r"(?:\w+=\S+ )*(?:python|sh|torchrun|make|pip) .*")
SPECIAL = "[]*?()<>|&;$`{}~#!"  # each of them means something to a shell


def blocks_of(path: Path) -> list[str]:
    """The code blocks of a page, the docstring of a module."""
    if path.suffix == ".md":
        return re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    return [ast.get_docstring(ast.parse(path.read_text())) or ""]


def commands() -> list[tuple[str, str]]:
    """Each command with its place; what stands two blanks behind it says what it does."""
    found = []
    for path in (*PAGES, *SCRIPTS):
        for block in blocks_of(path):
            for line in block.replace("\\\n", " ").splitlines():
                if START.fullmatch(line.strip()):
                    command = re.split(r" {2,}", re.sub(r"(?<=\S) +(?=--)", " ", line.strip()))[0]
                    found.append((str(path.relative_to(ROOT)), command))
    return found


COMMANDS = commands()


@pytest.mark.parametrize(("place", "command"), COMMANDS)
def test_shells_take_a_command_as_it_is_printed(place: str, command: str) -> None:
    shlex.split(command)  # raises where a quote has no end
    bare = re.sub(r"'[^']*'|\"[^\"$`!]*\"", "", command)
    found = [letter for letter in SPECIAL if letter in bare]
    assert not found, f"{place}: {command}: quote {' '.join(found)}"


@pytest.mark.parametrize(("place", "command"), COMMANDS)
def test_settings_of_a_command_exist(place: str, command: str) -> None:
    words = [
        word.removeprefix("--") for word in shlex.split(command) if re.match(r"(--)?[a-z]+\.[a-z_]+=", word)
    ]
    own = ("data.images=", "data.split=")  # of test.py
    words = [word for word in words if not word.startswith(own)]
    assert all(word.partition("=")[0] in kinds() for word in words), place
    yamls = [ROOT / word for word in shlex.split(command) if word.endswith(".yaml")]
    files = [path for path in yamls if path.is_file()]  # those that are here say what detector it is
    load_config(files, [word for word in words if not word.startswith("model.pretrained=")])


SHIM = """#!/bin/sh
printf '%s\\0' "${0##*/}" "$@" >> "$RECORD"
printf '\\n' >> "$RECORD"
"""


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_shells_run_the_commands_of_a_page(shell: str, page: Path, tmp_path: Path) -> None:
    """Every printed line, as it stands, reaches the program with the words that a reader sees."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    lines = [
        line.strip()
        for block in blocks_of(page)
        for line in block.replace("\\\n", " ").splitlines()
        if START.fullmatch(line.strip())
    ]
    for name in ("python", "sh", "torchrun", "make", "pip"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(SHIM)
        program.chmod(0o755)
    script, record = tmp_path / "script", tmp_path / "record"
    script.write_text("\n".join(lines) + "\n")
    record.touch()
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "RECORD": str(record), "HOME": str(tmp_path)}
    done = subprocess.run(
        [shell, "-e", script], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    seen = [line.split("\0")[:-1] for line in record.read_text().split("\n")[:-1]]
    expected = [[word for word in shlex.split(line) if not re.match(r"[A-Z]+=", word)] for line in lines]
    assert seen == expected
    assert not [line for line in lines if re.search(r"\S {2,}\S| #", line)], "prose would be arguments"


def test_cheap_commands_run(tmp_path: Path) -> None:
    """Those that list and explain, and those on the example of the repository, for real."""
    for words in (
        ["train_GGHL.py", "--settings", "threshold"],
        ["-m", "datasets_tools"],
        ["-m", "datasets_tools.convert", "--help"],
        ["-m", "datasets_tools.check", "dataR/example", "--out", tmp_path / "check", "--splits", "val"],
        ["-m", "datasets_tools.show", "dataR/example", tmp_path / "show", "--split", "val"],
    ):
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 80
    assert {"test.py", "predict.py", "train_GGHL.py"} <= {place for place, _ in COMMANDS}
    assert "python predict.py 'flights/**/*.tif' clip.mp4" in " ".join(command for _, command in COMMANDS)


@pytest.mark.parametrize("path", [*PAGES[1:], *SCRIPTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_lists_are_printed_without_brackets(path: Path) -> None:
    text = path.read_text() if path.suffix == ".md" else ast.get_docstring(ast.parse(path.read_text())) or ""
    assert not re.findall(r"(?<!')\b(?:[a-z]+\.[a-z_]+|formats)=\[.*?\]", text)


def test_the_page_of_settings_states_the_defaults() -> None:
    rows = re.findall(
        r"^\| (`\w+\.\w+`.*?) \| (.+?) \|", (ROOT / "docs/settings.md").read_text(), re.MULTILINE
    )
    found = [
        pair
        for keys, defaults in rows
        for pair in zip(re.findall(r"`(.+?)`", keys), defaults.replace("`", "").split(", "), strict=True)
        if pair[0] in kinds()
    ]
    assert len(found) > 45
    for key, default in found:
        assert default == (default_text(kinds()[key]["default"]) or "none"), key
