"""Short trainings in the test's folder, in this process or in several others."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from utils.runlog import read_results_table

ROOT = Path(__file__).parents[1]
WORDS = [
    "data.classes=[court,plane,ship,vehicle]",
    "data.image_size=64",
    "data.workers=0",
    "train.batch_size=4",
    "train.epochs=2",
    "train.eval_every=2",
    "train.optimizer=muon",
    "model.size=nano",
    "model.dropblock=0.1",
    "augment.mosaic=0.5",
    "augment.copy_paste=0.5",
]


def last_state(folder: str) -> dict[str, object]:
    return torch.load(f"runs/{folder}/last.pt", weights_only=True)


def assert_same(found: object, expected: object, at: str = "") -> None:
    if isinstance(expected, Tensor):
        assert isinstance(found, Tensor)
        assert torch.equal(found, expected), at
    elif isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for key in expected:
            if key not in ("config", "seconds", "waited"):
                assert_same(found[key], expected[key], f"{at}.{key}")
    elif isinstance(expected, list | tuple):
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):  # type: ignore[call-overload]
            assert_same(a, b, f"{at}[{k}]")
    else:
        assert found == expected, at


def table(folder: str) -> list[dict[str, str]]:
    rows = read_results_table(f"runs/{folder}/results.csv")
    timed = ("images_per_second", "data_wait_share")
    return [{key: value for key, value in row.items() if key not in timed} for row in rows]


def start(
    words: list[str], processes: int = 1, session: bool = False, script: str = "train_GGHL.py"
) -> "subprocess.Popen[str]":
    launcher = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone"]
    launcher += [] if processes == 1 else [f"--nproc_per_node={processes}"]
    threads = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *launcher, str(ROOT / script), *words]
    environment = {**os.environ, **threads}
    return subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=session
    )


def kill_all(process: "subprocess.Popen[str]", word: str) -> None:
    """Kill the process and those of this command line: the workers of a launcher outlive it."""
    process.kill()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
    process.communicate(timeout=60)


def finish(process: "subprocess.Popen[str]", seconds: int = 300) -> str:
    _, errors = process.communicate(timeout=seconds)
    assert process.returncode == 0, errors[-2000:]
    return errors
