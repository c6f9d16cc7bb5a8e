"""Exported files written by hand, by an exporter that shares nothing with the project's.

Their network is a mean: each cell of 32 px is a diamond about its centre, whose scores are the means of red
(`plane`), and green (`ship`).
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CELL, RADIUS = 32, 24  # px
CLASSES = ["plane", "ship"]
CONFIG = "".join(
    f"{key}: {json.dumps(value)}\n"
    for key, value in {
        "model.size": "nano",
        "data.image_size": 128,
        "data.training_scale": [1.0, 1.0, 1.0],
        "eval.score_threshold": 0.05,
        "eval.nms_iou": 0.2,
    }.items()
)


def metadata(size: tuple[int, int] = (128, 128), **changes: Any) -> dict[str, Any]:
    """Return the metadata of a file; a change to None leaves a key out."""
    values = {
        "format": "quad-detector/1",
        "task": "quad",
        "classes": CLASSES,
        "input": {"size": list(size), "multiple": CELL},
        "letterbox": {"fill": 128, "place": "centre"},
        "outputs": {"quads": "x1 y1 .. x4 y4"},
        "score": {"threshold": 0.05},
        "nms": {"iou": 0.2, "max_detections": 2000, "vote_iou": 0.5, "support": 0.0, "ending": "none"},
        "thresholds": {"plane": 0.55, "*": 0.5},
        "config": CONFIG,
    } | changes
    return {key: value for key, value in values.items() if value is not None}


def write_file(
    path: Path,
    size: tuple[int | str, int | str] = (128, 128),
    batch: int | str = "N",
    ending: str = "none",
    values: dict[str, Any] | None = None,
) -> Path:
    """Write an ONNX file; ending: none, every (scores of each class) or full (the five best, counted)."""
    lines = [*MEANS, *ENDS[ending]]
    nodes = [helper.make_node(kind, ins.split(), [out], **more) for kind, ins, out, more in lines]
    if ending == "full":
        nodes.insert(-2, helper.make_node("TopK", ["best", "five"], ["scores", "places"], axis=1))
        nodes.insert(-2, helper.make_node("Unsqueeze", ["places", "2"], ["place"]))
    made = [("quads", TensorProto.FLOAT, [batch, "K", 8])]
    if ending == "every":
        made += [("scores", TensorProto.FLOAT, [batch, "K", len(CLASSES)])]
    else:
        made += [("scores", TensorProto.FLOAT, [batch, "K"]), ("labels", TensorProto.INT32, [batch, "K"])]
    made += [("count", TensorProto.INT32, [batch])] * (ending == "full")
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, *size])],
        [helper.make_tensor_value_info(*output) for output in made],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in NUMBERS.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    texts = {key: json.dumps(value) for key, value in (metadata() if values is None else values).items()}
    helper.set_model_props(model, texts)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


NUMBERS = {
    "0": np.array([0]),
    "1": np.array([1]),
    "2": np.array([2]),
    "nothing": np.float32(0),
    "something": np.float32(1),
    "most": np.float32(255),
    "across": np.array(3),
    "down": np.array(2),
    "as_quads": np.array([0, 8, -1]),
    "as_scores": np.array([0, 2, -1]),
    "spread": np.tile(np.eye(2, dtype=np.float32) * CELL, (4, 1)).reshape(8, 2, 1, 1),
    "offsets": np.array([0, -1, 1, 0, 0, 1, -1, 0], np.float32) * RADIUS - CELL / 2,
    "five": np.array([5]),
}
MEANS: list[tuple[str, str, str, dict[str, Any]]] = [  # kind, inputs, output, attributes
    ("AveragePool", "images", "means", {"kernel_shape": [CELL, CELL], "strides": [CELL, CELL]}),
    ("Slice", "means 0 2 1", "colours", {}),
    ("Div", "colours most", "shares", {}),
    ("Reshape", "shares as_scores", "by_class", {}),
    ("Transpose", "by_class", "every", {"perm": [0, 2, 1]}),
    ("Slice", "means 0 1 1", "red", {}),
    ("Mul", "red nothing", "zeros", {}),
    ("Add", "zeros something", "ones", {}),
    ("CumSum", "ones across", "columns", {}),
    ("CumSum", "ones down", "rows", {}),
    ("Concat", "columns rows", "cells", {"axis": 1}),
    ("Conv", "cells spread offsets", "vertices", {}),
    ("Reshape", "vertices as_quads", "by_vertex", {}),
    ("Transpose", "by_vertex", "all", {"perm": [0, 2, 1]}),
]
BEST: list[tuple[str, str, str, dict[str, Any]]] = [
    ("ReduceMax", "every", "best", {"axes": [2], "keepdims": 0}),
    ("ArgMax", "every", "class", {"axis": 2, "keepdims": 0}),
]
ENDS: dict[str, list[tuple[str, str, str, dict[str, Any]]]] = {
    "none": [
        *BEST,
        ("Identity", "all", "quads", {}),
        ("Identity", "best", "scores", {}),
        ("Cast", "class", "labels", {"to": TensorProto.INT32}),
    ],
    "every": [("Identity", "all", "quads", {}), ("Identity", "every", "scores", {})],
    "full": [
        *BEST,
        ("Cast", "class", "classes", {"to": TensorProto.INT32}),
        ("Greater", "best nothing", "there", {}),
        ("Cast", "there", "each", {"to": TensorProto.INT32}),
        ("Slice", "each 0 five 1", "of_five", {}),
        ("ReduceSum", "of_five 1", "count", {"keepdims": 0}),
        ("GatherElements", "classes places", "labels", {"axis": 1}),
        ("GatherND", "all place", "quads", {"batch_dims": 1}),
    ],
}
