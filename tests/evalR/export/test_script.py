"""`export.py` from the outside: its file and its metadata, and how it ends on bad input."""

import json
import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import export
from cfg.load import load_config_text
from tests.evalR.export.networks import CLASSES, write_checkpoint
from utils.cli import run_script
from utils.files import file_hash
from utils.images import FILL

KEYS = {
    *("format", "task", "classes", "strides", "input", "letterbox", "outputs", "score", "nms", "precision"),
    *("opset", "parity", "config", "thresholds", "weights_sha256", "commit", "licence", "created"),
}


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["export.py", *words])
    return run_script(export.main)


@pytest.mark.slow
def test_a_file_and_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = write_checkpoint(tmp_path)
    words = [f"weights={weights}", "nms=full", "size=64,96", "trials=4", "eval.nms_iou=0.3"]
    assert run([*words, "out=new/small.onnx"], monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "kept by one              0" in shown
    assert "written: new/small.onnx" in shown
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["small.onnx"]
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession("new/small.onnx")
    values = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    assert set(values) == KEYS
    assert values["format"] == "quad-detector/1"
    assert values["classes"] == list(CLASSES)
    assert values["input"]["size"] == [64, 96]
    assert values["letterbox"] == values["letterbox"] | {"fill": FILL, "place": "centre"}
    assert values["nms"] == values["nms"] | {"in_graph": True, "iou": 0.3, "max_detections": 300}
    assert values["thresholds"] == {"ship": 0.25, "*": 0.2}
    assert values["weights_sha256"] == file_hash(weights)
    assert values["parity"]["max_quad_px"] <= 0.05
    assert values["parity"]["missing"] == 0
    assert load_config_text(values["config"], "the file").eval.nms_iou == 0.3
    assert [out.name for out in session.get_outputs()] == ["quads", "scores", "labels", "count"]
    assert session.get_inputs()[0].shape[1:] == [3, 64, 96]


def test_what_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is there already: it stays."""
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path)
    Path("photos").mkdir()
    cv2.imwrite("photos/grey.png", np.full((48, 80, 3), 90, np.uint8))
    Path("best.torchscript").write_text("the one before")
    monkeypatch.setattr(export, "FULL_PRECISION", export.FULL_PRECISION._replace(quad=-1.0))
    assert (
        run(["weights=best.pt", "format=torchscript", "images=photos", "trials=1"], monkeypatch)
        == export.FAILED
    )
    assert Path("best.torchscript").read_text() == "the one before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "best.torchscript", "photos"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that is only read."""
    return write_checkpoint(tmp_path_factory.mktemp("weights"))


BAD = {
    "weights=nothing.pt": "nothing.pt: no such file",
    "weights=text.pt": "text.pt: expected a checkpoint",
    "weights=ships.onnx": "weights=ships.onnx: exported already, expected a checkpoint",
    "format=caffe": "format=caffe: expected one of onnx, openvino, torchscript",
    "nms=fast": "nms=fast: expected one of none, topk, full",
    "size=100,64": "size=100,64: expected height and width in px, multiples of 32",
    "size=large": "size=large: expected height and width in px",
    "size=0": "size=0: expected height and width in px",
    "out=a.xml": "out=a.xml: expected a name that ends in .onnx, for format=onnx",
    "out=folder.onnx": "out=folder.onnx: expected the name of a file, found a folder",
    "out=text.pt/a.onnx": "out=text.pt: expected a folder",
    "images=empty": "images=empty: expected a folder of images, found none",
    "candidates=5000": "candidates: expected at most 1000, got 5000",
    "eval.nms=0.3": "unknown key 'eval.nms'",
}


@pytest.mark.parametrize("word", BAD)
def test_bad_input_is_one_line(
    word: str,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.pt").write_text("no weights")
    for folder in ("folder.onnx", "empty"):
        Path(folder).mkdir()
    assert run([f"weights={weights}", "out=a.onnx", word], monkeypatch) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ")
    assert BAD[word] in lines[-1]
    assert not list(tmp_path.glob(".export-*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    assert run([f"weights={weights}", f"out={tmp_path / 'shut' / 'a.onnx'}"], monkeypatch) == 2
    assert "expected a folder that can be written" in capsys.readouterr().err
