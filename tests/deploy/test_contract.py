"""What the page reads from a file: metadata from the bytes, and one line for each file that is none."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.javascript import call, error_of

METADATA: dict[str, Any] = {
    "format": "quad-detector/1",
    "task": "quad",
    "classes": ["plane", "étang"],
    "strides": [8, 16, 32],
    "input": {"size": [64, 96], "dynamic": False},
    "letterbox": {"fill": 128, "place": "centre", "training_scale": [0.5, 0.8, 1.0]},
    "outputs": {"quads": "x1 y1 .. x4 y4"},
    "score": {"threshold": 0.005},
    "nms": {"iou": 0.45, "max_detections": 2000, "candidates": 3000, "vote_iou": 0.5, "support": 0.0},
    "config": "data.max_downscale: null\npredict.overlap: 0.3\npredict.score_threshold: null\n",
    "thresholds": {"plane": 0.4, "*": 0.35},
}


def varint(value: int) -> bytes:
    """Return a number as protobuf has it."""
    return bytes([value]) if value < 128 else bytes([value % 128 + 128]) + varint(value // 128)


def field(number: int, value: bytes) -> bytes:
    """Return a field of bytes."""
    return varint(number * 8 + 2) + varint(len(value)) + value


def onnx_bytes(values: dict[str, Any]) -> bytes:
    """Return an ONNX file of an empty graph with metadata, written by hand."""
    entries = [field(1, key.encode()) + field(2, json.dumps(value).encode()) for key, value in values.items()]
    graph = field(7, field(2, b"empty"))
    return varint(8) + varint(8) + graph + b"".join(field(14, entry) for entry in entries)


def read(path: Path, data: bytes) -> dict[str, str]:
    path.write_bytes(data)
    (texts,) = call([["contract.js", "readMetadata", [{"bytesOf": str(path)}]]])
    assert isinstance(texts, dict)
    return texts


def test_metadata_are_read_from_the_bytes(tmp_path: Path) -> None:
    texts = read(tmp_path / "a.onnx", onnx_bytes(METADATA))
    assert {key: json.loads(text) for key, text in texts.items()} == METADATA
    assert read(tmp_path / "b.onnx", onnx_bytes({})) == {}


def test_metadata_are_those_that_onnx_writes(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not here")
    graph = onnx.helper.make_graph([], "empty", [], [])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {"a": "1", "long": "x" * 300, "none": ""})
    assert read(tmp_path / "a.onnx", model.SerializeToString()) == {"a": "1", "long": "x" * 300, "none": ""}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a model",
        b"\x89PNG\r\n\x1a\n" * 9,
        b"\xff" * 40,
        onnx_bytes(METADATA)[:-7],
        b"PK\3\4" + bytes(90),
    ],
    ids=["empty", "text", "png", "ones", "truncated", "zip"],
)
def test_other_files_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(data)
    assert "no ONNX file" in error_of("contract.js", "readMetadata", [{"bytesOf": str(path)}])


def texts_of(**changes: Any) -> dict[str, str]:
    """Return metadata as texts; a change to None leaves a key out."""
    return {key: json.dumps(value) for key, value in (METADATA | changes).items() if value is not None}


def test_rules_are_those_of_the_metadata() -> None:
    (rules, plain) = call(
        [
            ["contract.js", "readContract", [texts_of()]],
            ["contract.js", "readContract", [texts_of(config=None, thresholds=None)]],
        ]
    )
    expected = {
        "classes": ["plane", "étang"],
        "size": [64, 96],
        "fill": 128,
        "isCentred": True,
        "trainingScale": [0.5, 0.8, 1.0],
        "maxDownscale": None,
        "overlap": 0.3,
        "edge": 4,
        "scoreThreshold": 0.005,
        "shownThreshold": 0.35,
        "preNms": 3000,
        "nmsIou": 0.45,
        "mergeIou": 0.3,
        "voteIou": 0.5,
        "support": 0,
        "maxDetections": 2000,
    }
    assert rules == expected
    assert plain == expected | {"overlap": 0.25, "shownThreshold": 0.3}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"format": None}, "expected the key 'format'"),
        ({"format": "quad-detector/2"}, "expected format quad-detector/1, found quad-detector/2"),
        ({"format": "boxes"}, "expected format quad-detector/1, found boxes"),
        ({"nms": None, "score": None}, "no score, nms"),
        ({"nms": {"iou": "x", "max_detections": 9}}, "nms.iou: expected a number"),
        ({"classes": []}, "classes: expected names"),
        ({"letterbox": {"place": "somewhere"}}, "letterbox.place: somewhere"),
    ],
)
def test_other_metadata_are_refused(changes: dict[str, Any], expected: str) -> None:
    assert expected in error_of("contract.js", "readContract", [texts_of(**changes)])
