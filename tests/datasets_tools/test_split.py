import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely

from cfg.schema import DataConfig
from dataloadR.annotations import read_split
from dataloadR.splits import split_command
from datasets_tools import cutting, split
from tests.paths import DATA
from utils import rasters
from utils.errors import UserError
from utils.images import ImageError, read_image
from utils.tiles import parse_tile

ROOT = Path(__file__).parents[2]
SMALL = ["--size", "100", "--overlap", "30"]
CLASSES = ["ship", "plane"]


def write_scene(
    images: Path, labels: Path | None, name: str, size: tuple[int, int], objects: int = 12
) -> None:
    """Write a picture of noise and, unless `labels` is None, objects of both classes all over it."""
    rng = np.random.default_rng(sum(name.encode()))
    images.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(images / name), rng.integers(0, 256, (*size, 3), np.uint8))
    if labels is None:
        return
    labels.mkdir(parents=True, exist_ok=True)
    lines = ["imagesource:GoogleEarth", "gsd:0.5"]
    for k in range(objects):
        theta = np.sort(rng.uniform(0, 2 * np.pi, 4))
        circle = np.stack([np.cos(theta), np.sin(theta)], axis=-1) * rng.uniform(4, 40)
        quad = circle + rng.uniform(0, 1, 2) * size[::-1]
        lines.append(" ".join(f"{v:.2f}" for v in quad.ravel()) + f" {CLASSES[k % 2]} {k % 3}")
    (labels / name).with_suffix(".txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set with name files: two labelled images, one without a label file."""
    root = tmp_path / "data"
    write_scene(root / "images", root / "labelTxt", "a.png", (250, 330))
    write_scene(root / "images", root / "labelTxt", "b.c.png", (90, 120))
    write_scene(root / "images", None, "empty.png", (180, 100))
    (root / "ImageSets").mkdir()
    (root / "ImageSets/train.txt").write_text("a\nempty.png\n")
    (root / "ImageSets/val.txt").write_text("b.c\n")
    return root


def run(source: Path, out: Path, *words: str) -> dict[str, int]:
    split.main([str(source), str(out), *SMALL, "--processes", "1", *words])
    summary: dict[str, int] = json.loads((out / cutting.RECORD).read_text())["summary"]
    return summary


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of every file but the record of the options, by path."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != cutting.RECORD]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def slow_labels(lines: list[str], x: int, y: int, rate: float, size: tuple[int, int]) -> list[str]:
    """Return the label lines of a tile, one object after the other."""
    window, found = shapely.box(x, y, x + size[1], y + size[0]), []
    for line in lines[2:]:
        *corners, name, flag = line.split()
        quad = np.array(corners, float).reshape(4, 2) * rate
        polygon = shapely.Polygon(quad)
        share = polygon.intersection(window).area / polygon.area
        if share >= 0.1:
            numbers = " ".join(f"{value:.4f}" for value in (quad - [x, y]).ravel())
            found.append(f"{numbers} {name} {flag if share >= 0.7 else 2}")
    return found


@pytest.mark.parametrize("rates", [["1"], ["0.5", "1.5"]])
def test_tiles_and_labels_equal_a_slow_loop(data: Path, tmp_path: Path, rates: list[str]) -> None:
    summary = run(data, tmp_path / "out", "--rates", *rates)
    tiles = sorted((tmp_path / "out/images").iterdir())
    assert len(tiles) == summary["tiles"] > 5
    labels = 0
    for path in tiles:
        name, rate, x, y = parse_tile(path.stem)
        pixels, whole = read_image(path), read_image(data / f"images/{name}.png")
        assert max(pixels.shape[:2]) <= 100
        if rate == 1:
            height, width = pixels.shape[:2]
            np.testing.assert_array_equal(pixels, whole[y : y + height, x : x + width])
        written = tmp_path / f"out/labelTxt/{path.stem}.txt"
        source = data / f"labelTxt/{name}.txt"
        assert written.exists() == source.exists()
        if source.exists():
            lines = written.read_text().splitlines()
            assert lines[:2] == ["imagesource:GoogleEarth", f"gsd:{0.5 / rate:.12g}"]
            assert lines[2:] == slow_labels(source.read_text().splitlines(), x, y, rate, pixels.shape[:2])
            labels += len(lines) - 2
    assert labels == summary["labels"]
    assert summary["objects"] == 24


def test_name_files_list_the_tiles(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out")
    train, classes = read_split(tmp_path / "out", "train")
    val, _ = read_split(tmp_path / "out", "val", classes)
    assert classes == ("plane", "ship")
    assert {parse_tile(Path(a.image_path).stem).image for a in train} == {"a", "empty"}
    assert [parse_tile(Path(a.image_path).stem).image for a in val] == ["b.c", "b.c"]
    assert len(train) + len(val) == len(list((tmp_path / "out/images").iterdir()))


def test_one_split_of_several(data: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path / "out", "--splits", "val")["images"] == 1
    assert [p.name for p in (tmp_path / "out/ImageSets").iterdir()] == ["val.txt"]
    with pytest.raises(UserError, match="no split 'test', found train, val"):
        run(data, tmp_path / "other", "--splits", "test")


def test_folders_of_splits(tmp_path: Path) -> None:
    for part, name in (("train", "a.png"), ("val", "a.png"), ("test", "t.jpg")):
        labels = None if part == "test" else tmp_path / f"data/{part}/labelTxt"
        write_scene(tmp_path / f"data/{part}/images", labels, name, (120, 90))
    run(tmp_path / "data", tmp_path / "out", "--empty", "0")
    for part in ("train", "val", "test"):
        annotations, _ = read_split(tmp_path / "out", part, ["ship", "plane"])
        assert all(len(a.labels) for a in annotations) == (part != "test")
        assert len(annotations) == 2  # --empty thins no split without labels
    assert not (tmp_path / "out/test/labelTxt").exists()
    assert not (tmp_path / "out/ImageSets").exists()


@pytest.mark.parametrize("names", [[], ["--classes", "ship", "plane"]])
def test_index_first_labels_and_lists(tmp_path: Path, names: list[str]) -> None:
    root = tmp_path / "data"
    write_scene(root / "JPEGImages", None, "a.png", (100, 100))
    (root / "Annotations").mkdir()
    (root / "Annotations/a.txt").write_text("1 9 20 33 8 36 14 12 26 1\n")
    (root / "ImageSets/Main").mkdir(parents=True)
    (root / "ImageSets/Main/train.txt").write_text("a\n")
    (root / "list.txt").write_text("JPEGImages/a.png 9,8,36,26,1,9,20,33,8,36,14,12,26,0.37,153.4\n")
    run(root, tmp_path / "out", *names)
    run(root / "list.txt", tmp_path / "out2", *names)
    corners = "9.0000 20.0000 33.0000 8.0000 36.0000 14.0000 12.0000 26.0000"
    form = "{} plane {}\n" if names else "1 {} {}\n"
    assert (tmp_path / "out/labelTxt/a__1__0___0.txt").read_text() == form.format(corners, 1)
    assert (tmp_path / "out2/labelTxt/a__1__0___0.txt").read_text() == form.format(corners, 0)
    assert (tmp_path / "out/ImageSets/train.txt").read_text() == "a__1__0___0\n"
    run(root, tmp_path / "out3", "--splits", "list.txt")
    assert (tmp_path / "out3/ImageSets/list.txt").exists()
    with pytest.raises(UserError, match=r"a\.txt:1: expected a class index below 1 \(ship\), got 1"):
        run(root, tmp_path / "out4", "--classes", "ship")


def test_images_without_labels(tmp_path: Path) -> None:
    for name in ("a.png", "b.tif", "c.jpg"):
        write_scene(tmp_path / "photos", None, name, (150, 90))
    assert run(tmp_path / "photos", tmp_path / "out")["tiles"] == 6
    assert (
        run(tmp_path / "photos/b.tif", tmp_path / "one", "--format", "jpg", "--quality", "80")["tiles"] == 2
    )
    assert sorted(files(tmp_path / "one")) == ["images/b__1__0___0.jpg", "images/b__1__0___50.jpg"]
    assert not (tmp_path / "out/labelTxt").exists()


def test_a_small_image_is_one_tile_of_its_size(tmp_path: Path) -> None:
    write_scene(tmp_path / "photos", None, "a.png", (40, 60))
    run(tmp_path / "photos", tmp_path / "out")
    (path,) = (tmp_path / "out/images").iterdir()
    np.testing.assert_array_equal(read_image(path), read_image(tmp_path / "photos/a.png"))


def test_quads_reduced_to_what_is_visible(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out", "--cut", "clip")
    annotations, _ = read_split(tmp_path / "out", "train")
    for annotation in annotations:
        height, width, _ = read_image(annotation.image_path).shape
        assert ((annotation.quads >= 0) & (annotation.quads <= (width, height))).all()


def test_empty_tiles_are_sampled_by_the_seed(data: Path, tmp_path: Path) -> None:
    summaries = {share: run(data, tmp_path / f"out{share}", "--empty", share) for share in ("0", "0.5", "1")}
    full = summaries["1"]
    assert summaries["0"]["empty tiles"] == 0 < summaries["0.5"]["empty tiles"] < full["empty tiles"]
    for summary in summaries.values():
        assert summary["tiles"] + summary["empty tiles left out"] == full["tiles"]
        assert summary["labels"] == full["labels"]
    other = run(data, tmp_path / "seed", "--empty", "0.5", "--seed", "3")
    assert set(files(tmp_path / "seed")) != set(files(tmp_path / "out0.5"))
    assert other["labels"] == full["labels"]


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="none: expected images"):
        run(tmp_path / "none", tmp_path / "out")
    with pytest.raises(UserError, match="no such folder"):
        run(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_objects(tmp_path: Path) -> None:
    write_scene(tmp_path / "data/images", tmp_path / "data/labelTxt", "a.png", (150, 90), objects=0)
    summary = run(tmp_path / "data", tmp_path / "out")
    assert (summary["tiles"], summary["empty tiles"], summary["objects"]) == (2, 2, 0)


def test_a_broken_image_stops_or_is_named(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = data / "images/b.c.png"
    image.write_bytes(image.read_bytes()[:-100])
    with pytest.raises(ImageError, match=r"b\.c\.png: the file is truncated"):
        run(data, tmp_path / "out")
    summary = run(data, tmp_path / "skipped", "--on-error", "skip")
    assert summary["images"] == 2
    assert "b.c.png: the file is truncated" in caplog.text
    assert (tmp_path / "skipped/ImageSets/val.txt").read_text() == ""
    write_scene(data / "images", None, "b.c.png", (90, 120))
    assert run(data, tmp_path / "out")["images"] == 3  # goes on where it stopped


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.tif").write_bytes(b"II*")
    with pytest.raises(UserError, match="expected at least one readable image, found none"):
        run(tmp_path / "photos", tmp_path / "out", "--on-error", "skip")


def test_a_bad_label_line_is_named(data: Path, tmp_path: Path) -> None:
    with (data / "labelTxt/a.txt").open("a") as file:
        file.write("1 2 3\n")
    with pytest.raises(UserError, match=r"a\.txt:15: expected 8 coordinates"):
        run(data, tmp_path / "out")
    assert run(data, tmp_path / "out2", "--on-error", "skip")["objects"] == 24


def test_other_options_are_refused(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out")
    before = files(tmp_path / "out")
    with pytest.raises(UserError, match=r"overlap 30 and not 20: choose another"):
        run(data, tmp_path / "out", "--overlap", "20")
    with pytest.raises(UserError, match=r"source '.*data' and not '.*images'"):
        run(data / "images", tmp_path / "out")
    assert files(tmp_path / "out") == before


def test_folders_of_others_are_left_alone(data: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.doc").write_text("all of it")
    with pytest.raises(UserError, match="expected a new or empty folder"):
        run(data, tmp_path / "full")
    for inside in (data, data / "tiles"):
        with pytest.raises(UserError, match="expected a folder outside"):
            run(data, inside)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/split.json").write_text("{")
    with pytest.raises(UserError, match="in JSON"):
        run(data, tmp_path / "broken")


def test_two_images_of_one_name(tmp_path: Path) -> None:
    write_scene(tmp_path / "photos", None, "a.png", (40, 60))
    write_scene(tmp_path / "photos", None, "a.jpg", (40, 60))
    with pytest.raises(UserError, match=r"a\.png: expected names that differ .*a\.jpg has the same"):
        run(tmp_path / "photos", tmp_path / "out")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--overlap", "100"], "--overlap: expected 0 to 99, got 100"),
        (["--size", "0"], "--size: expected 1 to 32767, got 0"),
        (["--rates", "1", "0"], "--rates: expected 0.01 to 16, got 0"),
        (["--rates", "1", "1.00000000001"], "--rates: expected each once"),
        (["--empty", "1.5"], "--empty: expected 0 to 1, got 1.5"),
        (["--rates", "nan"], "--rates: expected 0.01 to 16, got nan"),
    ],
)
def test_bad_numbers(data: Path, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        run(data, tmp_path / "out", *words)


@pytest.mark.parametrize("large", [False, True])
def test_processes_change_nothing(
    data: Path, tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if large:
        pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
        write_scene(data / "images", data / "labelTxt", "a.tif", (900, 500), objects=200)
        (data / "ImageSets/train.txt").write_text("a.tif\nempty\n")
        monkeypatch.setattr(rasters, "WHOLE_PIXELS", 0)
        monkeypatch.setattr(cutting, "ROWS_AT_ONCE", 2)
    words = ["--rates", "0.5", "1", "--empty", "0.5"]
    run(data, tmp_path / "one", *words)
    run(data, tmp_path / "two", *words, "--processes", "2")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    summaries = [json.loads((tmp_path / p / cutting.RECORD).read_text())["summary"] for p in ("one", "two")]
    assert summaries[0] == summaries[1]


@pytest.mark.slow
def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    for k in range(6):
        write_scene(tmp_path / "data/images", tmp_path / "data/labelTxt", f"{k}.png", (900, 900), objects=60)
    words = [str(tmp_path / "data"), str(tmp_path / "out"), "--size", "100", "--overlap", "50"]
    command = [sys.executable, "-m", "datasets_tools.split", *words, "--processes", "2"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob("images/[!.]*"))) < 100 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    tiles = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/images").glob("[!.]*")}
    assert 100 <= len(tiles) < 6 * 17 * 17
    assert all(len(read_image(path)) == 100 for path in tiles)
    first = min(tiles)
    first.write_bytes(b"")  # as after a power cut
    (tmp_path / "out/images/.9.1.tmp.png").write_bytes(b"half")
    split.main([*words, "--processes", "1"])
    split.main([words[0], str(tmp_path / "whole"), *words[2:], "--processes", "1"])
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert all(p.stat().st_mtime_ns == when for p, when in tiles.items() if p != first)


PEAK = """
import resource, sys
from datasets_tools import cutting, split  # what it imports is no raster

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
split.main(sys.argv[1:])
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"tiled": True, "blockxsize": 512, "blockysize": 512}])
def test_memory_does_not_grow_with_the_raster(tmp_path: Path, options: dict[str, object]) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    side = 12_000  # 432 MB of pixels
    shape = {"count": 3, "height": side, "width": side, "dtype": "uint8", "photometric": "rgb"}
    options = {"compress": "zstd", "interleave": "pixel", **shape, **options}
    row = np.tile(np.arange(side, dtype=np.uint8), (3, 500, 1))
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **options) as dataset:
        for top in range(0, side, 500):
            dataset.write(row, window=((top, top + 500), (0, side)))
    words = [str(tmp_path / "a.tif"), str(tmp_path / "out"), "--size", "1100", "--overlap", "100"]
    command = [sys.executable, "-c", PEAK, *words, "--processes", "1", "--format", "jpg"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    before, after = map(int, result.stdout.split()[-2:])
    assert after - before < 250 * 1024  # of KB; a band has 40 MB, GDAL's blocks 64
    tile = read_image(tmp_path / "out/images/a__1__1000___2000.jpg")
    assert np.abs(tile[7, :, 0].astype(int) - np.arange(1000, 2100) % 256).mean() < 4


@pytest.mark.parametrize("listed", [False, True])
def test_the_command_that_training_prints_works(data: Path, listed: bool) -> None:
    if listed:
        for part in ("train", "val"):
            (data / f"{part}.txt").write_text("images/a.png\n")
    config = DataConfig(root=f"{data}/", image_size=96, train="train.txt" if listed else "train", val="val")
    python, dash, module, *words = shlex.split(split_command(config))
    assert (python, dash, module) == ("python", "-m", "datasets_tools.split")
    split.main(words)
    assert read_split(f"{data}_96", "train")[0]


@pytest.mark.skipif(not (DATA / "dota-samples").exists(), reason="dota-samples is not here (GGHL_DATA)")
def test_every_object_of_real_images_is_whole_in_a_tile(tmp_path: Path) -> None:
    split.main([str(DATA / "dota-samples"), str(tmp_path / "out"), "--size", "800", "--overlap", "200"])
    summary = json.loads((tmp_path / "out/split.json").read_text())["summary"]
    assert summary["objects"] == summary["objects kept"] == 1187


@pytest.mark.parametrize("other", ["all.txt", "train.txt", "labels/a.txt", "annotations.xml"])
def test_labels_of_another_format_are_not_lost(tmp_path: Path, other: str) -> None:
    write_scene(tmp_path / "data/images", None, "a.png", (64, 64))
    (tmp_path / "data" / other).parent.mkdir(exist_ok=True)
    (tmp_path / "data" / other).write_text("images/a.png\n")
    with pytest.raises(
        UserError, match=rf"expected labels in labelTxt/ or Annotations/, found .*{other[:6]}"
    ):
        run(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_that_nothing_names(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no split 'nope'"):
        run(data, tmp_path / "out", "--splits", "nope")
    assert not (tmp_path / "out").exists()
