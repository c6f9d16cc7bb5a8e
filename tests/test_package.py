"""The project as other programs install it: one name, and nothing of theirs is shadowed."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import gghl
from tests.evalR.tiny_checkpoint import write_tiny_checkpoint
from tests.training_runs import ROOT

setuptools = pytest.importorskip("setuptools", minversion="77", reason="setuptools >= 77 builds the wheel")
import setup as build  # noqa: E402 - needs setuptools

pytestmark = pytest.mark.xdist_group("package")  # one wheel
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{}(sys.argv[1]))"
HOST = """
import sys
places = sys.argv[1:3]  # where the wheel is, and where the modules of the host are
sys.path[:0] = places[:: -1 if int(sys.argv[3]) else 1]
import logging, multiprocessing
import utils, cfg
from gghl import Detector, FoundObjects, UserError
import gghl.datasets_tools.check
assert multiprocessing.get_start_method(allow_none=True) is None
assert not logging.getLogger().handlers
found = Detector("best.pt", "cpu", quiet=True, score_threshold=0.004)("a.png")
assert isinstance(found, FoundObjects) and len(found)
for suffix in (".jpg", ".txt", ".csv", ".geojson", ".json"):
    found.save("out/a" + suffix)
import utils.errors
assert utils.errors.MINE == utils.MINE == cfg.MINE == "of the host"
inner = ("dataloadR", "modelR", "evalR", "datasets_tools")
ours = [name for name in sys.modules if name.partition(".")[0] in inner]
assert not ours, ours
assert gghl.__file__.startswith(sys.argv[1])
print(len(found), sorted(name for name in sys.modules["gghl"].__all__))
"""


def test_imports_are_rewritten_and_nothing_else() -> None:
    code = '''"""From utils.errors import nothing."""
import numpy, utils.errors as errors, os
from utils.errors import (
    UserError,
)
from   cfg import schema
from utilities import cfg
def late():
    é = "from utils import x"; from evalR.inference.found import FoundObjects
    return import_module("utils.files"), import_module('numpy'), importlib.import_module("cfg")
'''
    assert (
        build.moved(code, "a.py")
        == '''"""From utils.errors import nothing."""
import numpy, gghl.utils.errors as errors, os
from gghl.utils.errors import (
    UserError,
)
from   gghl.cfg import schema
from utilities import cfg
def late():
    é = "from utils import x"; from gghl.evalR.inference.found import FoundObjects
    return import_module("gghl.utils.files"), import_module('numpy'), importlib.import_module("gghl.cfg")
'''
    )
    with pytest.raises(
        setuptools.errors.SetupError, match=r"a.py:2: expected `from` or `as`, got import utils.x"
    ):
        build.moved("import os\nimport utils.x\n", "a.py")


def test_every_package_has_its_place() -> None:
    folders = {path.parent for name in build.MOVED for path in (ROOT / name).rglob("__init__.py")}
    expected = {"gghl", *(f"gghl.{'.'.join(path.relative_to(ROOT).parts)}" for path in folders)}
    assert set(build.packages(ROOT)) == expected


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what is installed, so that builds leave no traces in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in build.SOURCES.values():
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("requirements.txt", "requirements-extra.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def run_build(source: Path, kind: str, out: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-c", BUILD.format(kind), str(out)]
    return subprocess.run(words, cwd=source, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    done = run_build(source, "wheel", out)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.split()[-1]


@pytest.mark.slow
def test_an_editable_installation_is_refused(source: Path, tmp_path: Path) -> None:
    done = run_build(source, "editable", tmp_path)
    assert done.returncode != 0
    assert "an editable installation is not possible, use pip install ." in done.stderr
    assert list(tmp_path.glob("*.whl")) == []


@pytest.mark.slow
def test_the_wheel_has_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        (record,) = [name for name in names if name.endswith("/RECORD")]
        listed = [line.split(",")[0] for line in file.read(record).decode().splitlines()]
        metadata = file.read(record.replace("RECORD", "METADATA")).decode()
    assert {name.split("/")[0] for name in listed} == {"gghl", f"gghl-{gghl.__version__}.dist-info"}
    expected = {
        f"gghl/{path.relative_to(ROOT)}"
        for name in build.MOVED
        for path in (ROOT / name).rglob("*")
        if path.suffix in (".py", ".html", ".yaml")
    }
    assert expected | {"gghl/__init__.py", "gghl/py.typed"} == {n for n in names if n.startswith("gghl/")}
    assert "Requires-Dist: torch>=2.6" in metadata
    assert 'Requires-Dist: rasterio>=1.3; extra == "extra"' in metadata
    assert "License-Expression: Apache-2.0" in metadata


@pytest.mark.slow
def test_a_host_with_modules_of_the_same_names(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    for name in ("utils", "cfg"):
        (tmp_path / "host" / name).mkdir(parents=True)
        (tmp_path / "host" / name / "__init__.py").write_text('MINE = "of the host"\n')
    (tmp_path / "host/utils/errors.py").write_text('MINE = "of the host"\n')
    work = tmp_path / "elsewhere"
    work.mkdir()
    write_tiny_checkpoint(work)
    cv2.imwrite(str(work / "a.png"), np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    words = [sys.executable, "-c", HOST, str(tmp_path / "site"), str(tmp_path / "host")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for first in (0, 1):  # whichever comes first on the path
        done = subprocess.run(
            [*words, str(first)], cwd=work, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (work / "out").iterdir()) == [
        f"a.{s}" for s in ("csv", "geojson", "jpg", "json", "txt")
    ]


@pytest.mark.slow
def test_the_runtime_of_an_installation_needs_no_torch(wheel: Path, tmp_path: Path) -> None:
    for engine in ("onnx", "onnxruntime"):
        pytest.importorskip(engine, reason="writes and runs an exported file")
    from tests.evalR.runtime.small_files import write_file
    from tests.evalR.runtime.test_runtime import run_alone

    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((60, 80, 3), 200, np.uint8))
    words = [str(write_file(tmp_path / "a.onnx")), str(tmp_path / "a.png")]
    done = run_alone(words, "gghl.", tmp_path / "site")
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 0


@pytest.mark.parametrize("package", build.MOVED)
def test_every_module_can_be_moved_below_one_name(package: str) -> None:
    """What the build refuses, without a build: `import utils.x` without `as`, names put together."""
    for path in (ROOT / package).rglob("*.py"):
        code = build.moved(path.read_text(), str(path))
        ast.parse(code)
        assert f'import_module(f"{package}' not in code, path
