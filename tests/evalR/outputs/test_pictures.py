"""Pictures, overviews and crops: what is drawn where."""

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from evalR.outputs import overview
from evalR.outputs.crops import class_folder, crop_upright, remove_crops, write_crops
from evalR.outputs.overview import densest_windows, draw_overview, reduce_raster, write_overview
from evalR.outputs.pictures import annotate, class_legend, legend, part_of, write_picture
from tests.evalR.outputs.found import make_found, random_quads, rectangle
from utils.drawing import LEGEND_ROW, legend_row
from utils.images import read_image
from utils.palette import class_colour
from utils.rasters import array_raster
from utils.tiles import Window

BLACK = np.zeros((400, 500, 3), np.uint8)


def painted(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).max(axis=-1) < 25  # lines are smoothed


def test_outlines_lie_on_the_quads_in_the_colours_of_the_classes() -> None:
    quads = [
        [[100, 100], [140, 100], [140, 120], [100, 120]],
        [[300, 200], [308, 200], [308, 208], [300, 208]],
    ]
    picture = annotate(BLACK, make_found(np.array(quads) + 0.5))  # the centres of pixels
    assert painted(picture, class_colour(0))[100, 102:139].all()
    assert not picture[102:119, 102:139].any()  # nothing hides the object
    assert not picture[202:207, 202:207].any()  # nor one of 8 px
    assert painted(picture, class_colour(1))[196:213, 296:313].sum() > 20


@pytest.mark.parametrize(("side", "scale"), [(8, 2), (5, 4), (40, 1)])
def test_images_of_small_objects_are_enlarged(side: int, scale: int, tmp_path: Path) -> None:
    quad = [[[50, 50], [50 + side, 50], [50 + side, 50 + side], [50, 50 + side]]]
    write_picture(tmp_path / "a.jpg", BLACK, make_found(quad), 0.3)
    assert read_image(tmp_path / "a.jpg").shape == (400 * scale + legend_row(500 * scale), 500 * scale, 3)


def test_a_picture_of_nothing(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.jpg", BLACK, make_found(), 0.3)
    assert read_image(tmp_path / "a.jpg").shape == (400 + LEGEND_ROW, 500, 3)
    write_overview(tmp_path / "b", array_raster(BLACK), make_found(), 0.3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.jpg"]


def test_a_reduced_scene_is_the_mean_of_its_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (707, 503, 3), np.uint8)
    view = reduce_raster(array_raster(image), 5)
    expected = image[:705, :500].reshape(141, 5, 100, 5, 3).mean(axis=(1, 3))
    assert np.abs(view.image - expected).max() <= 0.51


def test_small_objects_are_dots_in_an_overview() -> None:
    view = reduce_raster(array_raster(BLACK), 5)
    picture = draw_overview(view, make_found([rectangle(250, 200, 20, 10, 0)]))
    rows, columns = np.nonzero(painted(picture, class_colour(0)))
    assert np.mean(rows) == pytest.approx(40, abs=0.6)
    assert np.mean(columns) == pytest.approx(50, abs=0.6)
    assert len(rows) < 25


def test_densest_windows_against_a_slow_search() -> None:
    rng = np.random.default_rng(2)
    quads = random_quads(400, (5000, 7000)) + rng.normal(0, 1, (400, 1, 1))
    quads[:60] += np.array([3300.0, 2100.0]) - quads[:60].mean(axis=1, keepdims=True) + rng.uniform(0, 600)
    windows = densest_windows(quads, (5000, 7000))
    assert len(windows) == 4
    x, y = quads.mean(axis=1).T
    counts = [
        int(((x >= left) & (x < left + 1000) & (y >= top) & (y < top + 1000)).sum())
        for top in range(0, 4001, 250)
        for left in range(0, 6001, 250)
    ]
    left, top, right, bottom = windows[0]
    assert int(((x >= left) & (x < right) & (y >= top) & (y < bottom)).sum()) == max(counts)
    for window in windows:
        assert (window.x_max - window.x_min, window.y_max - window.y_min) == (1000, 1000)
        assert window.x_min >= 0
        assert window.x_max <= 7000
    assert densest_windows(np.zeros((0, 4, 2)), (5000, 7000)) == []
    assert densest_windows(np.full((1, 4, 2), 20.0), (300, 1500)) == [(0, 0, 1000, 300)]


def test_what_reaches_into_a_window_is_drawn_in_it() -> None:
    found = make_found([rectangle(95, 150, 20, 10, 90), rectangle(80, 150, 20, 10, 90)])
    part = part_of(found, Window(100, 120, 200, 320))
    assert part.size == (200, 100)
    np.testing.assert_allclose(part.detections.quads.numpy(), [rectangle(-5, 30, 20, 10, 90)])
    assert len(part_of(make_found(), Window(0, 0, 10, 10)).detections.scores) == 0


def test_overview_and_windows_of_a_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "OVERVIEW", 100)
    monkeypatch.setattr(overview, "WINDOW", 200)
    found = make_found([rectangle(30, 30, 20, 10, 0), rectangle(430, 330, 20, 10, 0)])
    paths = write_overview(tmp_path / "s", array_raster(BLACK), found, 0.3)
    assert [path.name for path in paths] == ["s.jpg", "s_dense1.jpg", "s_dense2.jpg"]
    for path, (height, width) in zip(paths, [(80, 100), (200, 200), (200, 200)], strict=True):
        shape = read_image(path).shape
        assert shape[1] == width
        assert shape[0] > height
        assert (shape[0] - height) % LEGEND_ROW == 0
    write_overview(tmp_path / "s", array_raster(BLACK), make_found([rectangle(30, 30, 20, 10, 0)]), 0.3)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"s.jpg", "s_dense1.jpg"}  # no window without a frame


def test_frames_numbers_ranges_and_file_names_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three crowds of 30, 20 and 10 objects, in a scene of 3000 x 2000 px."""
    crowds = [(2300, 1400, 30), (500, 500, 20), (2500, 300, 10)]
    rng = np.random.default_rng(4)
    quads = [
        rectangle(x + rng.uniform(-150, 150), y + rng.uniform(-150, 150), 20, 10, rng.uniform(0, 180))
        for x, y, count in crowds
        for _ in range(count)
    ]
    found = make_found(quads, size=(2000, 3000), source="scenes/port.tif")
    saved: dict[str, tuple[np.ndarray, list]] = {}
    monkeypatch.setattr(overview, "with_legend", lambda image, entries: (image, list(entries)))
    monkeypatch.setattr(overview, "save_image", lambda path, picture: saved.update({path.name: picture}))
    scene = np.zeros((2000, 3000, 3), np.uint8)
    scene[..., 0], scene[..., 1] = np.arange(3000) // 16, np.arange(2000)[:, None] // 16
    write_overview(tmp_path / "port", array_raster(scene), found, {"plane": 0.4, "large ship": 0.6})
    assert list(saved) == ["port.jpg", "port_dense1.jpg", "port_dense2.jpg", "port_dense3.jpg"]
    sheet, about = saved["port.jpg"]
    texts = [text for _, text in about]
    assert texts[:3] == [
        "port.tif: 3000 x 2000 px, shown 1:2",
        "frames 1 to 3: port_dense1.jpg to port_dense3.jpg",
        "score >= 0.40-0.60, by class",
    ]
    for number, (x, y, count) in enumerate(crowds, 1):
        picture, entries = saved[f"port_dense{number}.jpg"]
        words = re.fullmatch(r"window (\d): x (\d+)-(\d+), y (\d+)-(\d+) of port.tif", entries[0][1])
        assert words
        named, left, right, top, bottom = map(int, words.groups())
        assert named == number
        assert left < x < right
        assert top < y < bottom
        assert picture.shape == (bottom - top, right - left, 3)
        bare = picture[..., 2] == 0  # where nothing is drawn, or a colour without blue
        rows, columns = np.nonzero(bare)
        x_found, y_found = (16 * picture[bare][:, k].astype(int) for k in (0, 1))
        assert (np.abs(x_found - columns - left) < 16).mean() > 0.95
        assert (np.abs(y_found - rows - top) < 16).mean() > 0.95
        assert sum(int(text.rsplit(" ", 1)[1]) for _, text in entries[2:]) == count
        for at in ((top // 2, (left + right) // 4), ((top + bottom) // 4, left // 2)):
            row, column = (min(max(k, 1), n - 2) for k, n in zip(at, sheet.shape, strict=False))
            assert (sheet[row - 1 : row + 3, column - 1 : column + 3] == 255).all(axis=-1).any()
    frameless = draw_overview(reduce_raster(array_raster(scene), 2), found)
    assert not (frameless == 255).all(axis=-1).any()


def test_a_class_has_one_colour_wherever_it_is_shown(tmp_path: Path) -> None:
    """Ships alone and ships among others: their colour is that of their place in training."""
    box = rectangle(200, 150, 60, 30, 20)
    alone = make_found([box], [1])
    among = make_found([box, rectangle(400, 300, 60, 30, 70)], [1, 0])
    for found in (alone, among):
        picture = annotate(BLACK, found)
        x, y = box.mean(axis=0) + (box[1] - box[0]) / 2
        around = picture[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3]
        assert painted(around, class_colour(1)).any()
        assert (class_colour(1), "large ship 1") in legend(found, 0.3)
    overview_of = draw_overview(reduce_raster(array_raster(BLACK), 1), alone)
    assert painted(overview_of, class_colour(1)).sum() > 50
    write_overview(tmp_path / "s", array_raster(BLACK), alone, 0.3)
    for name in ("s.jpg", "s_dense1.jpg"):
        assert painted(read_image(tmp_path / name), class_colour(1)).sum() > 50
    both = ("plane", "large ship")
    assert class_legend(both, ("large ship",), 0.3)[1:] == [(class_colour(1), "large ship")]
    assert class_legend(both, (), "all")[0] == (None, "all")
    assert legend(make_found(), 0.5) == [(None, "score >= 0.50"), (None, "no objects")]


@pytest.mark.parametrize("degrees", [0, 20, 70, 90, 110, 160, 179])
def test_a_crop_is_upright(degrees: float) -> None:
    """A white rectangle whose upper third is red: the crop shows it upright, the red end on top."""
    image = np.zeros((300, 300, 3), np.uint8)
    quad = rectangle(150.3, 140.7, 90, 30, degrees)
    top_first = quad if quad[:2, 1].mean() <= quad[2:, 1].mean() + 1e-9 else np.roll(quad, 2, axis=0)
    cv2.fillPoly(image, [np.round(quad).astype(np.int32)], (255, 255, 255))
    part = np.stack([*top_first[:2], *(top_first[[2, 3]] * 0.34 + top_first[[1, 0]] * 0.66)])
    cv2.fillPoly(image, [np.round(part).astype(np.int32)], (255, 0, 0))
    crop = crop_upright(array_raster(image), quad, 0.0)
    assert crop is not None
    assert crop.shape == (90, 30, 3)
    assert (crop[4:-4, 4:-4, 0] > 200).all()
    if degrees not in (90,):  # level: neither end is on top
        assert (crop[4:24, 4:-4, 1] < 60).all()
        assert (crop[40:-4, 4:-4, 1] > 200).all()
    wide = crop_upright(array_raster(image), quad, 0.5)
    assert wide is not None
    assert wide.shape == (120, 60, 3)
    assert (wide[:10, 20:40] == 0).all()


def test_crops_beyond_the_image_are_grey_or_left_out() -> None:
    raster = array_raster(np.full((50, 50, 3), 255, np.uint8))
    crop = crop_upright(raster, rectangle(50, 25, 40, 20, 0), 0.0)
    assert crop is not None
    assert crop.shape == (40, 20, 3)
    assert (crop[:, :8] == 255).all()
    assert (crop[:, 12:] == 128).all()
    assert crop_upright(raster, rectangle(500, 25, 40, 20, 0), 0.0) is None


def test_crops_of_an_image_replace_those_before(tmp_path: Path) -> None:
    raster, found = array_raster(BLACK), make_found(random_quads(5) * 0.5 + 50)
    assert write_crops(tmp_path, "a", raster, found, 0.1, 0) == 5
    assert write_crops(tmp_path, "a_0001", raster, found, 0.1, 3) == 3
    assert write_crops(tmp_path, "a", raster, found, 0.1, 2) == 2
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg"))
    assert names == [
        "large ship/a_0001_0002.jpg",
        "large ship/a_0002.jpg",
        "plane/a_0001.jpg",
        "plane/a_0001_0001.jpg",
        "plane/a_0001_0003.jpg",
    ]
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["crop"] for row in rows] == ["plane/a_0001.jpg", "large ship/a_0002.jpg"]
    for row, quad in zip(rows, found.detections.quads.numpy(), strict=False):
        low, high = (np.array([int(row[f"{axis}_{end}"]) for axis in "xy"]) for end in ("min", "max"))
        assert (low <= np.clip(quad.min(axis=0), 0, None)).all()
        assert (high >= np.minimum(quad.max(axis=0), [500, 400])).all()
        assert (high - low <= np.ptp(quad, axis=0) + 2 + 4).all()  # a margin of a tenth of 10 px on all sides
    remove_crops(tmp_path, "a_0001")
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["a.csv"]
    assert len(list(tmp_path.rglob("*.jpg"))) == 2
    assert write_crops(tmp_path, "b", raster, make_found(), 0.1, 0) == 0


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../a", "a\\b", "c:", "a\0", "plane", "..."])
def test_the_folder_of_a_class_lies_in_that_of_the_crops(name: str, tmp_path: Path) -> None:
    folder = tmp_path / class_folder(name)
    folder.mkdir()
    assert folder.resolve().parent == tmp_path
    assert (folder.name == name) == (name in ("plane",))
