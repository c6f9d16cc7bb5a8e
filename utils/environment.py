"""Environment of a run: versions, machine, code and command, as text."""

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import torch

ROOT = Path(__file__).parents[1]
PACKAGES = ("torch", "torchvision", "numpy", "numba", "timm")


def environment_text(data_hash: str | None) -> str:
    """Return lines `name: value` of what a result may depend on beside its settings.

    The seed is torch's at the time of the call: after `seed_everything`, that of the run.
    """
    rows = {"python": platform.python_version(), "system": platform.platform()}
    rows |= {name: package_version(name) for name in PACKAGES}
    rows["opencv"] = cv2.__version__  # one of four packages
    rows["cpu"] = f"{cpu_name()}, {os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    rows["gpu"] = gpu_names()
    rows["git"] = git_commit(ROOT)
    rows["data"] = data_hash or "none"
    rows["seed"] = str(torch.initial_seed())
    rows["command"] = shlex.join(sys.argv)
    return "".join(f"{name}: {value}\n" for name, value in rows.items())


def package_version(name: str) -> str:
    """Return the installed version, or `none`."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def cpu_name() -> str:
    """Return the model of the processor as far as the system tells it."""
    table = Path("/proc/cpuinfo")  # Linux; platform.processor() is empty there
    lines = table.read_text().splitlines() if table.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def gpu_names() -> str:
    """Return the GPUs and the CUDA version, or `none`."""
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return f"{', '.join(names)}, CUDA {torch.version.cuda}" if names else "none"


def git_commit(folder: Path) -> str:
    """Return the commit of the code and whether files differ from it; `none` outside git or without it."""
    if not (folder / ".git").exists():  # a copy of the code inside another repository is not that repository
        return "none"
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    if commit is None or changes is None:
        return "none"
    return commit + (" with changes" if changes else "")


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
