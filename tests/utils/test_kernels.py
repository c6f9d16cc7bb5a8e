"""Machine code where nothing can be written."""

import subprocess
import sys

import pytest
from numba.core.caching import CacheImpl

from tests.training_runs import ROOT
from utils.kernels import kernel


def double(x: int) -> int:
    return 2 * x


def test_a_kernel_computes_what_its_function_does() -> None:
    assert kernel(double)(21) == 42


def test_without_a_folder_to_write_each_process_compiles_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    assert kernel(double)(21) == 42


@pytest.mark.slow
def test_everything_can_be_imported_without_a_folder_to_write() -> None:
    code = """
from numba.core.caching import CacheImpl
CacheImpl._locator_classes = []
import evalR.scoring.bootstrap, evalR.scoring.evaluate, utils.quads.nms, torch
print(utils.quads.nms.quad_nms(torch.zeros(0, 4, 2), torch.zeros(0), torch.zeros(0, dtype=int), 0.5).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "torch.Size([0])\n"
