"""Machines on which processes cannot share memory, or run out of what they share it with."""

import errno
import logging
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cfg.schema import AugmentConfig, DataConfig
from dataloadR import loader
from dataloadR.annotations import read_split
from dataloadR.dataset import RotatedDataset
from dataloadR.demo.scenes import write_demo_scenes
from dataloadR.loader import eval_loader
from dataloadR.reader import ImageReader
from dataloadR.samplers import EvalBatches
from dataloadR.sharing import can_share
from tests.training_runs import ROOT
from utils.exhaustion import exhaustion
from utils.images import ImageError


@pytest.fixture(params=["locks", "memory"])
def nothing_to_share(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As without /dev/shm."""

    def refuse(*_: object, **__: object) -> None:
        if request.param == "locks":
            raise OSError(errno.ENOSYS, "Function not implemented")
        raise RuntimeError("unable to open shared memory object </torch_1> in read-write mode")

    can_share.cache_clear()
    if request.param == "locks":
        monkeypatch.setattr(multiprocessing.context.BaseContext, "Lock", refuse)
    else:
        monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    yield
    can_share.cache_clear()


@pytest.mark.usefixtures("nothing_to_share")
def test_images_are_read_without_workers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_demo_scenes(tmp_path / "data", train=3, val=1, size=(64, 64))
    annotations, _ = read_split(root, "train")
    data = DataConfig(root=str(root), image_size=64, on_error="skip")
    dataset = RotatedDataset(annotations, AugmentConfig(), data=data)
    batches = eval_loader(dataset, EvalBatches(len(annotations), 2, (64, 64)), workers=2)
    assert batches.num_workers == 0
    assert [len(batch.images) for batch in batches] == [2, 1]
    (record,) = caplog.records
    assert "no memory can be shared" in record.getMessage()


@pytest.mark.usefixtures("nothing_to_share")
def test_a_bad_image_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "a.png").write_bytes(b"no image")
    reader = ImageReader([str(tmp_path / "a.png")], DataConfig(on_error="skip"))
    for _ in range(3):
        with pytest.raises(ImageError):
            reader.read(0)
    assert sum("left out: " in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), errno.EMFILE, "too many open files"),
        (RuntimeError("unable to mmap 9 bytes from </torch_1>: Cannot allocate memory (12)"), 12, "memory"),
        (RuntimeError("unable to write to file </torch_1>: No space left on device (28)"), 28, "/dev/shm"),
        (RuntimeError("can't start new thread"), errno.EAGAIN, "ulimit -u"),
        (TypeError("cannot pickle"), 1, "a worker has ended"),
    ],
)
def test_a_worker_that_cannot_send_ends(
    error: Exception,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its parent then raises what torch says, instead of waiting."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    loader._end_with_error(error, None)
    assert codes == [code]
    assert ("TypeError: cannot pickle" in capsys.readouterr().err) == (code == 1)
    told = RuntimeError(
        f"DataLoader worker (pid 7) exited unexpectedly with exit code {code}. Details are lost"
    )
    assert words in str(exhaustion(told))


LOOP = """
import sys
from dataloadR.annotations import read_split
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import eval_loader
from dataloadR.samplers import EvalBatches
annotations, _ = read_split(sys.argv[1], "train")
batches = iter(eval_loader(RotatedDataset(annotations), EvalBatches(3, 1, (64, 64)), workers=1))
print(next(batches).images.shape[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="tensors go another way")
def test_workers_leave_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    """Those of a loop that is not at its end are killed, and had sockets there."""
    root = write_demo_scenes(tmp_path / "data", train=3, val=1, size=(64, 64))
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": str(ROOT)}
    environment |= {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", LOOP, str(root)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "1\n"
    assert list((tmp_path / "tmp").iterdir()) == []
