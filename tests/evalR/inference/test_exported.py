"""Exported files in place of checkpoints: the same as a network of torch that computes what they do."""

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

pytest.importorskip("onnx", reason="writes the files")
pytest.importorskip("onnxruntime", reason="runs them")

import predict
import test as evaluation
from evalR.inference.detector import Detector
from evalR.inference.exported import GraphOutput, graph_candidates
from evalR.inference.found import FoundObjects
from evalR.inference.load import load_detector
from evalR.runtime import Runtime
from modelR.build import init_model
from modelR.method import Predictions
from modelR.network import Network
from tests.evalR.runtime.small_files import CELL, CLASSES, RADIUS, metadata, write_file
from utils.arrays import U8
from utils.cli import run_script
from utils.errors import UserError


def picture(height: int, width: int, seed: int = 0) -> U8:
    """Return noise that is coarse enough for means to differ, and fine enough for no blank tiles."""
    small = np.random.default_rng(seed).integers(0, 256, (-(-height // 40), -(-width // 40), 3), np.uint8)
    return np.ascontiguousarray(np.kron(small, np.ones((40, 40, 1), np.uint8))[:height, :width])


class Means(Network):
    """What the files compute, in torch."""

    def __init__(self, like: Network) -> None:
        method = replace(like.method, candidates=graph_candidates)
        super().__init__(nn.Identity(), nn.Identity(), (), method)

    def forward(self, images: Tensor) -> Predictions:
        means = avg_pool2d(images[:, :2].float(), CELL) / 255
        height, width = means.shape[2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centres = (torch.stack([x, y], -1).reshape(-1, 1, 2) + 0.5) * CELL
        quads = centres + torch.tensor([[0, -1], [1, 0], [0, 1], [-1, 0]]) * RADIUS
        return [GraphOutput(quads.expand(len(images), -1, 4, 2), means.flatten(2).mT)]


def both(path: Path, **settings: Any) -> tuple[Detector, Detector]:
    """Return the detector of a file and the one of torch."""
    found, expected = Detector(path, quiet=True, **settings), Detector(path, quiet=True, **settings)
    expected.trained = expected.trained._replace(model=Means(expected.trained.model))
    return found, expected


def check(found: FoundObjects, expected: FoundObjects) -> None:
    assert found.labels.tolist() == expected.labels.tolist()
    assert found.scores == pytest.approx(expected.scores, abs=1e-5)
    assert found.quads == pytest.approx(expected.quads, abs=1e-3)


@pytest.mark.parametrize(
    ("size", "batch", "settings"),
    [
        (("H", "W"), "N", {}),
        ((128, 128), "N", {"eval.flips": "both", "eval.turns": [0, 1]}),
        ((128, 128), 3, {"score_threshold": 0.51, "eval.nms_iou": 0.05, "batch_size": 5}),
        (("H", "W"), "N", {"eval.scales": [1, 1.5], "eval.merge": "fuse", "rates": [1, 0.7]}),
    ],
)
def test_images_and_scenes(size: Any, batch: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    found, expected = both(write_file(tmp_path / "a.onnx", size, batch), **settings)
    images = [picture(128, 128), picture(70, 128, 1), np.zeros((50, 60, 3), np.uint8), picture(300, 400, 2)]
    for ours, theirs in zip(found(images), expected(images), strict=True):
        check(ours, theirs)
    assert len(found(images[0])) > 3
    assert len(found(images[3])) > 10
    cv2.imwrite(str(tmp_path / "a.tif"), images[1])  # rasters are padded right and below
    check(found(tmp_path / "a.tif"), expected(tmp_path / "a.tif"))


def test_the_runtime_finds_the_same(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.onnx")
    for height, width in ((128, 128), (60, 100)):
        ours, theirs = (
            Runtime(path)(picture(height, width)),
            Detector(path, quiet=True)(picture(height, width)),
        )
        assert ours.labels.tolist() == theirs.labels.tolist()
        assert ours.names == theirs.names
        assert ours.scores == pytest.approx(theirs.scores, abs=1e-6)
        assert ours.quads == pytest.approx(theirs.quads, abs=1e-3)
        assert len(ours.names) > 2


def test_scores_of_each_class(tmp_path: Path) -> None:
    detector = Detector(write_file(tmp_path / "a.onnx", ending="every"), quiet=True, score_threshold=0.1)
    one, several = detector(picture(128, 128)), detector(picture(128, 128), **{"eval.multi_label": True})
    assert 3 < len(one) < len(several)


def test_suppression_in_the_graph(tmp_path: Path) -> None:
    values = metadata(nms=metadata()["nms"] | {"ending": "full"})
    path = write_file(tmp_path / "a.onnx", ending="full", values=values)
    found = Detector(path, quiet=True, score_threshold=0.0)(picture(128, 128))
    assert 0 < len(found) <= 5
    with pytest.raises(UserError, match=r"eval.nms_iou=0.7: .*a.onnx was made with 0.2 and nms=full; export"):
        Detector(path, **{"eval.nms_iou": 0.7})
    with pytest.raises(UserError, match=r"eval.vote_iou=0.4: .* or with nms=none$"):
        Detector(path, **{"eval.vote_iou": 0.4})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"eval.class_weight": 0.3}, r"eval.class_weight=0.3: .*a.onnx was made with 0.5 .* with this setting$"),
    ({"model.size": "large"}, r"model.size=large: .*a.onnx was made with nano"),
    ({"model.detector": "rtmdet_r"}, r"a.onnx: trained as gghl, got model.detector=rtmdet_r"),
    ({"data.classes": ["car"]}, r"a.onnx: trained on 2 classes \(plane, ship\), data.classes names 1"),
]


@pytest.mark.parametrize(("settings", "line"), REFUSED)
def test_what_is_in_the_graph_stays(settings: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line):
        Detector(write_file(tmp_path / "a.onnx"), **settings)


def test_larger_inputs_and_files_without_settings(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.onnx")
    line = (
        r"a.onnx: made for an input of 128 x 128 px \(height x width\), got 256 x 256: predict.tile=128, or"
    )
    with pytest.raises(UserError, match=line):
        Detector(path, quiet=True, **{"data.image_size": 256})(picture(128, 128))
    with pytest.raises(UserError, match=line):
        Detector(path, quiet=True, tile=256)(picture(300, 300))
    with pytest.raises(UserError, match=r"train.device=cuda: .* runs on the CPU"):
        load_detector(path, ["train.device=cuda"], torch.device)
    bare = write_file(tmp_path / "b.onnx", values=metadata(config=None))
    with pytest.raises(UserError, match=r"b.onnx: metadata: no config: evalR.runtime alone"):
        Detector(bare)
    (tmp_path / "c.onnx").write_text("no model")
    with pytest.raises(UserError, match=r"c.onnx: no model that onnxruntime can read"):
        Detector(tmp_path / "c.onnx")


def test_trainings_begin_with_checkpoints(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.onnx")
    model = Detector(path).trained.model
    with pytest.raises(
        UserError, match=r"a.onnx: an exported file finds objects alone, expected a checkpoint"
    ):
        init_model(model, path, CLASSES)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a script in a folder with a file, and an image and its labels."""
    monkeypatch.chdir(tmp_path)
    write_file(Path("a.onnx"))
    for folder in ("images", "labelTxt"):
        Path("data/val", folder).mkdir(parents=True)
    cv2.imwrite("data/val/images/P1.png", picture(128, 128)[..., ::-1])
    Path("data/val/labelTxt/P1.txt").write_text("10 10 30 10 30 20 10 20 ship 0\n")

    def call(script: Any, *words: str) -> int:
        monkeypatch.setattr(sys, "argv", [script.__file__, *words])
        return run_script(script.main)

    return call


def test_predict_writes_and_goes_on(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    words = ["data/val/images", "weights=a.onnx", "out=out", "predict.score_threshold=0.4", "data.workers=0"]
    assert run(predict, *words) == 0
    lines = Path("out/P1.txt").read_text().splitlines()
    assert len(lines) > 3
    assert f"{len(lines)} objects in 1 image" in capsys.readouterr().out
    assert run(predict, *words) == 0
    assert run(predict, "a.onnx") == 2
    assert "found weights: weights=a.onnx" in capsys.readouterr().err


def test_evaluation_writes_metrics(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["a.onnx", "data.root=data", "data.workers=0"]
    assert run(evaluation, *words, "out=scores") == 0
    assert Path("scores/metrics.json").is_file()
    assert "ship" in capsys.readouterr().out
    full = metadata(nms=metadata()["nms"] | {"ending": "full"})
    write_file(Path("a.onnx"), ending="full", values=full)
    assert run(evaluation, *words, "out=others", "sweep=0.1,0.2") == 2
    assert "a.onnx suppresses in its graph; export with nms=none" in capsys.readouterr().err
