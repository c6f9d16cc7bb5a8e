"""`deploy/cpp`: built by CMake, the program finds what torch finds, and says what is wrong in one line."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cfg.load import load_config
from cfg.schema import Config
from dataloadR.demo.scenes import make_scene
from evalR.export.formats import file_writer
from evalR.export.graph import GraphPlan, QuadGraph, Shaping
from evalR.export.metadata import as_texts, file_metadata
from evalR.export.parity import compared_config
from evalR.inference.load import Trained
from evalR.inference.postprocess import postprocess
from evalR.inference.slicing import shrink_of
from tests.evalR.export.small_network import SmallNetwork
from utils.images import letterbox_matrix, read_image, warp_image
from utils.palette import class_colour
from utils.records import Frame
from utils.thresholds import least_scores, reaches

SOURCE = Path(__file__).parents[2] / "deploy" / "cpp"
ABSENT = ("Could not find", "Could NOT find", "No CMAKE_CXX_COMPILER could be found")
INPUT = (96, 128)
CLASSES = ("tennis court", "plane", "ship")
WORDS = ("tennis-court", "plane", "ship")  # as DOTA has them
THRESHOLDS = {"ship": 0.55, "*": 0.5}
SETTINGS = [f"data.image_size={list(INPUT)}", "eval.pre_nms=40", "eval.nms_iou=0.2", "eval.vote_iou=0.3"]
PIXELS, SCORES = 0.05, 1e-4
SCENES = {  # height and width; the input enlarged, reduced, and as it is
    "square.png": (320, 320),
    "photo.jpg": (250, 333),
    "small.png": (60, 70),
    "fitting.png": INPUT,
    "high.jpg": (700, 500),
}
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cpp")]
Outcome = subprocess.CompletedProcess[str]
Program = Callable[..., Outcome]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Build the program with the wheel's library, and the headers of fetch.sh or of the system."""
    if shutil.which("cmake") is None:
        pytest.skip("no cmake")
    build = tmp_path_factory.mktemp("build")
    own = {"ONNXRUNTIME_INCLUDE": os.environ.get("ONNXRUNTIME_INCLUDE"), "ONNXRUNTIME_LIB": wheel_library()}
    words = [f"-D{key}={value}" for key, value in own.items() if value]
    configured = subprocess.run(
        ["cmake", "-S", SOURCE, "-B", build, *words], capture_output=True, text=True, check=False
    )
    lacks = [line.strip() for line in configured.stderr.splitlines() if any(what in line for what in ABSENT)]
    if lacks:
        pytest.skip(f"deploy/cpp cannot be built here: {lacks[0]}")
    assert configured.returncode == 0, configured.stderr
    built = subprocess.run(["cmake", "--build", build], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr

    def run(*words: object) -> Outcome:
        return subprocess.run([build / "find_quads", *map(str, words)], capture_output=True, text=True)

    return run


def wheel_library() -> Path | None:
    """Return the library of the Python package onnxruntime, where the package has one for others."""
    found = importlib.util.find_spec("onnxruntime")
    if found is None or found.origin is None:
        return None
    return next(Path(found.origin).parent.glob("capi/libonnxruntime.so.*"), None)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the scenes, and return their paths by name."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(3)
    paths = {name: folder / name for name in SCENES}
    for name, size in SCENES.items():
        cv2.imwrite(str(paths[name]), make_scene(rng, size).image[..., ::-1])
    return paths


class Exported(NamedTuple):
    """A file, and what it was made of."""

    file: Path
    plan: GraphPlan
    config: Config
    network: SmallNetwork


def exported(folder: Path, ending: str, *words: str) -> Exported:
    config = load_config(None, [*SETTINGS, *words])
    network = SmallNetwork().eval().requires_grad_(False)
    network.strides = (16,)
    plan, shaping = GraphPlan(ending, config.eval, 40), Shaping(INPUT, False)
    (folder / "best.pt").touch()
    trained = Trained(
        network, CLASSES, config, torch.device("cpu"), folder / "best.pt", thresholds=THRESHOLDS
    )
    file = folder / f"{ending}.onnx"
    texts = as_texts(file_metadata(trained, plan, shaping))
    file_writer("onnx", QuadGraph(network, plan).eval(), shaping)(file, texts)
    return Exported(file, plan, config, network)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Export the network as most people would."""
    return exported(tmp_path_factory.mktemp("plain"), "none")


def seen(path: Path, config: Config) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return an image as the network sees it, and the matrix to there."""
    image = read_image(path)
    size = (image.shape[0], image.shape[1])
    matrix = letterbox_matrix(size, INPUT, True, shrink_of(size, config))
    return warp_image(image, matrix, INPUT), matrix


def found_by_torch(
    pixels: NDArray[np.uint8], matrix: NDArray[np.float64], made: Exported, threshold: float | None
) -> list[list[float]]:
    """Return rows of eight coordinates in px of the image, label and score."""
    settings = made.config.eval.model_copy(update={"multi_label": False})
    if made.plan.ending == "full":
        least = settings.score_threshold
        settings = compared_config(made.plan._replace(config=settings), least)
    images = torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32))
    frame = Frame(matrix.astype(np.float32), (0, 0), INPUT)
    with torch.inference_mode():
        candidates = made.network.candidates(made.network(images / 255), settings)
        (found,) = postprocess(*candidates, [frame], settings)
    quads, scores, labels = (field.numpy() for field in found)
    least = least_scores(THRESHOLDS if threshold is None else threshold, CLASSES)
    shown = reaches(scores, labels, least)
    return np.column_stack([quads[shown].reshape(-1, 8), labels[shown], scores[shown]]).tolist()


def rows_of(text: str) -> list[list[float]]:
    lines = [line.split(" ") for line in text.splitlines()]
    return [[*map(float, line[:8]), WORDS.index(line[8]), float(line[9])] for line in lines]


def assert_same(found: list[list[float]], expected: list[list[float]]) -> None:
    """Each row has one of the others near it; rounding may swap two of nearly the same score."""
    assert len(found) == len(expected)
    assert [row[9] for row in found] == sorted((row[9] for row in found), reverse=True)
    rest = np.array(found).reshape(-1, 10)
    for row in expected:
        moves = np.abs(rest - row)
        near = (moves[:, :8].max(axis=1) <= PIXELS) & (moves[:, 8] == 0) & (moves[:, 9] <= SCORES)
        assert near.any(), (row, rest[moves[:, :8].max(axis=1).argmin()])
        rest = np.delete(rest, np.flatnonzero(near)[0], axis=0)


CASES = {
    "none": (),
    "raised": ("none", "eval.support=0.3"),
    "all classes": ("none", "eval.multi_label=true"),
    "topk, no votes": ("topk", "eval.vote_iou=1"),
    "full": ("full",),
    # all candidates: those in the grey have one score
    "not enlarged": ("none", "data.training_scale=[0.25,0.5,1.0]", "eval.pre_nms=48"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_program_finds_what_torch_finds(
    case: str, program: Program, images: dict[str, Path], plain: Exported, tmp_path: Path
) -> None:
    made = exported(tmp_path, *CASES[case]) if CASES[case] else plain
    count = 0
    for path in images.values():
        for threshold in (None, 0.02):
            words = [] if threshold is None else [f"threshold={threshold}"]
            outcome = program(made.file, path, f"input={tmp_path / 'input.png'}", *words)
            assert outcome.returncode == 0, outcome.stderr
            # its own pixels: one grey level, by which rounding may differ, moves scores of a random network
            pixels, (_, matrix) = read_image(tmp_path / "input.png"), seen(path, made.config)
            expected = found_by_torch(pixels, matrix, made, threshold)
            assert_same(rows_of(outcome.stdout), expected)
            count += len(expected)
    assert count > 50


def write_special(folder: Path) -> list[Path]:
    """Write images of other kinds: grey, with alpha, a palette, coarse colours, reduced by odd factors."""
    rng = np.random.default_rng(5)
    scene = make_scene(rng, (150, 210)).image
    kinds = {
        "grey.png": cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY),
        "grey.jpg": cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY),
        "alpha.png": np.dstack([scene, rng.integers(0, 256, scene.shape[:2], np.uint8)]),
        "line.png": scene[:1],
        "half.png": make_scene(rng, (192, 256)).image,
        "third.png": make_scene(rng, (300, 401)).image,
        "long.jpg": make_scene(rng, (97, 640)).image,
    }
    for name, image in kinds.items():
        cv2.imwrite(str(folder / name), image)
    from PIL import Image

    Image.fromarray(scene).quantize(12).save(folder / "palette.png", transparency=3)
    Image.fromarray(scene).save(folder / "progressive.jpg", progressive=True, quality=60)
    return sorted(folder.iterdir())


def test_the_network_sees_the_same_pixels(
    program: Program, images: dict[str, Path], plain: Exported, tmp_path: Path
) -> None:
    (tmp_path / "special").mkdir()
    for path in [*images.values(), *write_special(tmp_path / "special")]:
        outcome = program(plain.file, path, f"input={tmp_path / 'input.png'}")
        assert outcome.returncode == 0, outcome.stderr
        moved = np.abs(read_image(tmp_path / "input.png").astype(int) - seen(path, plain.config)[0])
        # other processors round halves in another order
        assert moved.max() <= 1, path.name
        assert (moved > 0).mean() <= 1e-3, path.name


def test_files_are_written(
    program: Program, images: dict[str, Path], plain: Exported, tmp_path: Path
) -> None:
    path = images["photo.jpg"]
    shown = program(plain.file, path).stdout
    words = [f"text={tmp_path / 'found.txt'}", f"picture={tmp_path / 'found.png'}", "threads=1"]
    outcome = program(plain.file, path, *words)
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")
    assert (tmp_path / "found.txt").read_text() == shown
    image, picture = read_image(path), read_image(tmp_path / "found.png")
    changed = (image != picture).any(axis=2)
    near = np.zeros(image.shape[:2], np.uint8)
    rows = rows_of(shown)
    for row in rows:
        points = np.array(row[:8]).reshape(4, 2) - 0.5
        cv2.polylines(near, [np.rint(points).astype(int)], True, 1, 3)
    assert rows
    assert changed.any()
    assert not (changed & (near == 0)).any()
    colours = {tuple(colour) for colour in picture[changed].tolist()}
    assert colours == {class_colour(int(row[8])) for row in rows}


def test_nothing_found(program: Program, images: dict[str, Path], plain: Exported, tmp_path: Path) -> None:
    path = images["small.png"]
    outcome = program(plain.file, path, "threshold=1", f"picture={tmp_path / 'none.png'}")
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")
    assert (read_image(path) == read_image(tmp_path / "none.png")).all()


BAD_WORDS = {
    "": "expected a model and an image",
    "nothing.onnx small.png": "nothing.onnx: no such file",
    "text.onnx small.png": "text.onnx: no model that ONNX Runtime reads",
    "bare.onnx small.png": "bare.onnx: no metadata of export.py: expected the key 'format'",
    "newer.onnx small.png": "newer.onnx: metadata: expected format quad-detector/1, found quad-detector/2",
    "without.onnx small.png": "without.onnx: metadata: no nms; export the checkpoint again",
    "damaged.onnx small.png": "damaged.onnx: metadata: damaged",
    "none.onnx nothing.png": "nothing.png: no such image file",
    "none.onnx .": ".: cannot be read: Is a directory",
    "none.onnx text.onnx": "text.onnx: expected a PNG or a JPEG",
    "none.onnx empty.png": "empty.png: expected a PNG or a JPEG",
    "none.onnx cut.png": "cut.png: cannot be decoded",
    "none.onnx cut.jpg": "cut.jpg: cannot be decoded",
    "none.onnx deep.png": "deep.png: expected 8 bits per channel, found 16",
    "none.onnx small.png threshold=2": "threshold=2: expected a number from 0 to 1",
    "none.onnx small.png threshold=much": "threshold=much: expected a number from 0 to 1",
    "none.onnx small.png picture=found.jpg": "picture=found.jpg: expected a name that ends in .png",
    "none.onnx small.png picture=nowhere/found.png": "nowhere/found.png: cannot be written",
    "none.onnx small.png text=nowhere/found.txt": "nowhere/found.txt: cannot be written",
    "none.onnx small.png colour=red": "colour=red: expected text=, picture=",
}


@pytest.fixture(scope="module")
def bad_files(images: dict[str, Path], plain: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of files that have something wrong."""
    onnx = pytest.importorskip("onnx")
    folder = tmp_path_factory.mktemp("bad")
    model = onnx.load(plain.file)
    texts = {prop.key: prop.value for prop in model.metadata_props}
    changes = {
        "bare": None,
        "newer": {"format": '"quad-detector/2"'},
        "without": {"nms": None},
        "damaged": {"input": '{"size": "large"}'},
    }
    for name, change in changes.items():
        del model.metadata_props[:]
        own = {} if change is None else texts | change
        onnx.helper.set_model_props(model, {key: value for key, value in own.items() if value is not None})
        onnx.save(model, folder / f"{name}.onnx")
    shutil.copy(plain.file, folder)
    (folder / "text.onnx").write_text("no model and no image")
    (folder / "empty.png").touch()
    shutil.copy(images["small.png"], folder)
    for name, source in (("cut.png", "square.png"), ("cut.jpg", "photo.jpg")):
        data = images[source].read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
    cv2.imwrite(str(folder / "deep.png"), np.zeros((9, 9, 3), np.uint16))
    return folder


@pytest.mark.parametrize("words", BAD_WORDS)
def test_bad_words_end_in_one_line(
    words: str, program: Program, bad_files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bad_files)
    before = sorted(bad_files.iterdir())
    outcome = program(*words.split())
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith(BAD_WORDS[words])
    assert outcome.stderr.count("\n") == 1
    assert sorted(bad_files.iterdir()) == before


def test_help(program: Program) -> None:
    outcome = program("--help")
    assert outcome.returncode == 0
    assert "usage: find_quads" in outcome.stdout
