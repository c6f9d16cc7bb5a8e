"""Command line of the tools for data sets, by name: python -m datasets_tools TOOL ..."""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.cli import run_script
from utils.errors import UserError

FOLDER = Path(__file__).parent
ENTRY = 'if __name__ == "__main__":'


def tools() -> dict[str, str]:
    """Return every tool with the first line of its docstring; nothing is imported."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("[a-z]*.py"))}
    return {
        name: (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        for name, text in texts.items()
        if ENTRY in text
    }


def listing() -> str:
    """Return one line for each tool."""
    known = tools()
    width = max(map(len, known))
    lines = [f"  {name:<{width}}  {about}" for name, about in known.items()]
    head = "python -m datasets_tools TOOL ..., or python -m datasets_tools.TOOL ...; each has --help"
    return "\n".join([head, "", *lines, ""])


def main(words: Sequence[str]) -> int | None:
    """List the tools, or run the one that is named with the words behind it."""
    name, *rest = words or ["--help"]
    if name in ("--help", "-h", "help"):
        sys.stdout.write(listing())
        return 0
    if name not in tools():
        raise UserError(f"{name}: no such tool, expected {', '.join(tools())}")
    result: int | None = importlib.import_module(f"{__package__}.{name}").main(rest)
    return result


if __name__ == "__main__":
    sys.exit(run_script(main))
