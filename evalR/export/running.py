"""Running of an exported file by the engine that it is made for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evalR.export.formats import INPUT_NAME, FileFormat
from utils.extras import need_extra

Arrays = dict[str, NDArray[Any]]
Runner = Callable[[NDArray[np.float32]], Arrays]  # images (N, 3, H, W) -> outputs by name


def file_runner(path: Path, form: FileFormat, outputs: Sequence[str]) -> tuple[str, Runner]:
    """Return the name and version of an engine, and what runs a file with it on the CPU.

    Raises:
        UserError: the engine is not installed.
    """
    match form:
        case "onnx":
            return _onnxruntime(path, outputs)
        case "openvino":
            return _openvino(path, outputs)
        case "torchscript":
            return _torchscript(path, outputs)


def _onnxruntime(path: Path, outputs: Sequence[str]) -> tuple[str, Runner]:
    library = need_extra("onnxruntime", "the check of the exported file")
    options = library.SessionOptions()
    options.log_severity_level = 3  # errors
    session = library.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(images: NDArray[np.float32]) -> Arrays:
        return dict(zip(outputs, session.run(list(outputs), {INPUT_NAME: images}), strict=True))

    return f"onnxruntime {library.__version__}", run


def _openvino(path: Path, outputs: Sequence[str]) -> tuple[str, Runner]:
    library = need_extra("openvino", "the check of the exported file")
    # processors that can would compute in 16 bits by themselves
    model = library.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(images: NDArray[np.float32]) -> Arrays:
        found = model({INPUT_NAME: images})
        return {name: np.array(found[name]) for name in outputs}

    return f"openvino {library.__version__}", run


def _torchscript(path: Path, outputs: Sequence[str]) -> tuple[str, Runner]:
    module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]

    def run(images: NDArray[np.float32]) -> Arrays:
        with torch.inference_mode():
            found = module(torch.from_numpy(images))
        return {name: value.numpy() for name, value in zip(outputs, found, strict=True)}

    return f"torch {torch.__version__}", run
