"""predict.py: sources, formats, what it refuses, how it goes on; a fake network finds blobs."""

import csv
import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import predict
from cfg.load import load_config
from cfg.schema import Config, DataConfig
from evalR.inference.load import Trained
from evalR.inference.predictor import Peak, Predictor
from evalR.inference.scenes.journal import Journal
from evalR.outputs.kept import kept_path
from evalR.outputs.pictures import class_legend
from modelR.build import build_model
from tests.evalR.tiny_checkpoint import write_tiny_checkpoint
from tests.training_runs import ROOT
from utils.checkpoint import save_checkpoint
from utils.cli import run_script
from utils.drawing import legend_strip
from utils.images import read_image
from utils.palette import class_colour
from utils.rasters import Raster
from utils.records import Annotation, Detections
from utils.tiles import Window

CLASSES = ("block", "square")
EVERYTHING = "formats=[dota,yolo,coco,csv,geojson,geopackage,pictures,crops]"
Calls = list[str]
FIVE_BATCHES = 20_000  # bytes of a journal


def find_blobs(image: np.ndarray) -> Detections:
    """White rectangles on black: squares and blocks."""
    mask = (image[..., 0] > 128).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes = [cv2.boundingRect(contour) for contour in contours]
    quads = [[[x, y], [x + w, y], [x + w, y + h], [x, y + h]] for x, y, w, h in boxes]
    return Detections(
        torch.tensor(quads, dtype=torch.float32).reshape(-1, 4, 2),
        torch.linspace(0.9, 0.5, len(boxes)) if boxes else torch.zeros(0),
        torch.tensor([int(w == h) for _, _, w, h in boxes], dtype=torch.int64),
    )


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """A working folder of its own, and a detector that needs no network; the images that it has seen."""
    seen: Calls = []
    (tmp_path / "best.pt").write_text("weights")
    monkeypatch.chdir(tmp_path)

    def load(path: Path, overrides: Sequence[str], _: object) -> Trained:
        config = load_config(None, ["data.image_size=128", *overrides])
        return Trained(None, CLASSES, config, torch.device("cpu"), path)  # type: ignore[arg-type]

    def split(_: object, annotations: Sequence[Annotation], config: Config, __: object) -> list[Detections]:
        assert config.data.on_error == "stop"
        images = [read_image(a.image_path) for a in annotations]
        seen.extend(a.image_path for a in annotations)
        return [find_blobs(image) for image in images]

    def whole(_: object, image: np.ndarray, __: DataConfig, ___: object) -> Detections:
        seen.append("one")
        return find_blobs(image)

    def scene(_: Predictor, raster: Raster, *__: object) -> list[Detections]:
        seen.append("scene")
        return [find_blobs(raster.read(Window(0, 0, *raster.size[::-1])))]

    monkeypatch.setattr(predict, "load_detector", load)
    monkeypatch.setattr("evalR.inference.many.predict_split", split)
    monkeypatch.setattr("evalR.inference.predict.predict_image", whole)
    monkeypatch.setattr("evalR.inference.predict.find_in_scene", scene)
    monkeypatch.setattr("evalR.inference.predict.scene_meaning", lambda *_: {})
    return seen


def draw(path: Path, boxes: Sequence[tuple[int, int, int, int]], size: tuple[int, int] = (120, 160)) -> Path:
    image = np.zeros((*size, 3), np.uint8)
    for x, y, w, h in boxes:
        image[y : y + h, x : x + w] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def run(*words: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["predict.py", "weights=best.pt", *map(str, words)])
    return run_script(predict.main)


def refused(*words: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run, expect exit code 2 and one error line, and return it."""
    assert run(*words, monkeypatch=monkeypatch) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_quiet_leaves_the_table_alone(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(Path("a.png"), [(10, 10, 20, 20)])
    monkeypatch.setattr("utils.progress.PATIENCE", 0.0)
    level = logging.getLogger().level
    try:
        assert run("a.png", "predict.quiet=true", "formats=[geojson]", monkeypatch=monkeypatch) == 0
        assert logging.getLogger().level == logging.ERROR
    finally:
        logging.getLogger().setLevel(level)
    out, err = capsys.readouterr()
    assert err == ""
    assert "1 object in 1 image\n" in out
    assert len(calls) == 1


def test_nothing_found_tells_the_highest_score_of_all_processes(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(Path("a.png"), [(10, 10, 20, 20)])
    load, words = predict.load_detector, ("a.png", "predict.score_threshold=0.95", "overwrite=true")
    monkeypatch.setattr(predict, "load_detector", lambda *given: load(*given)._replace(peak=Peak()))
    assert run(*words, monkeypatch=monkeypatch) == 0
    out, threshold = capsys.readouterr().out, "shown is score >= 0.95 (predict.score_threshold)"
    assert f"0 objects in 1 image\n{threshold}; the highest score is 0.900\n" in out
    assert len(calls) == 1
    monkeypatch.setattr(predict.distributed, "gather", lambda value: [value, 0.93 if value else None])
    assert run(*words, monkeypatch=monkeypatch) == 0
    assert "the highest score is 0.930" in capsys.readouterr().out


def test_every_format_of_a_folder(
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("pyogrio", reason="pyogrio is not installed (requirements-extra.txt)")
    draw(Path("in/a.png"), [(10, 20, 40, 20), (100, 60, 30, 30)])
    draw(Path("in/b.png"), [])
    assert run("in", "out=res", EVERYTHING, monkeypatch=monkeypatch) == 0
    files = {path.relative_to("res").as_posix() for path in Path("res").rglob("*") if path.is_file()}
    per_image = {f"{name}{suffix}" for name in "ab" for suffix in (".txt", ".jpg", ".geojson", ".gpkg")}
    crops = {"crops/a.csv", "crops/block/a_0002.jpg", "crops/square/a_0001.jpg"}
    kept = {".predictions/a.npz", ".predictions/b.npz"}
    shared = {"detections.csv", "detections.json", "data.yaml", "labels/a.txt", "labels/b.txt"}
    assert files == per_image | crops | kept | shared
    lines = Path("res/a.txt").read_text().splitlines()
    assert "10.00 20.00 50.00 20.00 50.00 40.00 10.00 40.00 block 0.5000" in lines
    assert Path("res/b.txt").read_text() == ""
    assert len(json.loads(Path("res/detections.json").read_text())["annotations"]) == 2
    output = capsys.readouterr().out
    assert "2 objects in 2 images" in output
    assert "block" in output
    assert "2 of 2 images are not geo-referenced" in caplog.text
    assert calls == ["in/a.png", "in/b.png"]


def test_a_second_call_goes_on_and_adds_formats(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(Path("in/a.png"), [(10, 20, 40, 20)])
    assert run("in", "out=res", monkeypatch=monkeypatch) == 0
    text, written = Path("res/a.txt").read_bytes(), Path("res/a.jpg").stat().st_mtime_ns
    Path("res/a.txt").unlink()  # lost: written again, without predicting again
    draw(Path("in/b.png"), [(10, 20, 40, 20)])
    assert run("in", "out=res", "formats=dota,csv,pictures", monkeypatch=monkeypatch) == 0
    assert calls == ["in/a.png", "in/b.png"]
    assert Path("res/a.txt").read_bytes() == text
    assert Path("res/a.jpg").stat().st_mtime_ns == written
    assert len(Path("res/detections.csv").read_text().splitlines()) == 3
    for word in ("overwrite=true", "predict.score_threshold=0.95"):
        assert run("in", "out=res", word, monkeypatch=monkeypatch) == 0
    assert calls == ["in/a.png", "in/b.png"] * 3
    assert Path("res/a.txt").read_text() == ""  # nothing reaches 0.95


def test_all_kinds_of_sources_each_once(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("x/a.png", "y/a.png", "z/c.jpg"):
        draw(Path(name), [(10, 20, 40, 20)])
    Path("z/list.txt").write_text("c.jpg\n\nx/a.png\n")
    assert run("z/list.txt", "*/a.png", "y", "out=res", "formats=dota", monkeypatch=monkeypatch) == 0
    assert calls == ["z/c.jpg", "x/a.png", "y/a.png"]
    assert {path.name for path in Path("res").glob("*.txt")} == {"c.txt", "x_a.png.txt", "y_a.png.txt"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere.png"], "nowhere.png: no such image"),
        (["*.png"], "*.png: expected images or videos to match, found none"),
        (["empty"], "empty: no images in this folder"),
        (["list.txt"], "list.txt:2: expected the path of an image, found no file 'missing.png'"),
        (["in", "formats=[dota,shapefile]"], "predict.formats"),
        (["in", "overwrite=maybe"], "overwrite: expected true or false, got 'maybe'"),
        (["in", "predict.classes=[boat]"], "'boat' is none of block, square"),
        (["in", "out=in/a.png"], "in/a.png"),
        (["in", "format=dota"], "unknown key 'format'; did you mean 'formats=' or 'predict.formats'?"),
        (["in", "conf=0.5"], "unknown key 'conf'; did you mean 'predict.score_threshold'"),
        (["in", "--imgsz", "64"], "unknown key 'imgsz'; did you mean 'data.image_size'?"),
        (["in", "out="], "out: expected a folder for the results, got nothing"),
        (["in/a.png", "out=in", "formats=dota"], "in/a.txt: is there, and not of predict.py"),
        (["in/c.jpg", "out=in"], "would overwrite in/c.jpg"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("calls")
def test_bad_input_is_one_line_and_changes_nothing(
    words: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(Path("in/a.png"), [(10, 20, 40, 20)])
    draw(Path("in/c.jpg"), [(10, 20, 40, 20)])
    Path("in/a.txt").write_text("labels")
    Path("empty").mkdir()
    Path("list.txt").write_text("in/a.png\nmissing.png\n")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert expected in refused(*words, monkeypatch=monkeypatch, capsys=capsys)
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_damaged_image_among_many(
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in "abc":
        draw(Path(f"in/{name}.png"), [(10, 20, 40, 20)])
    whole = Path("in/b.png").read_bytes()
    Path("in/b.png").write_bytes(whole[:-20])
    error = refused("in", "out=res", "formats=dota,csv", monkeypatch=monkeypatch, capsys=capsys)
    assert "in/b.png: the file is truncated" in error
    assert {path.name for path in Path("res").glob("*.txt")} == {"a.txt"}
    assert len(Path("res/detections.csv").read_text().splitlines()) == 2
    calls.clear()
    assert run("in", "out=res", "data.on_error=skip", "formats=dota", monkeypatch=monkeypatch) == 0
    assert "in/a.png" not in calls  # found before
    assert "left out 1 file or line" in caplog.text
    assert {path.name for path in Path("res").glob("*.txt")} == {"a.txt", "c.txt"}
    Path("in/b.png").write_bytes(whole)
    calls.clear()
    assert run("in", "out=res", "formats=dota", monkeypatch=monkeypatch) == 0
    assert {path.name for path in Path("res").glob("*.txt")} == {"a.txt", "b.txt", "c.txt"}


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("data", [b"", b"no image"])
def test_what_stands_before_a_damaged_image_is_finished(
    data: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    draw(Path("in/a.png"), [(10, 20, 40, 20)])
    draw(Path("in/c.png"), [(10, 20, 40, 20)])
    Path("in/b.png").write_bytes(data)
    assert "in/b.png" in refused("in", "out=res", "formats=dota", monkeypatch=monkeypatch, capsys=capsys)
    assert {path.name for path in Path("res").glob("*.txt")} == {"a.txt"}


@pytest.mark.usefixtures("calls")
def test_a_link_to_nowhere_is_one_bad_image(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    draw(Path("in/a.png"), [(10, 20, 40, 20)])
    Path("in/b.png").symlink_to("nowhere.png")
    assert run("in", "out=res", "formats=dota", "data.on_error=skip", monkeypatch=monkeypatch) == 0
    assert "in/b.png: no such image file" in caplog.text
    assert {path.name for path in Path("res").glob("*.txt")} == {"a.txt"}


@pytest.mark.usefixtures("calls")
def test_what_is_done_to_a_raster_is_said_once_and_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000, 0, -0.5, 5_500_000)}
    for name in "abcdefg":
        with rasterio.open(f"{name}.tif", "w", "GTiff", 160, 120, 4, dtype="uint16", **place) as dataset:
            dataset.write(np.full((4, 120, 160), 400, np.uint16))
    assert run("*.tif", "out=res", "formats=[pictures,crops]", monkeypatch=monkeypatch) == 0
    text = capsys.readouterr().err  # \r begins a line anew, too
    lines = [line for line in text.replace("\r", "\n").splitlines() if "predict.stretch" in line]
    assert [line.partition(":")[0] for line in lines] == ["a.tif", "b.tif", "c.tif", "d.tif", "e.tif"]
    assert lines[0] == "a.tif: 16 bit, values 400 to 400: stretched from 400 to 401 (predict.stretch)"
    assert "not listed" in lines[-1]
    assert text.count("a.tif: bands 1, 2, 3 of 4 as red, green, blue (predict.bands)") == 1
    assert text.count("(predict.bands)") == 1


@pytest.mark.usefixtures("calls")
def test_a_geo_referenced_raster_gets_geojson(monkeypatch: pytest.MonkeyPatch) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    from rasterio.transform import Affine

    pixels = np.zeros((3, 120, 160), np.uint8)
    pixels[:, 20:40, 10:50] = 255
    place = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_500_000)}
    with rasterio.open("a.tif", "w", "GTiff", 160, 120, 3, dtype="uint8", **place) as dataset:
        dataset.write(pixels)
    assert run("a.tif", "out=res", monkeypatch=monkeypatch) == 0
    (row,) = json.loads(Path("res/a.geojson").read_text())["features"]
    assert row["properties"]["class"] == "block"
    assert row["properties"]["length_m"] == pytest.approx(20, rel=1e-3)
    assert Path("res/a.txt").is_file()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open("b.tif", "w", "GTiff", 160, 120, 3, dtype="uint8") as dataset:
            dataset.write(pixels)
    assert run("b.tif", "out=res", monkeypatch=monkeypatch) == 0
    assert not Path("res/b.geojson").exists()


def test_a_folder_of_rasters_gets_one_layer_too(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    draw(Path("in/photo.png"), [(10, 20, 40, 20)])
    for row, name in enumerate(("a", "detections", "=cmd|'!A0")):
        pixels = np.zeros((3, 120, 160), np.uint8)
        pixels[:, 20:40, 10:50] = 255
        place = {"crs": "EPSG:32633", "transform": rasterio.Affine(0.5, 0, 500_000 + row, 0, -0.5, 5_500_000)}
        with rasterio.open(f"{row}.tif", "w", "GTiff", 160, 120, 3, dtype="uint8", **place) as dataset:
            dataset.write(pixels)
        Path(f"{row}.tif").rename(f"in/{name}.tif")
    layer = Path("res/detections.geojson")
    words = ("in", "out=res", "formats=[geojson,geopackage]")
    assert run(*words, monkeypatch=monkeypatch) == 0
    first = json.loads(layer.read_text())["features"]
    names = {row["properties"]["image"] for row in first}
    assert names == {"a.tif", "detections.tif", "=cmd|'!A0.tif"}
    assert len(json.loads(Path("res/detections.tif.geojson").read_text())["features"]) == 1
    assert Path("res/=cmd|'!A0.gpkg").is_file()
    assert "detections.geojson, detections.gpkg: without 1 of 4 images" in caplog.text
    seen = len(calls)
    layer.unlink()
    Path("res/detections.gpkg").write_bytes(b"broken")
    assert run(*words, monkeypatch=monkeypatch) == 0
    assert len(calls) == seen
    assert json.loads(layer.read_text())["features"] == first
    assert Path("res/detections.gpkg").stat().st_size > 10_000
    Path("in/a.tif").unlink()
    assert run("in", "out=res", monkeypatch=monkeypatch) == 0  # geojson by itself
    assert [row["properties"]["image"] for row in json.loads(layer.read_text())["features"]] == [
        "=cmd|'!A0.tif",
        "detections.tif",
    ]


def test_the_journal_lies_where_the_documentation_says() -> None:
    source = Path("in/NAME.tif")
    trained = Trained(None, CLASSES, Config(), torch.device("cpu"), Path("best.pt"))  # type: ignore[arg-type]
    place = predict.Job([source], {source: "NAME"}, Path("OUT"), False, trained).journal_of(source)
    page = (ROOT / "docs/prediction.md").read_text()
    assert f"`{Journal(place, {})._own.as_posix()}`" in page
    assert f"`{kept_path(Path('OUT'), 'NAME').as_posix()}`" in page


def film(name: str, frames: Iterable[np.ndarray]) -> None:
    """Write frames (120, 160, 3) of uint8 as a video of 10 a second."""
    writer = cv2.VideoWriter(name, cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for frame in frames:
        writer.write(frame)
    writer.release()


@pytest.mark.usefixtures("calls")
def test_without_rasterio_a_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    draw(Path("a.tif"), [(10, 20, 40, 20)])
    for name in ("rasterio", "pyogrio"):
        monkeypatch.setitem(sys.modules, name, None)
    error = refused("a.tif", "formats=geopackage", monkeypatch=monkeypatch, capsys=capsys)
    assert "pip install rasterio" in error
    assert run("a.tif", "out=res", monkeypatch=monkeypatch) == 0
    assert "pip install rasterio" in caplog.text
    assert Path("res/a.txt").is_file()


def test_a_video(
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    frames = np.zeros((12, 120, 160, 3), np.uint8)
    for k, frame in enumerate(frames):
        frame[32:64, 16 + 4 * k : 48 + 4 * k] = 255
    film("clip.avi", frames)
    assert run("clip.avi", "out=res", "formats=pictures,dota,csv", monkeypatch=monkeypatch) == 0
    assert "12 objects in 1 file\n" in capsys.readouterr().out
    assert len(calls) == 12
    capture = cv2.VideoCapture("res/clip.mp4")
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    read, frame = capture.read()
    capture.release()
    assert read
    strip = frame[120:, :, ::-1]
    assert strip.shape[:2] == legend_strip(160, class_legend(CLASSES, (), 0.3)).shape[:2]
    for k in (0, 1):  # as far as the codec keeps colours
        assert (np.abs(strip.astype(int) - class_colour(k)).max(axis=-1) < 60).sum() > 40
    assert np.abs(frame[36:60, 20:44].astype(int) - 255).mean() < 20  # the frame itself is not moved
    with Path("res/clip.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["frame"]) for row in rows] == list(range(12))
    for k, row in enumerate(rows):
        assert float(row["centre_x"]) == pytest.approx(32 + 4 * k, abs=1.5)
    assert [line.split()[0] for line in Path("res/clip.txt").read_text().splitlines()] == list(
        map(str, range(12))
    )
    assert run("clip.avi", "out=res", "formats=pictures,dota,csv", monkeypatch=monkeypatch) == 0
    assert len(calls) == 12  # not read again
    assert run("clip.avi", "out=res", "formats=coco", monkeypatch=monkeypatch) == 0
    assert "clip.avi: left out" in caplog.text
    assert len(calls) == 12


def test_a_video_that_ends_early_keeps_what_was_read(
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    film("clip.avi", np.random.default_rng(0).integers(0, 100, (40, 120, 160, 3), np.uint8))
    data = Path("clip.avi").read_bytes()
    Path("clip.avi").write_bytes(data[: len(data) // 2])
    assert run("clip.avi", "out=res", "formats=pictures,dota", monkeypatch=monkeypatch) == 0
    (line,) = [line for line in caplog.messages if "what was read is kept" in line]
    assert "clip.avi: ends after" in line
    assert "of 40 frames" in line
    assert 10 < len(calls) < 30
    assert Path("res/clip.mp4").stat().st_size > 0
    Path("none.mp4").write_bytes(data[:100])
    error = refused("none.mp4", "out=res", monkeypatch=monkeypatch, capsys=capsys)
    assert "none.mp4" in error
    assert not Path("res/none.mp4").exists()


def start(launcher: Sequence[str], out: Path) -> "subprocess.Popen[str]":
    settings = ["predict.score_threshold=0.004", "predict.batch_size=4", "eval.pre_nms=9", "train.amp=false"]
    words = ["in", f"out={out}", "weights=best.pt", "formats=[dota,csv]", "train.device=cpu", *settings]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, str(ROOT / "predict.py"), *words],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def texts(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@pytest.mark.slow
def test_killed_and_shared_calls_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small images in batches and a scene in tiles: by one process, by two, after a kill inside the scene."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    config = load_config(None, ["model.size=nano", "data.image_size=64"])
    state = build_model(config, len(CLASSES)).state_dict()
    save_checkpoint(Path("best.pt"), {"config": config.model_dump_json(), "classes": CLASSES, "model": state})
    rng = np.random.default_rng(0)
    Path("in").mkdir()
    for name, side in (("a", 60), ("b", 64), ("c", 100), ("d", 61), ("scene", 900)):
        cv2.imwrite(f"in/{name}.png", rng.integers(0, 256, (side, side, 3), np.uint8))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for out, words in (("one", []), ("two", launcher)):
        process = start(words, Path(out))
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert len(texts(Path("one"))) == 6
    assert all(texts(Path("one")).values())
    assert texts(Path("one")) == texts(Path("two"))
    process = start([], Path("three"))
    end = time.monotonic() + 120
    journal = Path("three/.predictions/scene.journal.0")
    while time.monotonic() < end and not (journal.exists() and journal.stat().st_size > FIVE_BATCHES):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert not Path("three/scene.txt").exists()
    process = start([], Path("three"))
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "going on" in errors
    assert texts(Path("three")) == texts(Path("one"))
    assert not list(Path("three/.predictions").glob("*journal*"))


def test_one_bar_counts_the_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("utils.progress.PATIENCE", 0.0)  # any bar of its own would appear
    write_tiny_checkpoint(tmp_path)
    draw(Path("in/small.png"), [(10, 10, 20, 20)], (60, 60))
    draw(Path("in/scene.png"), [(30, 40, 20, 20)], (200, 300))
    tiles = 4 * 6 + 1  # from 0, 48, 96, 136 down, from 0, 48, .. 192, 236 right; and the small one
    words = ["in", "out=o", "predict.tile=64", "predict.overlap=16", "formats=dota"]
    for more, end in ((), f"{tiles}/{tiles}"), ((), "2/2"), (["overwrite=true"], f"{tiles}/{tiles}"):
        assert run(*words, *more, monkeypatch=monkeypatch) == 0
        lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
        bars = [line for line in lines if line.startswith(("predict", "tiles"))]
        assert all(line.startswith("predict:") for line in bars)
        assert f" {end} " in bars[-1]
        assert ("tile" in bars[-1]) == (end != "2/2")
