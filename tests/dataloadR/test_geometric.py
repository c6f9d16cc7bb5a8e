from pathlib import Path

import cv2
import numpy as np
import pytest
from shapely.geometry import Polygon, box

from cfg.schema import AugmentConfig
from dataloadR.geometric import (
    LazyImage,
    cut_objects,
    fit_window,
    flip_horizontal,
    flip_vertical,
    place_image,
    place_source,
    random_matrix,
    random_window,
    rotate_and_scale,
    turn,
    visible_shares,
)
from utils.images import letterbox_matrix, read_image, transform_quads
from utils.records import Annotation

ALL = AugmentConfig(flip_horizontal=0.5, turn=0.5, rotate=1, rotate_degrees=180, scale=1, shift=1, crop=0.5)
NONE = np.zeros((0, 4, 2), np.float32)


def annotate(quads: np.ndarray, difficult: list[int] | None = None) -> Annotation:
    count = len(quads)
    flags = np.array(difficult or [0] * count, np.int8)
    return Annotation("a.png", quads.astype(np.float32), np.arange(count), flags)


def square(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def test_flips_and_turns_are_the_plain_formulas() -> None:
    quads = np.random.default_rng(0).uniform(0, 60, (7, 4, 2)).astype(np.float32)
    x, y = np.moveaxis(quads, -1, 0)
    size = (60, 90)
    cases = [
        (flip_horizontal(size), 90 - x, y),
        (flip_vertical(size), x, 60 - y),
        (turn(size, 0)[0], x, y),
        (turn(size, 1)[0], 60 - y, x),
        (turn(size, 2)[0], 90 - x, 60 - y),
        (turn(size, 3)[0], y, 90 - x),
    ]
    for matrix, new_x, new_y in cases:
        np.testing.assert_allclose(transform_quads(quads, matrix), np.stack([new_x, new_y], -1), atol=1e-4)
    assert [turn(size, quarters)[1] for quarters in range(4)] == [(60, 90), (90, 60), (60, 90), (90, 60)]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_image_is_numpys(quarters: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    matrix, size = turn((20, 31), quarters)
    sample = place_image(image, annotate(NONE), matrix, size, 4.0)
    np.testing.assert_array_equal(sample.image, np.rot90(image, -quarters))


def test_rotation_and_window() -> None:
    matrix = rotate_and_scale((100, 200), np.pi / 2, 2.0)  # about (100, 50), right becomes down
    np.testing.assert_allclose(matrix @ [110, 50, 1], [100, 70], atol=1e-9)
    fitted = fit_window((10, 20, 60, 45), (100, 100))
    np.testing.assert_allclose(fitted @ [10, 20, 1], [0, 25])
    np.testing.assert_allclose(fitted @ [60, 45, 1], [100, 75])


@pytest.mark.parametrize("seed", range(20))
def test_a_crop_never_cuts_an_object(seed: int) -> None:
    rng = np.random.default_rng(seed)
    quads = rng.uniform(0, [90, 60], (3, 4, 2)).astype(np.float32)
    x_min, y_min, x_max, y_max = random_window(rng, quads, (60, 90))
    assert 0 <= x_min <= quads[..., 0].min()
    assert 0 <= y_min <= quads[..., 1].min()
    assert quads[..., 0].max() <= x_max <= 90
    assert quads[..., 1].max() <= y_max <= 60
    x_min, y_min, x_max, y_max = random_window(rng, NONE, (60, 90))
    assert x_max - x_min >= 44
    assert y_max - y_min >= 29


@pytest.mark.parametrize("seed", range(30))
def test_the_pixels_of_a_quad_stay_inside_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, np.pi)
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([[-25, -12], [25, -12], [25, 12], [-25, 12]]) @ axes + rng.uniform(40, 100, 2)
    image = np.zeros((140, 150, 3), np.uint8)
    cv2.fillPoly(image, [np.round((corners - 0.5) * 256).astype(np.int32)], (255, 255, 255), shift=8)
    quads = corners[None].astype(np.float32)
    matrix = random_matrix(rng, ALL, quads, (140, 150), (160, 192))
    sample = place_image(image, annotate(quads), matrix, (160, 192), 0.0)
    rows, columns = np.nonzero(sample.image[..., 0] > 200)
    blur = 1.5 * np.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 0.5
    hull = Polygon(transform_quads(quads, matrix)[0]).buffer(blur)
    assert all(hull.contains(box(x, y, x + 1, y + 1).centroid) for y, x in zip(rows, columns, strict=True))


def test_visible_shares_against_shapely() -> None:
    rng = np.random.default_rng(0)
    quads = rng.uniform(-40, 140, (300, 4, 2)).astype(np.float32)
    for quad, share in zip(quads, visible_shares(quads, (0.0, 0.0, 100.0, 80.0)), strict=True):
        polygon = Polygon(quad.astype(np.float64))
        polygon = polygon if polygon.is_valid else polygon.convex_hull
        assert share == pytest.approx(polygon.intersection(box(0, 0, 100, 80)).area / polygon.area, abs=1e-6)


def test_the_rule_for_cut_objects() -> None:
    inside = np.array([1.0, 0.71, 0.69, 0.11, 0.09, 0.0])
    quads = np.array([square(10 * share - 10, 20, 10, 10) for share in inside], np.float32)
    keep, ignore = cut_objects(quads, (0, 0, 50, 50))
    assert keep.tolist() == [True, True, True, True, False, False]
    assert ignore.tolist() == [False, False, True, True, True, True]
    line = np.array([[[1, 1], [5, 5], [9, 9], [3, 3]], [[-1, -1], [5, 5], [9, 9], [3, 3]]], np.float32)
    assert visible_shares(line, (0, 0, 50, 50)).tolist() == [1.0, 0.0]
    assert [part.shape for part in cut_objects(NONE, (0, 0, 50, 50))] == [(0,), (0,)]


def test_what_becomes_an_ignore_region() -> None:
    quads = np.array(
        [
            square(20, 20, 10, 10),
            square(20, 20, 4, 4),
            square(20, 20, 4.5, 2),
            square(20, 20, 9, 9),
            square(20, 20, 9, 9),
            square(-6, 20, 10, 10),
            square(-9.5, 20, 10, 10),
        ]
    )
    image = np.zeros((50, 60, 3), np.uint8)
    annotation = annotate(quads, [0, 0, 0, 1, 2, 0, 0])
    sample = place_image(image, annotation, letterbox_matrix((50, 60), (50, 60)), (50, 60), 4.0)
    assert sample.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert sample.ignore.tolist() == [False, True, False, False, True, True]
    np.testing.assert_array_equal(sample.quads, quads[:6].astype(np.float32))  # whole and unclipped
    assert sample.weights.tolist() == [1.0] * 6
    assert sample.frame.source_size == sample.frame.input_size == (50, 60)


def test_no_objects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        matrix = random_matrix(rng, ALL, NONE, (50, 60), (64, 96))
        sample = place_image(np.zeros((50, 60, 3), np.uint8), annotate(NONE), matrix, (64, 96), 4.0)
        assert sample.image.shape == (64, 96, 3)
        assert sample.quads.shape == (0, 4, 2)
        assert sample.ignore.dtype == np.bool_


def test_the_same_generator_draws_the_same_matrix() -> None:
    first, second = (random_matrix(np.random.default_rng(3), ALL, NONE, (50, 60), (64, 96)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    off = AugmentConfig(flip_horizontal=0, flip_vertical=0, turn=0, rotate=0, scale=0, shift=0, crop=0)
    plain = random_matrix(np.random.default_rng(3), off, NONE, (50, 60), (64, 96))
    np.testing.assert_allclose(plain, letterbox_matrix((50, 60), (64, 96)))


@pytest.mark.parametrize(("scale", "expected"), [(0.6, 1), (0.5, 2), (0.3, 2), (0.25, 4), (0.11, 8)])
@pytest.mark.parametrize("size", [(480, 640), (481, 643)])
def test_reduced_decoding_moves_nothing(
    tmp_path: Path, scale: float, expected: int, size: tuple[int, int]
) -> None:
    """A disc decoded at a part of its size lands where the matrix says, in the pixels of the file."""
    y, x = (np.arange(side) + 0.5 for side in size)
    disc = ((x - 301.5) ** 2 + (y[:, None] - 222.5) ** 2 < 100**2).astype(np.uint8) * 255
    path = str(tmp_path / "disc.jpg")
    cv2.imwrite(path, cv2.merge([disc] * 3), [cv2.IMWRITE_JPEG_QUALITY, 100])
    target = np.array([100.3, 98.7])
    matrix = rotate_and_scale((0, 0), 0.3, scale)
    matrix[:, 2] = target - matrix[:, :2] @ [301.5, 222.5]
    asked = []

    def read(reduce: int) -> np.ndarray:
        asked.append(reduce)
        return read_image(path, reduce)

    sample = place_source(LazyImage(annotate(NONE), size, read), matrix, (200, 200), 4.0)
    assert asked == [expected]
    assert sample.frame.source_size == size
    mass = np.clip(sample.image[..., 0].astype(float) - 128, 0, None)  # above the grey of the padding
    at = np.arange(200) + 0.5
    centroid = np.array([(mass.sum(0) * at).sum(), (mass.sum(1) * at).sum()]) / mass.sum()
    assert np.abs(centroid - target).max() < 0.1
