"""Packaging: all of the project below one name, `gghl`, so that no `utils` of others is shadowed.

In the checkout the packages lie side by side and import each other as `utils.errors`.  The build copies them
below `gghl/` and turns these imports into `gghl.utils.errors`; pyproject.toml says the rest.
"""

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel
from setuptools.errors import SetupError

NAME = "gghl"
MOVED = ("cfg", "utils", "dataloadR", "modelR", "evalR", "datasets_tools")
SOURCES = {NAME: NAME, **{f"{NAME}.{package}": package for package in MOVED}}  # package -> folder


def moved(code: str, path: str) -> str:
    """Return code whose imports of our packages are those below `gghl`; all else stays as it is.

    Raises:
        SetupError: `import utils.errors`, which binds a name that will not be there; `from` and `as` do not.
    """
    lines = code.splitlines(keepends=True)
    for line, column in sorted(_places(ast.parse(code), path), reverse=True):
        text = lines[line - 1].encode()  # ast counts bytes
        at = column + len(text[column:]) - len(text[column:].lstrip(b" \"'"))
        lines[line - 1] = (text[:at] + f"{NAME}.".encode() + text[at:]).decode()
    return "".join(lines)


def _places(tree: ast.Module, path: str) -> Iterator[tuple[int, int]]:
    """Yield line and column of each name of a module of ours, or of the quote or blank before it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            yield node.lineno, node.col_offset + len("from")
        elif isinstance(node, ast.Import):
            for name in filter(lambda name: _is_ours(name.name), node.names):
                if name.asname is None:
                    raise SetupError(f"{path}:{node.lineno}: expected `from` or `as`, got import {name.name}")
                yield name.lineno, name.col_offset
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            word = node.args[0]
            if isinstance(word, ast.Constant) and _is_ours(word.value):
                yield word.lineno, word.col_offset


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] in MOVED


class BuildBelowOneName(build_py):
    """Copies the packages and rewrites their imports."""

    def run(self) -> None:
        target = Path(self.build_lib, NAME)
        shutil.rmtree(target, ignore_errors=True)  # of an earlier build, whose files may be gone
        super().run()
        for path in target.rglob("*.py"):
            path.write_text(moved(path.read_text(encoding="utf-8"), str(path)), encoding="utf-8")


class NoEditableInstallation(editable_wheel):
    """Says why not: the files of the checkout would be used, whose imports are not rewritten."""

    def run(self) -> None:
        raise SetupError("an editable installation is not possible, use pip install . (docs/python.md)")


def extras() -> list[str]:
    """Return the optional libraries that requirements-extra.txt names."""
    lines = [
        line.partition("#")[0].strip() for line in Path("requirements-extra.txt").read_text().splitlines()
    ]
    return [line for line in lines if line and not line.startswith("-")]


def packages(root: Path) -> list[str]:
    """Return all packages by the names that they get."""
    inner = [f"{name}.{below}" for name, folder in SOURCES.items() for below in find_packages(root / folder)]
    return [*SOURCES, *inner]


if __name__ == "__main__":
    setup(
        packages=packages(Path()),
        package_dir=SOURCES,
        package_data={"": ["*.yaml", "*/*.yaml", "*.html", "py.typed"]},
        extras_require={"extra": extras()},
        cmdclass={"build_py": BuildBelowOneName, "editable_wheel": NoEditableInstallation},
    )
