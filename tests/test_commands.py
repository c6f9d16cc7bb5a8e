"""Every printed command can be pasted into bash and zsh as it stands, and its settings exist."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from cfg.listing import default_text
from cfg.load import load_config
from cfg.words import kinds

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
SCRIPTS = [*sorted(ROOT.glob("*.py")), *sorted((ROOT / "datasets_tools").glob("*.py"))]
START = re.compile(r"(?:\w+=\S+ )*(?:python|sh|torchrun) .*")
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
    load_config(None, [word for word in words if not word.startswith("model.pretrained=")])


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
