"""Formats of exported files: a graph as ONNX, OpenVINO or TorchScript, with its metadata inside."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from cfg.schema import SIZE_STEP
from evalR.export.deforming import PlainDeforming
from evalR.export.graph import OPSET, QuadGraph, Shaping
from evalR.runtime.engines import INPUT
from utils.extras import need_extra

FileFormat = Literal["onnx", "openvino", "torchscript"]
FORMAT_SUFFIXES: dict[str, str] = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".torchscript"}
MOST_CELLS = 512  # of stride 32 along a side: 16,384 px
EXAMPLE_BATCH = 2  # one could be taken for a number that never changes


# writes the file at a path with these metadata
FileWriter = Callable[[Path, Mapping[str, str]], None]


def file_writer(form: FileFormat, graph: QuadGraph, shaping: Shaping) -> FileWriter:
    """Return what writes a graph as a file; the graph is converted once, now.

    Raises:
        UserError: a library is not installed.
    """
    match form:
        case "onnx":
            return _onnx_writer(onnx_model(graph, shaping))
        case "openvino":
            return _openvino_writer(onnx_model(graph, shaping), shaping.half)
        case "torchscript":
            return _torchscript_writer(graph, shaping)


def onnx_model(graph: QuadGraph, shaping: Shaping) -> Any:
    """Return a graph as a model of ONNX, checked.

    Raises:
        UserError: onnx or onnxscript is not installed.
    """
    for library in ("onnx", "onnxscript"):
        need_extra(library, "export to ONNX")
    onnx = need_extra("onnx", "export to ONNX")
    images = _example(shaping, next(graph.parameters()).device)
    with torch.no_grad(), _quiet(), PlainDeforming():
        program = torch.export.export(graph, (images,), dynamic_shapes=_dynamic_shapes(shaping), strict=False)
    with torch.no_grad(), _quiet():
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(graph.plan.outputs),
            verbose=False,
        )
    assert exported is not None
    model = exported.model_proto
    onnx.checker.check_model(model, full_check=True)
    return model


def _example(shaping: Shaping, device: torch.device) -> Tensor:
    return torch.zeros(EXAMPLE_BATCH, 3, *shaping.size, device=device)


def _dynamic_shapes(shaping: Shaping) -> dict[str, dict[int, Any]]:
    own: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=4096)}
    if shaping.is_dynamic:
        own[2] = SIZE_STEP * torch.export.Dim("rows", min=1, max=MOST_CELLS)
        own[3] = SIZE_STEP * torch.export.Dim("columns", min=1, max=MOST_CELLS)
    return {INPUT: own}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporters say about themselves."""
    names = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _onnx_writer(model: Any) -> FileWriter:
    def write(path: Path, texts: Mapping[str, str]) -> None:
        del model.metadata_props[:]
        for key, text in texts.items():
            model.metadata_props.add(key=key, value=text)
        path.write_bytes(model.SerializeToString())

    return write


def _openvino_writer(model: Any, half: bool) -> FileWriter:
    openvino = need_extra("openvino", "export to OpenVINO")
    converted = openvino.Core().read_model(model.SerializeToString())

    def write(path: Path, texts: Mapping[str, str]) -> None:
        for key, text in texts.items():
            converted.set_rt_info(text, ["model_info", key])
        openvino.save_model(converted, path, compress_to_fp16=half)

    return write


def _torchscript_writer(graph: QuadGraph, shaping: Shaping) -> FileWriter:
    images = _example(shaping, next(graph.parameters()).device)
    with torch.no_grad(), _quiet(), PlainDeforming():
        traced: Any = torch.jit.trace(graph, (images,), check_trace=False)  # type: ignore[no-untyped-call]
        frozen = torch.jit.freeze(traced)

    def write(path: Path, texts: Mapping[str, str]) -> None:
        torch.jit.save(frozen, path, _extra_files={key: text.encode() for key, text in texts.items()})

    return write
