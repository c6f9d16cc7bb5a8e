import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_tools.tile_objects import objects_in_tile
from utils.tiles import Grid, Window, scaled_size, tile_windows

NONE = np.zeros(0, np.int8)


def random_objects(rng: np.random.Generator, count: int, reach: int) -> np.ndarray:
    """Return quads (count, 4, 2), convex, within and across the border of a square image."""
    theta = np.sort(rng.uniform(0, 2 * np.pi, (count, 4)), axis=1)
    circle = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    return circle * rng.uniform(5, 80, (count, 1, 2)) + rng.uniform(0, reach, (count, 1, 2))


def slow_objects(quads: np.ndarray, flags: np.ndarray, window: Window) -> list[tuple[int, int]]:
    """Return row and flag of each object of a tile, one polygon after the other."""
    found = []
    box = shapely.box(*window)
    for row, quad in enumerate(quads):
        polygon = shapely.Polygon(quad)
        share = polygon.intersection(box).area / polygon.area
        if share >= 0.1:
            found.append((row, int(flags[row]) if share >= 0.7 else 2))
    return found


def test_objects_equal_a_slow_loop() -> None:
    rng = np.random.default_rng(0)
    quads, flags = random_objects(rng, 300, 1500), rng.integers(0, 3, 300).astype(np.int8)
    for tile, window in tile_windows("a", (1500, 1300), Grid(400, 100, (1.0, 0.5))):
        scaled = quads * tile.rate
        found = objects_in_tile(scaled, flags, window)
        assert list(zip(found.rows.tolist(), found.difficult.tolist(), strict=True)) == slow_objects(
            scaled, flags, window
        )
        np.testing.assert_array_equal(found.quads, scaled[found.rows] - [tile.x, tile.y])


def test_clipped_quads_cover_what_is_visible() -> None:
    rng = np.random.default_rng(1)
    quads, window = random_objects(rng, 400, 500), Window(100, 100, 400, 350)
    whole = objects_in_tile(quads, np.zeros(400, np.int8), window)
    clipped = objects_in_tile(quads, np.zeros(400, np.int8), window, clip=True)
    np.testing.assert_array_equal(clipped.rows, whole.rows)
    np.testing.assert_array_equal(clipped.difficult, whole.difficult)
    assert clipped.quads.min() >= -1e-9
    assert (clipped.quads <= np.array([300, 250]) + 1e-9).all()
    overlaps = []
    for quad, row in zip(clipped.quads, clipped.rows, strict=True):
        visible = shapely.Polygon(quads[row] - [100, 100]).intersection(shapely.box(0, 0, 300, 250))
        ours = shapely.Polygon(quad)
        if visible.equals(shapely.Polygon(quads[row] - [100, 100])):
            np.testing.assert_array_equal(quad, quads[row] - [100, 100])
        overlaps.append(ours.intersection(visible).area / ours.union(visible).area)
    assert np.mean(overlaps) > 0.97
    assert min(overlaps) > 0.5


def test_a_cut_square_by_hand() -> None:
    square = np.array([[[-40.0, 10.0], [60.0, 10.0], [60.0, 60.0], [-40.0, 60.0]]])
    found = objects_in_tile(square, np.zeros(1, np.int8), Window(0, 0, 100, 100), clip=True)
    assert found.difficult.tolist() == [2]  # 60 of 100 px show
    assert sorted(map(tuple, found.quads[0])) == [(0.0, 10.0), (0.0, 60.0), (60.0, 10.0), (60.0, 60.0)]
    whole = objects_in_tile(square, np.ones(1, np.int8), Window(0, 0, 100, 100))
    np.testing.assert_array_equal(whole.quads, square)


@pytest.mark.parametrize("clip", [False, True])
def test_no_objects(clip: bool) -> None:
    found = objects_in_tile(np.zeros((0, 4, 2)), NONE, Window(0, 0, 9, 9), clip)
    assert found.quads.shape == (0, 4, 2)
    assert (len(found.rows), len(found.difficult)) == (0, 0)


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    side=st.integers(20, 900),
    share=st.floats(0, 0.9),
    rate=st.sampled_from([0.25, 0.37, 0.5, 1.0, 1.5]),
)
@settings(max_examples=200, deadline=None)
def test_whatever_fits_into_the_overlap_lies_whole_in_a_tile(
    height: int, width: int, side: int, share: float, rate: float
) -> None:
    overlap = int(side * share)
    rows, columns = scaled_size((height, width), rate)
    windows = [window for _, window in tile_windows("a", (height, width), Grid(side, overlap, (rate,)))]
    for x in np.linspace(0, max(columns - overlap, 0), 7):
        for y in np.linspace(0, max(rows - overlap, 0), 7):
            right, low = min(x + overlap, columns), min(y + overlap, rows)
            assert any(w.x_min <= x and w.y_min <= y and w.x_max >= right and w.y_max >= low for w in windows)
    assert max(w.x_max for w in windows) == columns
    assert max(w.y_max for w in windows) == rows
    assert all(w.x_max - w.x_min == min(side, columns) for w in windows)
