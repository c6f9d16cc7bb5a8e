"""Inference engines: ONNX Runtime and OpenVINO behind one small interface, loaded when a file needs them."""

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from utils.errors import UserError, first_line
from utils.extras import find_extra
from utils.files import EXPORTED_SUFFIXES

INPUT = "images"
OUTPUTS = ("quads", "scores", "labels", "count")  # those that a file has, in this order
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino"}  # engine: what pip installs
Outputs = dict[str, NDArray[Any]]
InputShape = tuple[int | None, int | None, int | None, int | None]  # of the input, None where it is free


class Engine(Protocol):
    """A file that is ready to run."""

    name: str
    texts: Mapping[str, str]  # of its metadata
    outputs: tuple[str, ...]  # that it has of OUTPUTS
    shape: InputShape
    dtype: type[np.generic]  # of the input

    def run(self, images: NDArray[Any]) -> Outputs:
        """Return the outputs by name for images (N, 3, H, W); threads may share an engine."""


def is_exported(path: str | Path) -> bool:
    """Say whether a name is that of a file for an engine, not of a checkpoint."""
    return Path(path).suffix.lower() in EXPORTED_SUFFIXES


def open_engine(path: Path, name: str | None = None, threads: int | None = None) -> Engine:
    """Return the engine for a file, ready to run.

    Args:
        path: .onnx, or the .xml of OpenVINO with its .bin beside it.
        name: onnxruntime or openvino, which reads both; None: the one of the suffix, for .onnx the other
            where it is not installed.
        threads: of the CPU; None: as the engine likes.

    Raises:
        UserError: no such file, no model, or the engine is not installed.
    """
    if not is_exported(path):
        raise UserError(f"{path}: expected an exported file, {' or '.join(EXPORTED_SUFFIXES)}")
    if not path.is_file():
        raise UserError(
            f"{path}: expected an exported file, found {'a folder' if path.is_dir() else 'nothing'}"
        )
    module, engine = _installed(path, name)
    try:
        return (_OnnxRuntime if engine == "onnxruntime" else _OpenVino)(module, path, threads)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - the errors of engines share nothing else
        raise UserError(f"{path}: no model that {engine} can read: {first_line(_told(error))}") from None


def _installed(path: Path, name: str | None) -> tuple[Any, str]:
    """Return the library that runs a file, and its name."""
    if name not in (None, *PACKAGES):
        raise UserError(f"engine: expected {' or '.join(PACKAGES)}, got {name!r}")
    own = ("openvino",) if path.suffix.lower() == ".xml" else ("onnxruntime", "openvino")
    if name and name not in own:
        raise UserError(f"engine={name}: expected {own[0]} for {path}")
    for engine in (name,) if name else own:
        module = find_extra(engine)
        if module is not None:
            return module, engine
    wanted = name or own[0]
    raise UserError(f"{path} needs {wanted}: pip install {PACKAGES[wanted]}")


def _told(error: Exception) -> Exception:
    """Return an error with the line that says something: OpenVINO begins with places in its source."""
    lines = [
        line for line in str(error).splitlines() if line and not line.startswith(("Exception from", "Check "))
    ]
    return RuntimeError(lines[0]) if lines else error


class _OnnxRuntime:
    name = "onnxruntime"

    def __init__(self, module: Any, path: Path, threads: int | None) -> None:
        options = module.SessionOptions()
        options.log_severity_level = 3  # errors, which are raised
        if threads:
            options.intra_op_num_threads = threads
        self._session = module.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.texts: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        inputs = {value.name: value for value in self._session.get_inputs()}
        found = [value.name for value in self._session.get_outputs()]
        self.outputs = _checked_names(path, [*inputs], found)
        self.shape: InputShape = _to_shape(inputs[INPUT].shape)
        self.dtype: type[np.generic] = np.uint8 if inputs[INPUT].type == "tensor(uint8)" else np.float32

    def run(self, images: NDArray[Any]) -> Outputs:
        found = self._session.run(list(self.outputs), {INPUT: images})
        return dict(zip(self.outputs, found, strict=True))


class _OpenVino:
    name = "openvino"

    def __init__(self, module: Any, path: Path, threads: int | None) -> None:
        if path.suffix.lower() == ".xml" and b"<net" not in path.read_bytes()[:2000]:
            raise UserError(f"{path}: no model of OpenVINO, expected a <net>")  # it would try all formats
        core = module.Core()
        model = core.read_model(path)
        self.texts: Mapping[str, str] = _texts_of(model)
        inputs = {value.get_any_name(): value for value in model.inputs}
        names = [value.get_any_name() for value in model.outputs]
        self.outputs = _checked_names(path, [*inputs], names)
        dimensions = inputs[INPUT].partial_shape
        self.shape: InputShape = _to_shape([None if d.is_dynamic else d.get_length() for d in dimensions])
        self.dtype: type[np.generic] = (
            np.uint8 if inputs[INPUT].element_type == module.Type.u8 else np.float32
        )
        # new processors would compute in bfloat16 by themselves, which moves scores
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._compiled = core.compile_model(model, "CPU", settings)
        self._request = self._compiled.create_infer_request()
        self._using_it = Lock()

    def run(self, images: NDArray[Any]) -> Outputs:
        with self._using_it:  # a request has one input
            found = self._request.infer({INPUT: images}, share_inputs=True)
            return {name: np.array(found[name]) for name in self.outputs}


def _texts_of(model: Any) -> dict[str, str]:
    """Return the metadata of a model of OpenVINO, which keeps those of ONNX in another place."""
    for section in ("model_info", "framework"):
        if model.has_rt_info([section]):
            values = model.get_rt_info([section]).value
            if isinstance(values, dict):
                return {str(key): str(getattr(value, "value", value)) for key, value in values.items()}
    return {}


def _to_shape(found: Any) -> InputShape:
    """Return a shape in which names of free dimensions are None."""
    sizes = [size if isinstance(size, int) and size > 0 else None for size in found]
    batch, channels, height, width = sizes if len(sizes) == 4 else (None, 0, None, None)
    return batch, channels, height, width


def _checked_names(path: Path, inputs: list[str], found: list[str]) -> tuple[str, ...]:
    """Return the outputs that a file has.

    Raises:
        UserError: the file is not that of a detector.
    """
    if inputs != [INPUT] or not {"quads", "scores"} <= {*found}:
        got = f"{', '.join(inputs)} and {', '.join(found)}"
        raise UserError(
            f"{path}: no exported detector: expected the input images and quads, scores, got {got}"
        )
    return tuple(name for name in OUTPUTS if name in found)
