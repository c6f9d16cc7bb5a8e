import numpy as np
import pytest
import shapely

from dataloadR.formats.layout import stem_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.shapes import Shape, labelled_image, polygon_quad
from dataloadR.split_names import split_of_file
from utils.decimals import to_text
from utils.errors import UserError


def regular(vertices: int, turn: float = 0.1) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False) + turn
    return 50 + 20 * np.stack([np.cos(angles), np.sin(angles)], axis=1) * [2, 1]


def iou(a: np.ndarray, b: np.ndarray) -> float:
    first, second = shapely.Polygon(a), shapely.Polygon(b)
    return first.intersection(second).area / first.union(second).area


def test_rectangles_and_quads_keep_their_places() -> None:
    quad = np.array([[0.0, 0], [4, 1], [5, 5], [1, 4]])
    shapes = [Shape("a", (5.0, 5, 4, 2, 0), 1), Shape("b", quad), Shape("c", (5.0, 5, 4, 2, np.pi / 2))]
    image = labelled_image("x.png", (9, 9), shapes, "val")
    assert image.quads[0].tolist() == [[3, 4], [7, 4], [7, 6], [3, 6]]
    assert image.quads[1].tolist() == quad.tolist()
    np.testing.assert_allclose(image.quads[2], [[6, 3], [6, 7], [4, 7], [4, 3]])
    assert image.difficult.tolist() == [1, 0, 0]
    assert labelled_image("x.png", None, []).quads.shape == (0, 4, 2)


def test_four_vertices_stay_three_repeat_one_and_a_closed_polygon_is_open() -> None:
    notes = Notes()
    square = np.array([[0.0, 0], [4, 0], [4, 4], [0, 4]])
    assert polygon_quad(square, "", notes).tolist() == square.tolist()
    assert polygon_quad(square[[0, 1, 2, 3, 0]], "", notes).tolist() == square.tolist()
    assert not notes.counts
    assert polygon_quad(square[:3], "", notes).tolist() == [[0, 0], [4, 0], [4, 4], [4, 4]]
    assert list(notes.counts.values()) == [1]


@pytest.mark.parametrize("vertices", [5, 8, 40, 300])
def test_the_better_of_rectangle_and_reduced_quad(vertices: int) -> None:
    points, notes = regular(vertices), Notes()
    found = iou(polygon_quad(points, "", notes), points)
    rectangle = np.array(shapely.oriented_envelope(shapely.Polygon(points)).exterior.coords)[:4]
    assert found >= iou(rectangle, points) - 1e-9
    assert list(notes.counts.values()) == [1]


def test_a_quad_with_a_cut_corner_is_found_again() -> None:
    cut = np.array([[0.0, 0], [40, 10], [45, 50], [5, 30], [0, 1]])
    assert iou(polygon_quad(cut, "", Notes()), np.array([[0, 0.5], [40, 10], [45, 50], [5, 30]])) > 1 - 1e-9


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[1.0, 1], [2, 2]], "place: expected a polygon of at least 3 vertices, got 2"),
        ([[float(k), float(k)] for k in range(6)], "place: expected a polygon with an area, got 6 points"),
        ([[3.0, 3]] * 6, "place: expected a polygon with an area, got 5 points"),
    ],
)
def test_what_is_no_polygon_is_an_error(points: list[list[float]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        polygon_quad(np.array(points), "place", Notes())


def test_a_self_crossing_polygon_becomes_a_quad() -> None:
    star = regular(5)[[0, 2, 4, 1, 3]]
    assert shapely.Polygon(polygon_quad(star, "", Notes())).area > 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "2"),
        (2.5, "2.5"),
        (-0.0000001, "0"),
        (1e-6, "0.000001"),
        (30000.125, "30000.125"),
        (100.0, "100"),
    ],
)
def test_numbers_as_text(value: float, text: str) -> None:
    assert to_text(value) == text


def test_names_of_splits_and_images(tmp_path) -> None:  # type: ignore[no-untyped-def]
    names = ["instances_train2017.json", "valid.txt", "sku110k-r_test.json", "boats.json"]
    assert [split_of_file(tmp_path / name) for name in names] == ["train", "val", "test", ""]
    assert [stem_of(name) for name in ("a/P1.png", "P1.v2", "P1.v2.TIF", "P1")] == [
        "P1",
        "P1.v2",
        "P1.v2",
        "P1",
    ]
