"""Runtime against a slow loop over cells, and against the project's own letterbox and post-processing."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="writes the files")
pytest.importorskip("onnxruntime", reason="runs them")

from cfg.load import load_config
from cfg.predict import DEFAULT_THRESHOLD
from cfg.schema import EvalConfig
from dataloadR.geometric import place_image
from evalR.inference.postprocess import postprocess
from evalR.inference.splits import NOTHING
from evalR.runtime import FoundQuads, Runtime, engines
from evalR.runtime.decisions import DEFAULT, MANY
from tests.evalR.runtime.small_files import CELL, CLASSES, RADIUS, metadata, write_file
from tests.training_runs import ROOT
from utils.arrays import U8
from utils.errors import UserError
from utils.images import ImageError, letterbox_matrix
from utils.records import Detections, Frame

LEAST = np.array([0.55, 0.5])  # thresholds of the metadata


def picture(height: int, width: int, seed: int = 0) -> U8:
    """Return blocks of colours: neighbours of many scores."""
    small = np.random.default_rng(seed).integers(0, 256, (-(-height // 24), -(-width // 24), 3), np.uint8)
    return np.ascontiguousarray(np.kron(small, np.ones((24, 24, 1), np.uint8))[:height, :width])


def expected(image: U8, size: tuple[int, int] = (128, 128), iou: float = 0.2) -> Detections:
    """Return what torch makes of the means of the cells of an image, shown at a scale of at most 1."""
    height, width = image.shape[:2]
    filling = min(size[0] / height, size[1] / width)
    matrix = letterbox_matrix((height, width), size, shrink=min(filling, 1) / filling)
    pixels = place_image(image, NOTHING, matrix, size, 0.0).image
    quads, scores = [], []
    for row in range(0, size[0], CELL):
        for column in range(0, size[1], CELL):
            x, y = column + CELL / 2, row + CELL / 2
            quads.append([[x, y - RADIUS], [x + RADIUS, y], [x, y + RADIUS], [x - RADIUS, y]])
            means = pixels[row : row + CELL, column : column + CELL, :2].mean(axis=(0, 1)) / 255
            scores.append(np.where(np.arange(2) == means.argmax(), means, 0.0))
    config = EvalConfig(score_threshold=0.05, nms_iou=iou)
    frame = Frame(matrix.astype(np.float32), (height, width), size)
    tensors = (
        torch.tensor([quads], dtype=torch.float32),
        torch.tensor(np.array([scores]), dtype=torch.float32),
    )
    return postprocess(*tensors, [frame], config)[0]


def check(found: FoundQuads, image: U8, **how: Any) -> None:
    """Compare what is shown with the slow loop."""
    quads, scores, labels = (field.numpy() for field in expected(image, **how))
    shown = scores >= LEAST[labels]
    assert found.labels.tolist() == labels[shown].tolist()
    assert found.scores == pytest.approx(scores[shown], abs=1e-5)
    assert found.quads.shape == (shown.sum(), 4, 2)
    assert found.quads == pytest.approx(quads[shown], abs=1e-3)
    assert found.names == [CLASSES[label] for label in labels[shown]]


SIZES = [(128, 128), (300, 200), (90, 128), (37, 61), (128, 131)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_letterbox_is_that_of_the_project(height: int, width: int, tmp_path: Path) -> None:
    image = picture(height, width)
    found = Runtime(write_file(tmp_path / "a.onnx")).letterbox(image)
    filling = min(128 / height, 128 / width)
    matrix = letterbox_matrix((height, width), (128, 128), shrink=min(filling, 1.0) / filling)
    assert (found.pixels == place_image(image, NOTHING, matrix, (128, 128), 0.0).image).all()
    low, _ = letterbox_matrix((height, width), (128, 128), False, min(filling, 1.0) / filling)[:, 2]
    values = metadata(letterbox={"fill": 7, "place": "right-bottom"})
    corner = Runtime(write_file(tmp_path / "b.onnx", values=values)).letterbox(image)
    assert low == 0 == corner.matrix[0, 2] == corner.matrix[1, 2]
    if max(height, width) < 120:
        assert (corner.pixels[height + 1 :] == 7).all()
        assert (corner.pixels[:height, :width] == image).all()


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_files_and_arrays_of_several_sizes(engine: str, tmp_path: Path) -> None:
    pytest.importorskip(engine)
    runtime = Runtime(write_file(tmp_path / "a.onnx"), engine=engine)
    images = [picture(height, width, seed) for seed, (height, width) in enumerate(SIZES)]
    for image, found in zip(images, runtime(images), strict=True):
        check(found, image)
    assert sum(len(found.scores) for found in runtime(images)) > 10
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(images[1], cv2.COLOR_RGB2BGR))
    check(runtime(tmp_path / "a.png"), images[1])
    assert runtime([]) == []
    assert repr(runtime) == f"<Runtime {tmp_path / 'a.onnx'}: plane, ship>"


def test_openvino_keeps_the_metadata_in_its_own_file(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().read_model(write_file(tmp_path / "a.onnx"))
    for key, value in metadata().items():
        model.set_rt_info(json.dumps(value), ["model_info", key])
    openvino.save_model(model, tmp_path / "a.xml", compress_to_fp16=False)
    check(Runtime(tmp_path / "a.xml")(picture(300, 200)), picture(300, 200))


@pytest.mark.parametrize(
    ("size", "batch"), [((128, 128), 1), ((128, 128), 4), (("H", "W"), "N"), ((96, 160), 2)]
)
def test_fixed_and_free_inputs(size: Any, batch: Any, tmp_path: Path) -> None:
    shape = size if size != ("H", "W") else (160, 64)  # that of the metadata
    runtime = Runtime(write_file(tmp_path / "a.onnx", size, batch, values=metadata(shape)))
    images = [picture(50 + 40 * k, 120, k) for k in range(5)]
    for image, found in zip(images, runtime(images), strict=True):
        check(found, image, size=shape)


def test_nothing_and_thresholds(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.onnx")
    nothing = Runtime(path)(np.zeros((64, 64), np.uint8))
    assert (nothing.quads.shape, nothing.scores.shape, nothing.names) == ((0, 4, 2), (0,), [])
    image = picture(128, 128)
    few, many = Runtime(path, 0.9)(image), Runtime(path, {"ship": 0.6, "*": 0.1})(image)
    assert few.scores.min(initial=1) >= 0.9
    assert many.scores[many.labels == 0].min() < 0.5
    assert many.scores[many.labels == 1].min() >= 0.6
    assert len(few.scores) < len(Runtime(path)(image).scores)
    with pytest.raises(UserError, match="'car' is none of plane, ship"):
        Runtime(path, {"car": 0.5})
    bare = Runtime(write_file(tmp_path / "b.onnx", values=metadata(thresholds=None, config=None)))
    assert bare.rules.least.tolist() == [DEFAULT, DEFAULT] == [DEFAULT_THRESHOLD] * 2
    assert bare.rules.pre_nms == MANY == load_config().eval.pre_nms


def test_all_scores_of_a_cell_and_suppression_in_the_graph(tmp_path: Path) -> None:
    image = picture(128, 128)
    check(Runtime(write_file(tmp_path / "a.onnx", ending="every"))(image), image)
    runtime = Runtime(write_file(tmp_path / "b.onnx", ending="full"), 0.0)
    found, everything = runtime(image), expected(image, iou=1.0)
    assert found.scores == pytest.approx(everything.scores.numpy()[:5], abs=1e-5)
    assert found.quads == pytest.approx(everything.quads.numpy()[:5], abs=1e-3)
    assert len(runtime(np.zeros((9, 9, 3), np.uint8)).scores) <= 5


def test_images_that_are_none(tmp_path: Path) -> None:
    runtime = Runtime(write_file(tmp_path / "a.onnx"))
    (tmp_path / "a.png").write_text("no image")
    for source, line in ((tmp_path / "a.png", "cannot be decoded"), (tmp_path / "b.png", "no such image")):
        with pytest.raises(ImageError, match=line):
            runtime(source)
    with pytest.raises(ImageError, match=r"got \(4, 4, 3\) float64"):
        runtime(np.zeros((4, 4, 3)))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="expected a path or an image of numpy, got int"):
        runtime([3])  # type: ignore[list-item]


def test_a_scale_below_that_of_training_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Runtime(write_file(tmp_path / "a.onnx"))(picture(512, 300))
    assert "shown at a scale of 0.25, learned from 1 on" in caplog.text


FILES = [
    (None, "a.onnx: expected an exported file, found nothing"),
    (b"", "a.onnx: no model that onnxruntime can read: "),
    (b"no model", "a.onnx: no model that onnxruntime can read: "),
]


@pytest.mark.parametrize(("content", "line"), FILES)
def test_files_that_are_no_models(content: bytes | None, line: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.onnx").write_bytes(content)
    with pytest.raises(UserError, match=line) as caught:
        Runtime(tmp_path / "a.onnx")
    assert "\n" not in str(caught.value)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "b.onnx").mkdir()
    with pytest.raises(UserError, match="found a folder"):
        Runtime(tmp_path / "b.onnx")
    with pytest.raises(UserError, match=r"best.pt: expected an exported file, .onnx or .xml"):
        Runtime("best.pt")
    (tmp_path / "a.xml").write_text("<annotation>")
    with pytest.raises(UserError, match=r"a.xml: no model of OpenVINO|needs openvino"):
        Runtime(tmp_path / "a.xml")
    with pytest.raises(UserError, match="engine: expected onnxruntime or openvino, got 'torch'"):
        Runtime(write_file(tmp_path / "a.onnx"), engine="torch")
    with pytest.raises(UserError, match="engine=onnxruntime: expected openvino for"):
        Runtime(tmp_path / "a.xml", engine="onnxruntime")


METADATA: list[tuple[dict[str, Any], str]] = [
    ({}, "no metadata of export.py: expected the key 'format', found none"),
    ({"stride": 32}, "expected the key 'format', found stride"),
    (metadata(format="quad-detector/2"), "expected format quad-detector/1, found quad-detector/2"),
    (metadata(format="others/1"), "expected format quad-detector/1, found others/1"),
    (metadata(nms=None), "metadata: no nms; export the checkpoint again"),
    (metadata(classes=None, score=None), "metadata: no classes, score;"),
    (metadata(classes=["a", "a"]), "metadata: damaged: classes: expected names, each once"),
    (metadata(input={"size": 0}), "metadata: damaged: input.size"),
    (metadata(input={}), "metadata: damaged: no 'size'"),
    (metadata(letterbox={"fill": 128, "place": "left"}), "metadata: damaged"),
    (metadata(nms={"iou": "much", "max_detections": 9}), "metadata: damaged"),
    (metadata(thresholds={"ship": 7}), "metadata: damaged: thresholds"),
]


@pytest.mark.parametrize(("values", "line"), METADATA)
def test_metadata_that_are_not_ours_or_damaged(values: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=line) as caught:
        Runtime(write_file(tmp_path / "a.onnx", values=values))
    assert str(caught.value).startswith(f"{tmp_path / 'a.onnx'}: ")
    assert "\n" not in str(caught.value)


def test_a_newer_minor_format_is_read(tmp_path: Path) -> None:
    assert Runtime(write_file(tmp_path / "a.onnx", values=metadata(format="quad-detector/1.7"))).classes


def test_json_that_is_cut_off(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = write_file(tmp_path / "a.onnx")
    model = onnx.load(path)
    next(p for p in model.metadata_props if p.key == "classes").value = '["plane", "sh'
    onnx.save(model, path)
    with pytest.raises(UserError, match="metadata: classes: expected JSON, found"):
        Runtime(path)


def test_a_model_of_something_else(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = write_file(tmp_path / "a.onnx")
    model = onnx.load(path)
    model.graph.output[0].name = "boxes"
    model.graph.node[-3].output[0] = "boxes"
    onnx.save(model, path)
    with pytest.raises(
        UserError, match="no exported detector: expected the input images and quads, scores, got"
    ):
        Runtime(path)


def test_an_engine_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed: dict[str, ModuleType | None] = {"onnxruntime": None, "openvino": None}
    monkeypatch.setattr(engines, "find_extra", installed.get)
    with pytest.raises(UserError, match=r"a.onnx needs onnxruntime: pip install onnxruntime"):
        Runtime(write_file(tmp_path / "a.onnx"))
    (tmp_path / "a.xml").write_text("<net>")
    with pytest.raises(UserError, match=r"a.xml needs openvino: pip install openvino"):
        Runtime(tmp_path / "a.xml")


ALONE = """
import sys
for name in {missing}:
    sys.modules[name] = None  # as if it were not installed
import numpy as np
from {package}evalR.runtime import Runtime
found = Runtime(sys.argv[1])(sys.argv[2])
assert len(found.quads)
loaded = {{name.partition(".")[0] for name, module in sys.modules.items() if module is not None}}
print(*sorted(loaded & {{*{missing}}}), len(found.quads))
"""
MISSING = [
    "torch",
    "torchvision",
    "pydantic",
    "yaml",
    "PIL",
    "numba",
    "shapely",
    "timm",
    "tqdm",
    "matplotlib",
]


def run_alone(
    words: Sequence[str], package: str = "", folder: Path = ROOT
) -> "subprocess.CompletedProcess[str]":
    """Run the runtime of a folder in a process that has numpy, opencv and an engine alone."""
    code = ALONE.format(missing=MISSING, package=package)
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_neither_torch_nor_pydantic_is_needed(tmp_path: Path) -> None:
    image = picture(128, 128)
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    path = write_file(tmp_path / "a.onnx")
    done = run_alone([str(path), str(tmp_path / "a.png")])
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [str(len(Runtime(path)(image).scores))]
