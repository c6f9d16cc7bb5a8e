"""Labels cut into tiles and merged as detections are the labels again: every quad that a tile holds whole."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataloadR.label_lines import read_label_file
from datasets_tools import merge
from datasets_tools.tile_objects import CUT, objects_in_tile
from tests.paths import DATA
from utils.errors import Faults
from utils.images import Size, image_size
from utils.tiles import Grid, tile_windows

IOU = 0.3
SAMPLES = DATA / "dota-samples"
samples = pytest.mark.skipif(not SAMPLES.exists(), reason=f"no {SAMPLES}")
SIDES = st.integers(300, 1024)
SHARES = st.floats(0.2, 0.5)
DECIMALS = 5e-5 + 1e-9  # of a coordinate with four


class Scene(NamedTuple):
    name: str
    size: Size
    quads: np.ndarray  # (N, 4, 2)
    classes: np.ndarray  # (N,) names
    difficult: np.ndarray  # (N,)


def read_scene(labels: Path) -> Scene:
    found = read_label_file(labels, Faults(skip=False))
    size = image_size(SAMPLES / "images" / f"{labels.stem}.png")
    quads = np.array([quad.coordinates for quad in found]).reshape(-1, 4, 2)
    names, flags = [quad.label for quad in found], [quad.difficult for quad in found]
    return Scene(labels.stem, size, quads, np.array(names), np.array(flags, np.int8))


def draw_scene(number: int, side: int = 4000, count: int = 900) -> Scene:
    """Objects of three classes and of all sizes and angles, some in rows, some across the border."""
    rng = np.random.default_rng([4, number])
    theta = np.sort(rng.uniform(0, 2 * np.pi, (count, 4)), axis=1)
    circle = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    sizes = np.exp(rng.uniform(np.log(4), np.log(250), (count, 1, 1))) * rng.uniform(0.2, 1, (count, 1, 2))
    single = circle * sizes + rng.uniform(0, side, (count, 1, 2))
    car = np.array([[-5.0, -10], [5, -10], [5, 10], [-5, 10]])
    rows = np.arange(100)[:, None, None] * [9.0, 1.5] + car  # neighbours that overlap by a tenth and more
    lots = [rows + rng.uniform(0, side - 1000, 2) for _ in range(5)]
    quads = np.concatenate([single, *lots])
    classes = np.array(["ship", "large-vehicle", "plane"])[rng.integers(0, 3, len(quads))]
    classes[count:] = "small-vehicle"
    difficult = rng.choice(3, len(quads), p=[0.8, 0.1, 0.1]).astype(np.int8)
    return Scene(f"scene__{number} a", (side, side), quads, classes, difficult)


def write_detections(
    folder: Path, scene: Scene, grid: Grid, rng: np.random.Generator, clip: bool
) -> np.ndarray:
    """Write what tiles show as detections and return which objects some tile holds whole, (N,)."""
    whole = np.zeros(len(scene.quads), bool)
    lines: dict[str, list[str]] = {}
    for tile, window in tile_windows(scene.name, scene.size, grid):
        scaled = scene.quads * tile.rate
        found = objects_in_tile(scaled, scene.difficult, window, clip)
        inside = ((scaled >= window[:2]) & (scaled <= window[2:])).all(axis=(1, 2))
        whole |= inside & (scene.difficult != CUT)
        scores = rng.uniform(0.5, 1, len(found.rows)) - 0.5 * ~inside[found.rows]  # a detector is less sure
        for row, quad, flag, score in zip(found.rows, found.quads, found.difficult, scores, strict=True):
            if flag != CUT:
                numbers = " ".join(f"{value:.4f}" for value in (score, *quad.ravel()))
                lines.setdefault(scene.classes[row], []).append(f"{tile.name} {numbers}\n")
    for label, texts in lines.items():
        with (folder / f"Task1_{label}.txt").open("a") as file:
            file.writelines(texts)
    return whole


def lonely(scene: Scene) -> np.ndarray:
    """Return which objects overlap no other of their class by more than the merge IoU, (N,)."""
    polygons = shapely.polygons(scene.quads)
    first, second = shapely.STRtree(polygons).query(polygons)
    other = (first != second) & (scene.classes[first] == scene.classes[second])
    other &= (scene.difficult[second] != CUT) & (shapely.area(polygons[second]) > 0)
    first, second = first[other], second[other]
    shared = shapely.area(shapely.intersection(polygons[first], polygons[second]))
    union = shapely.area(polygons[first]) + shapely.area(polygons[second]) - shared
    alone = np.ones(len(polygons), bool)
    alone[first[shared > (IOU - 1e-3) * union]] = False  # the files' decimals move it a little
    return alone


def read_merged(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Return the quads of an image per class."""
    found = {}
    for path in folder.glob("Task1_*.txt"):
        lines = [line.rsplit(" ", 9) for line in path.read_text().splitlines()]
        quads = [[float(field) for field in line[2:]] for line in lines if line[0] == name]
        found[path.stem.removeprefix("Task1_")] = np.array(quads).reshape(-1, 4, 2)
    return found


def check(folder: Path, scenes: list[Scene], grid: Grid, seed: int, clip: bool = False) -> int:
    """Split and merge; return how many objects were asked for."""
    tiles, out = folder / "tiles", folder / "out"
    for place in (tiles, out):
        place.mkdir(exist_ok=True)
        for path in place.iterdir():
            path.unlink()
    rng = np.random.default_rng(seed)
    whole = [write_detections(tiles, scene, grid, rng, clip) for scene in scenes]
    merge.main([str(tiles), str(out), "--iou", str(IOU), "--processes", "1"])
    asked = 0
    for scene, held in zip(scenes, whole, strict=True):
        merged = read_merged(out, scene.name)
        for row in np.flatnonzero(held & lonely(scene)):
            distance = np.abs(merged[scene.classes[row]] - scene.quads[row]).max(axis=(1, 2))
            assert (distance <= 1e-3).sum() == 1, (scene.name, row, np.sort(distance)[:3], grid)
            assert distance.min() <= DECIMALS / min(grid.rates) + DECIMALS
            asked += 1
        if not clip:  # nothing is invented
            for label, quads in merged.items():
                own = scene.quads[scene.classes == label]
                for quad in quads:
                    assert np.abs(own - quad).max(axis=(1, 2)).min() <= 1e-3
    return asked


def grid_of(side: int, share: float, rates: tuple[float, ...] = (1.0,)) -> Grid:
    return Grid(side, int(side * share), rates)


@pytest.mark.parametrize(("side", "share"), [(300, 0.2), (1024, 0.5)])
def test_a_scene(tmp_path: Path, side: int, share: float) -> None:
    scene = draw_scene(0, 1500, 200)
    assert check(tmp_path, [scene], grid_of(side, share), 0) > 300


@pytest.mark.parametrize("rates", [(0.5,), (0.5, 1.0, 1.5), (0.3,)])
def test_several_rates(tmp_path: Path, rates: tuple[float, ...]) -> None:
    assert check(tmp_path, [draw_scene(1, 1200, 60)], grid_of(300, 0.25, rates), 1) > 100


def test_clipped_quads(tmp_path: Path) -> None:
    assert check(tmp_path, [draw_scene(2, 1500, 200)], grid_of(450, 0.3), 2, clip=True) > 300


@samples
def test_a_real_scene(tmp_path: Path) -> None:
    scene = read_scene(SAMPLES / "labelTxt" / "P1478__1__853___962.txt")
    assert check(tmp_path, [scene], grid_of(400, 0.25), 3) > 250


@samples
@pytest.mark.slow
@pytest.mark.parametrize("clip", [False, True])
def test_real_scenes_of_any_grid(tmp_path: Path, clip: bool) -> None:
    scenes = [read_scene(path) for path in sorted((SAMPLES / "labelTxt").glob("*.txt"))]

    @given(SIDES, SHARES, st.integers(0, 1000))
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def every_grid(side: int, share: float, seed: int) -> None:
        assert check(tmp_path, scenes, grid_of(side, share), seed, clip) > 1000

    every_grid()


@pytest.mark.slow
def test_large_scenes_of_any_grid(tmp_path: Path) -> None:
    scenes = [draw_scene(number) for number in range(5)]

    @given(SIDES, SHARES, st.integers(0, 1000))
    @settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def every_grid(side: int, share: float, seed: int) -> None:
        assert check(tmp_path, scenes, grid_of(side, share), seed) > 4000

    every_grid()
