"""The Python call: files, rasters and arrays, and scenes that are killed and shared."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from cfg.load import ConfigError
from evalR.inference.detector import Detector
from tests.evalR.tiny_checkpoint import CLASSES, SETTINGS, write_tiny_checkpoint
from tests.training_runs import ROOT
from utils.checkpoint import CheckpointError
from utils.errors import UserError
from utils.images import ImageError

TILES = 21 * 21  # of 64 px that overlap by 16, in the large scene
CHILD = """
import ctypes
import signal
import sys
from pathlib import Path
import numpy as np
import torch
from evalR.inference.detector import Detector
from evalR.inference.scenes.journal import remove_journal
from utils import distributed
from utils.cli import pick_device

ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # with torchrun, which starts processes out of reach of `kill`
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with `&` ignores it
weights, scene, out, seen = sys.argv[1:]
torch.set_num_threads(1)
distributed.join("cpu")
detector = Detector(weights, "cpu", **{settings})
def note(model, inputs):
    with open(seen, "a") as file:
        file.write("x" * len(inputs[0]))
detector.trained.model.register_forward_pre_hook(note)
found = detector(scene, journal=Path(out).with_name(".scene.journal"), shared=distributed.launched())
if distributed.is_main():
    np.savez(out, quads=found.quads, scores=found.scores, labels=found.labels)
    remove_journal(Path(out).with_name(".scene.journal"))
distributed.leave()
"""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that are killed
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)


@pytest.fixture
def scene(tmp_path: Path, picture: np.ndarray) -> Path:
    path = tmp_path / "scene.png"
    cv2.imwrite(str(path), picture[..., ::-1])
    return path


def test_a_file_and_an_array_give_the_same(weights: Path, scene: Path, picture: np.ndarray) -> None:
    detector = Detector(weights, "cpu", **SETTINGS)
    found, same = detector(scene), detector(picture)
    assert len(found.scores) > 0
    assert found.quads.dtype == np.float64
    assert found.source == str(scene)
    assert found.size == (150, 200)
    assert found.classes == tuple(CLASSES)
    assert found.names == [CLASSES[label] for label in found.labels]
    assert found.transform is None
    assert found.crs is None
    assert (found.scores >= 0.004).all()
    for a, b in zip(found.scene.detections, same.scene.detections, strict=True):
        assert torch.equal(a, b)


def test_settings_by_name(weights: Path, picture: np.ndarray) -> None:
    everything = Detector(weights, "cpu", **SETTINGS)(picture)
    ships = Detector(weights, "cpu", **SETTINGS, classes=("ship",))(picture)
    assert set(ships.names) <= {"ship"}
    assert len(ships.scores) == (everything.labels == 1).sum()
    none = Detector(weights, "cpu", **SETTINGS | {"score_threshold": 1.0})(picture)
    assert none.quads.shape == (0, 4, 2)
    assert none.names == []


def test_numbers_of_numpy_are_settings(weights: Path) -> None:
    detector = Detector(
        weights, "cpu", tile=np.int64(96), rates=np.array([0.5, 1.0]), score_threshold=np.float32(0.5)
    )
    predict = detector.trained.config.predict
    assert (predict.tile, predict.rates, predict.score_threshold) == (96, (0.5, 1.0), 0.5)
    with pytest.raises(UserError, match="a setting: expected a number, a text or a list of them, got object"):
        Detector(weights, "cpu", tile=object())


@pytest.mark.parametrize("source", [None, torch.zeros(4, 4, 3), [torch.zeros(4, 4, 3)], 3.0])
def test_what_is_neither_path_nor_image(weights: Path, source: object) -> None:
    with pytest.raises(ImageError, match=r"expected a path or an image \(H, W, 3\) uint8 of numpy, got"):
        Detector(weights, "cpu")(source)  # type: ignore[arg-type]


def test_small_images_are_not_cut_unless_asked(weights: Path, picture: np.ndarray) -> None:
    seen: list[tuple[int, ...]] = []
    for settings in ({}, {"tile": 64}):
        detector = Detector(weights, "cpu", **SETTINGS, **settings)
        detector.trained.model.register_forward_pre_hook(
            lambda _, inputs: seen.append(tuple(inputs[0].shape))
        )
        detector(picture[:100, :100])
    assert seen == [(1, 3, 64, 64), (4, 3, 64, 64)]


def test_a_raster_has_its_place(weights: Path, picture: np.ndarray, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    shape = {"count": 3, "height": 150, "width": 200, "dtype": "uint8", "photometric": "rgb"}
    place = rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5600000)
    path = tmp_path / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32632", transform=place, **shape) as dataset:
        dataset.write(picture.transpose(2, 0, 1))
    found = Detector(weights, "cpu", **SETTINGS)(path)
    assert found.transform == tuple(place)[:6]
    assert found.crs is not None
    assert rasterio.CRS.from_wkt(found.crs).to_epsg() == 32632
    same = Detector(weights, "cpu", **SETTINGS)(picture)
    np.testing.assert_array_equal(found.quads, same.quads)


def test_bad_input(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.pt: no such file"):
        Detector(tmp_path / "none.pt")
    with pytest.raises(ConfigError, match=r"predict\.tiles"):
        Detector(weights, "cpu", tiles=3)
    with pytest.raises(UserError, match=r"predict.classes: 'boat' is none of plane, ship"):
        Detector(weights, "cpu", classes=["boat"])
    detector = Detector(weights, "cpu")
    with pytest.raises(ImageError, match=r"none\.tif: no such image file"):
        detector(tmp_path / "none.tif")
    for image in (np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(ImageError, match=r"memory: expected \(H, W, 3\) or \(H, W\) uint8, got"):
            detector(image)
    with pytest.raises(ImageError, match=r"image of Pillow: expected 8 bits per channel, got mode I;16"):
        detector(PIL.Image.new("I;16", (9, 9)))


def test_settings_of_one_call(weights: Path, picture: np.ndarray) -> None:
    detector = Detector(weights, "cpu", **SETTINGS)
    picture = picture[:100, :100]  # not cut: in tiles a threshold changes who votes as well
    everything = detector(picture)
    ships = detector(picture, classes=["ship"], score_threshold=float(np.median(everything.scores)))
    kept = everything[(everything.labels == 1) & (everything.scores >= np.median(everything.scores))]
    assert 0 < len(ships) < len(everything)
    np.testing.assert_array_equal(ships.quads, kept.quads)
    assert len(detector(picture)) == len(everything)  # the next call knows nothing of it
    (streamed,) = detector.stream([picture], classes=["ship"])
    assert set(streamed.names) == {"ship"}
    with pytest.raises(ConfigError) as error:
        detector(picture, score_treshold=0.5)
    assert str(error.value) == (
        "unknown key 'predict.score_treshold'; did you mean 'predict.score_threshold'?"
    )
    with pytest.raises(UserError, match=r"model.size: expected a setting of predict or eval"):
        detector(picture, **{"model.size": "large"})
    with pytest.raises(UserError, match=r"predict.classes: 'boat' is none of plane, ship"):
        detector.stream([], classes=["boat"])  # before anything is drawn


def test_nothing_of_the_host_is_changed(weights: Path, picture: np.ndarray, scene: Path) -> None:
    """A program that embeds it keeps its start method, threads, signals, log and gradients."""
    code = """
import logging, multiprocessing, sys, threading, torch, cv2
before = torch.get_num_threads(), cv2.getNumThreads(), torch.get_float32_matmul_precision()
from evalR.inference.detector import Detector
import signal
handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
detector = Detector(sys.argv[1], "cpu", quiet=True)
for settings in ({}, {"tile": 64}):
    detector(sys.argv[2], **settings), detector([sys.argv[2]] * 3, **settings)
    list(detector.stream([sys.argv[2]], **settings))
assert multiprocessing.get_start_method(allow_none=True) is None
assert (torch.get_num_threads(), cv2.getNumThreads(), torch.get_float32_matmul_precision()) == before
assert not logging.getLogger().handlers and logging.getLogger().level == logging.WARNING
assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
assert [thread.name for thread in threading.enumerate()] == ["MainThread"], threading.enumerate()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, weights, scene], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with torch.enable_grad():
        for _ in Detector(weights, "cpu").stream([picture] * 3, **{"eval.batch_size": 1}):
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()


def test_threads_share_a_detector(weights: Path, picture: np.ndarray) -> None:
    detector = Detector(weights, "cpu", **SETTINGS, quiet=True)
    images = [np.roll(picture, 7 * k, axis=1) for k in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detector, images))
    for image, found in zip(images, together, strict=True):
        np.testing.assert_array_equal(found.quads, detector(image).quads)


def test_a_journal_of_another_threshold_is_not_taken(weights: Path, tmp_path: Path) -> None:
    scene, journal = large_scene(tmp_path), tmp_path / ".scene.journal"
    settings = SETTINGS | {"tile": 512, "overlap": 0}
    detector = Detector(weights, "cpu", quiet=True, **settings)
    everything = detector(scene)
    middle = float(np.median(everything.scores))
    few = detector(scene, journal=journal, score_threshold=middle)
    assert 0 < len(few) < len(everything)
    assert len(detector(scene, journal=journal)) == len(everything)


def test_learned_thresholds_stay_those_of_the_checkpoint(weights: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(weights, weights_only=True) | {"thresholds": {"*": 0.6, "ship": 0.7}}
    path = tmp_path / "learned.pt"
    torch.save(checkpoint, path)
    detector = Detector(path, "cpu", quiet=True)
    learned = {"plane": 0.6, "ship": 0.7}
    assert detector.trained.config.predict.threshold == learned
    for given, expected in ((None, learned), ({"plane": 0.2}, learned | {"plane": 0.2}), (0.1, 0.1)):
        own = detector._with({"score_threshold": given})
        assert own.config.predict.threshold == expected


def test_a_bad_file_changes_nothing_for_its_neighbours(weights: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (40, 60, 3), np.uint8))
    skip = SETTINGS | {"data.on_error": "skip"}
    whole = Detector(weights, "cpu", quiet=True, **skip)(tmp_path)
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:500])
    left = Detector(weights, "cpu", quiet=True, **skip)(tmp_path)
    assert [Path(one.source).stem for one in left] == ["a", "c"]
    for one, before in zip(left, (whole[0], whole[2]), strict=True):
        assert len(one) > 0
        np.testing.assert_array_equal(one.scores, before.scores)
        np.testing.assert_array_equal(one.quads, before.quads)


def start(launcher: list[str], words: list[Path]) -> "subprocess.Popen[str]":
    code = words[0].with_name("child.py")
    code.write_text(CHILD.replace("{settings}", repr(SETTINGS)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, str(code), *map(str, words)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> None:
    try:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    finally:
        kill(process)


def kill(process: "subprocess.Popen[str]") -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


def assert_same(path: Path, other: Path) -> None:
    with np.load(path) as a, np.load(other) as b:
        assert len(a["scores"]) > 0
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key])


def large_scene(tmp_path: Path) -> Path:
    path = tmp_path / "large.png"
    cv2.imwrite(str(path), np.random.default_rng(1).integers(0, 256, (1000, 1000, 3), np.uint8))
    return path


@pytest.mark.slow
def test_a_scene_killed_at_random_moments(weights: Path, tmp_path: Path) -> None:
    """And in the end by one process where two had begun."""
    scene, whole, seen = large_scene(tmp_path), tmp_path / "whole.npz", tmp_path / "seen"
    finish(start([], [weights, scene, whole, seen]))
    total = len(seen.read_text())
    assert total == TILES
    seen.unlink()
    rng = np.random.default_rng()
    out = tmp_path / "out" / "found.npz"
    out.parent.mkdir()
    for kills in range(6):
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"] if kills == 2 else []
        before = len(seen.read_text()) if seen.exists() else 0
        process = start(launcher, [weights, scene, out, seen])
        end = time.monotonic() + 60
        share = before + rng.uniform(0.02, 0.12) * total
        while time.monotonic() < end and not (seen.exists() and len(seen.read_text()) > share):
            time.sleep(0.002)
        if kills == 1:  # Ctrl-C ends it by itself
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(60) != 0
        kill(process)
    assert not out.exists()
    finish(start([], [weights, scene, out, seen]))
    assert_same(out, whole)
    lost = len(seen.read_text()) - total
    assert 0 <= lost <= 7 * 3 * SETTINGS["batch_size"]  # at each kill what was on its way, in each process
    assert sorted(path.name for path in out.parent.iterdir()) == ["found.npz"]


@pytest.mark.slow
def test_two_processes_find_what_one_finds(weights: Path, tmp_path: Path) -> None:
    scene, seen = large_scene(tmp_path), tmp_path / "seen"
    finish(start([], [weights, scene, tmp_path / "one.npz", seen]))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    finish(start(launcher, [weights, scene, tmp_path / "two.npz", seen]))
    assert_same(tmp_path / "one.npz", tmp_path / "two.npz")
    assert len(seen.read_text()) == 2 * TILES  # none twice
