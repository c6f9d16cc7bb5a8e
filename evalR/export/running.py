"""Running of an exported file by the engine that it is made for."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalR.export.formats import FileFormat
from evalR.runtime.engines import Outputs, open_engine

Runner = Callable[[NDArray[np.float32]], Outputs]  # images (N, 3, H, W) -> outputs by name


def file_runner(path: Path, form: FileFormat, outputs: Sequence[str]) -> tuple[str, Runner]:
    """Return the name and version of an engine, and what runs a file with it on the CPU.

    Raises:
        UserError: the engine is not installed, or cannot read the file.
    """
    if form == "torchscript":
        return _torchscript(path, outputs)
    engine = open_engine(path, "onnxruntime" if form == "onnx" else form)
    return f"{engine.name} {version(engine.name)}", engine.run


def _torchscript(path: Path, outputs: Sequence[str]) -> tuple[str, Runner]:
    module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]

    def run(images: NDArray[np.float32]) -> Outputs:
        with torch.inference_mode():
            found: Any = module(torch.from_numpy(images))
        return {name: value.numpy() for name, value in zip(outputs, found, strict=True)}

    return f"torch {torch.__version__}", run
