"""Startup, the first import of every script: what must happen before the libraries are loaded.

One clear line where they are not installed, or where the machine cannot load them, and no traceback; and how
their threads wait.  It imports nothing that may be missing.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from utils.exhaustion import exhaustion, write_error

ROOT = Path(__file__).parents[1]
NEEDED = {  # module, and what pip calls it
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "cv2": "opencv-python-headless",
    "pydantic": "pydantic",
    "yaml": "pyyaml",
    "numba": "numba",
    "shapely": "shapely",
    "timm": "timm",
}


def missing_line(root: Path = ROOT) -> str | None:
    """Return what is missing and what to do about it; None where everything is there."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if not missing:
        return None
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    activate = root / ".venv" / scripts / "activate"
    if activate.is_file():
        mend = f"activate its environment: {'source ' * (scripts == 'bin')}{activate}, or make shell"
    else:
        mend = f"make shell sets up an environment, or pip install -r {root / 'requirements.txt'}"
    others = f" and {len(missing) - 1} more of requirements.txt" if missing[1:] else ""
    return f"{sys.executable} has no {missing[0]}{others}; {mend}"


def stop_if_missing() -> None:
    """End the script with exit code 2 where a library is missing."""
    line = missing_line()
    if line:
        sys.stderr.write(f"error: {line}\n")
        raise SystemExit(2)


def end_in_a_line() -> None:
    """Let what the machine lacks while libraries are loaded end in one line and with exit code 2.

    From then on `utils.cli.run_script` sees to that.
    """
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        line = exhaustion(error)
        if line is None:
            before(kind, error, trace)
            return
        write_error(f"error: {line}\n")
        os._exit(2)

    sys.excepthook = hook


def spin_briefly() -> None:
    """Let the threads of OpenMP sleep soon while they wait for each other, unless the environment says else.

    By default they spin for milliseconds.  Where other work keeps the cores busy, the one that all wait for
    then stands in the queue behind those that wait: a training step of 0.2 s took more than 15.  Sleeping at
    once costs half as much again on an idle machine (docs/benchmarks.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


end_in_a_line()
stop_if_missing()
spin_briefly()
