"""Every object once, wherever the tiles lie."""

import time

import numpy as np
import pytest
import torch

from evalR.inference.scenes.merging import merge_found
from evalR.inference.scenes.tiling import TileDetections, found_in_tile, join_found
from tests.evalR.ideal_scenes import Scene, differences, draw_scene, look
from utils.records import Detections
from utils.tiles import Grid, scaled_size, tile_windows

IOU = 0.3
SIDE, COUNT = 1500, 200

EDGE = 4.0  # px: half a cell of the finest level


def found_in(scene: Scene, grid: Grid) -> TileDetections:
    parts = []
    for tile, window in tile_windows("", scene.size, grid):
        scaled = scaled_size(scene.size, tile.rate)
        parts.append(found_in_tile(look(scene, window, tile.rate), tile, window, scaled, EDGE))
    return join_found(parts)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return draw_scene(0, SIDE, COUNT, 220)


@pytest.mark.parametrize("seed", range(20))
def test_seams(scene: Scene, seed: int) -> None:
    """Objects are longer than the overlap and, in some grids, than a tile."""
    rng = np.random.default_rng([3, seed])
    side = int(rng.integers(180, 700))
    grid = Grid(side, int(side * rng.uniform(0.12, 0.5)), (1.0,))
    merged = merge_found(found_in(scene, grid), "nms", IOU)
    missed, invented = differences(scene, merged)
    assert missed <= 0.01 * COUNT
    assert invented <= 0.01 * COUNT


@pytest.mark.parametrize("method", ["nms", "fuse"])
def test_several_rates(scene: Scene, method: str) -> None:
    merged = merge_found(found_in(scene, Grid(400, 100, (0.5, 1.0))), method, IOU)
    missed, invented = differences(scene, merged)
    assert missed <= 0.01 * COUNT
    assert invented <= 0.01 * COUNT
    assert (merged.scores.diff() <= 0).all()


def one_object(length: float, middle: float) -> Scene:
    quad = np.array([[-length / 2, -10], [length / 2, -10], [length / 2, 10], [-length / 2, 10]])
    return Scene((100, 1000), (quad + np.array([middle, 50.0]))[None], np.array([0]))


@pytest.mark.parametrize("middle", [300.0, 380.0, 500.0, 610.0])
@pytest.mark.parametrize("length", [30.0, 150.0, 190.0, 350.0, 700.0])
def test_an_object_longer_than_the_overlap_is_reported_once(length: float, middle: float) -> None:
    """Tiles have 200 px and share 60: objects over 60 px may be cut in each, those over 200 are."""
    scene = one_object(length, middle)
    merged = merge_found(found_in(scene, Grid(200, 60, (1.0,))), "nms", IOU)
    assert len(merged.scores) == 1
    assert differences(scene, merged, iou=0.98) == (0, 0)


def found(
    quads: list[list[float]], scores: list[float], cut: list[bool], windows: list[list[float]]
) -> TileDetections:
    """Horizontal boxes of one class."""
    corners = np.array([[[a, b], [c, b], [c, d], [a, d]] for a, b, c, d in quads], np.float64)
    labels = np.zeros(len(scores), np.int64)
    return TileDetections(
        corners, np.array(scores, np.float32), labels, np.array(cut), np.array(windows, np.float64)
    )


LEFT, RIGHT = [0.0, 0, 100, 100], [60.0, 0, 160, 100]


def test_a_whole_one_wins_over_a_better_part() -> None:
    views = found([[70, 10, 100, 30], [70, 10, 120, 30]], [0.9, 0.4], [True, False], [LEFT, RIGHT])
    merged = merge_found(views, "nms", IOU)
    assert merged.scores.tolist() == pytest.approx([0.4])
    assert merged.quads[0].amax(dim=0).tolist() == [120, 30]


def test_a_small_object_inside_a_large_part_is_another() -> None:
    views = found([[10, 10, 100, 90], [70, 20, 80, 30]], [0.9, 0.8], [True, False], [LEFT, RIGHT])
    assert len(merge_found(views, "nms", IOU).scores) == 2


def test_parts_of_neighbours_are_not_joined() -> None:
    views = found([[70, 10, 100, 31], [60, 29, 90, 50]], [0.9, 0.8], [True, True], [LEFT, RIGHT])
    assert len(merge_found(views, "nms", IOU).scores) == 2


def test_classes_never_meet() -> None:
    views = found([[70, 10, 100, 30], [70, 10, 120, 30]], [0.9, 0.4], [True, False], [LEFT, RIGHT])
    assert len(merge_found(views._replace(labels=np.array([0, 1])), "nms", IOU).scores) == 2


def test_fusion_is_the_weighted_mean_of_whole_ones() -> None:
    quads = [[70.0, 10, 120, 30], [72, 10, 122, 30], [70, 10, 100, 30]]
    views = found(quads, [0.8, 0.4, 0.9], [False, False, True], [RIGHT, [50, 0, 150, 100], LEFT])
    merged = merge_found(views, "fuse", IOU)
    assert merged.quads[0].amin(dim=0).tolist() == pytest.approx([70 + 2 / 3, 10])
    assert merged.scores.tolist() == pytest.approx([0.8])


def test_nothing_found() -> None:
    for method in ("nms", "fuse"):
        merged = merge_found(join_found([]), method, IOU)
        assert merged.quads.shape == (0, 4, 2)
        assert merged.quads.dtype == torch.float64
        assert merged.labels.dtype == torch.int64


def test_cut_means_at_an_inner_border() -> None:
    """Of two tiles of 100 px in a scene of 160 x 100: a quad at each border of each."""
    boxes = [[0.0, 40, 20, 60], [80, 40, 100, 60], [40, 0, 60, 20], [40, 80, 60, 100], [40, 40, 60, 60]]
    corners = torch.tensor([[[a, b], [c, b], [c, d], [a, d]] for a, b, c, d in boxes])
    local = Detections(corners, torch.ones(5), torch.zeros(5, dtype=torch.int64))
    flags = []
    for tile, window in tile_windows("", (100, 160), Grid(100, 40, (1.0,))):
        one = found_in_tile(local, tile, window, (100, 160), EDGE)
        flags.append(one.cut.tolist())
        assert one.quads[0, 0].tolist() == [window.x_min, 40]
    assert flags == [[False, True, False, False, False], [True, False, False, False, False]]


@pytest.mark.slow
def test_half_a_million_candidates() -> None:
    """In seconds: the work grows with the objects, not with their pairs."""
    rng = np.random.default_rng(0)
    count, side = 500_000, 60_000
    corners = np.array([[-8.0, -4], [8, -4], [8, 4], [-8, 4]])
    quads = rng.uniform(0, side, (count, 1, 2)) + corners
    middles = quads.mean(axis=1)
    windows = np.concatenate([middles - 400, middles + 400], axis=1)
    flags = rng.random(count) < 0.2
    scores = rng.random(count).astype(np.float32)
    many = TileDetections(quads, scores, rng.integers(0, 5, count), flags, windows)
    start = time.perf_counter()
    merged = merge_found(many, "nms", IOU)
    assert time.perf_counter() - start < 120
    assert count * 0.8 < len(merged.scores) < count


def test_what_is_found_with_a_low_score_beside_a_part_does_not_displace_it() -> None:
    """At the low thresholds of an evaluation a sure detection near a border stays."""
    part, other = [70, 10, 100, 40], [78, 16, 118, 46]  # they overlap by 0.4
    for low in (0.01, 0.3, 0.5):
        views = found([part, other], [0.96, low], [True, False], [LEFT, RIGHT])
        assert merge_found(views, "nms", IOU).scores.tolist() == pytest.approx([0.96])
    views = found([part, other], [0.96, 0.9], [True, False], [LEFT, RIGHT])
    assert merge_found(views, "nms", IOU).scores.tolist() == pytest.approx([0.9])


def test_what_is_found_with_a_low_score_joins_nothing() -> None:
    sure, link, next_one = [70, 10, 98, 30], [70, 20, 98, 50], [70, 36, 98, 56]
    views = found([sure, link, next_one], [0.9, 0.1, 0.8], [True] * 3, [LEFT, RIGHT, LEFT])
    merged = merge_found(views, "nms", IOU)
    assert merged.scores.tolist()[:2] == pytest.approx([0.9, 0.8])
