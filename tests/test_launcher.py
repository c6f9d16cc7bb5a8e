"""train_GGHL_dist.sh: several processes, several launchers, and a process that dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training_runs import ROOT, assert_same, finish, kill_all, last_state, table


def launch(words: list[str], **settings: str) -> "subprocess.Popen[str]":
    more = {"OMP_NUM_THREADS": "1", "PYTHON": sys.executable, "NGPU": "2", **settings}
    return subprocess.Popen(
        ["sh", str(ROOT / "train_GGHL_dist.sh"), *words],
        env={**os.environ, **more},
        stderr=subprocess.PIPE,
        text=True,
    )


def process_of_rank(word: str, rank: int) -> int | None:
    """Return the process of this command line and rank."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = word.encode() in (folder / "cmdline").read_bytes().split(b"\0")
            if mine and f"LOCAL_RANK={rank}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                return int(folder.name)
        except OSError:  # it has ended
            continue
    return None


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the processes in /proc")
def test_a_run_goes_on_by_itself_after_a_process_died(words: list[str]) -> None:
    words = [*words, "train.save_every=1", "train.epochs=4"]
    finish(launch([*words, "train.name=whole"]))
    process = launch([*words, "train.name=died"], RESTARTS="1")
    try:
        while not Path("runs/died/results.csv").exists() and process.poll() is None:
            time.sleep(0.05)
        rank = process_of_rank("train.name=died", 1)
        assert rank is not None
        os.kill(rank, signal.SIGKILL)
        finish(process)
    finally:
        kill_all(process, "train.name=died")
    assert_same(last_state("died"), last_state("whole"))
    assert table("died") == table("whole")
    assert not Path("runs/died-2").exists()


@pytest.mark.slow
def test_two_launchers_train_as_one(words: list[str]) -> None:
    """As on two machines that share the folder: the second joins the first by its address."""
    finish(launch([*words, "train.name=alone"]))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        place = f"localhost:{free.getsockname()[1]}"
    joined = [launch([*words, "train.name=joined"], NGPU="1", NNODES="2", MASTER=place) for _ in range(2)]
    try:
        for process in joined:
            finish(process)
    finally:
        for process in joined:
            kill_all(process, "train.name=joined")
    assert_same(last_state("joined"), last_state("alone"))
