"""Captions stand where they cover no other object, no other caption and no part of nothing."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import shapely

from dataloadR.label_lines import read_label_file
from tests.paths import DATA
from utils.captions import Caption, choose_texts, place_captions, write_captions
from utils.errors import Faults
from utils.palette import class_colour


def turned(x: float, y: float, long: float, short: float, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    along, aside = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    signs = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    return np.array([(x, y) + a * along * long / 2 + b * aside * short / 2 for a, b in signs])


def random_quads(count: int, seed: int, side: float = 30.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places, sides = rng.uniform(-20, 620, (count, 2)), side * rng.uniform(0.4, 2, (count, 2))
    rows = zip(places, sides, rng.uniform(0, 180, count), strict=True)
    return np.array([turned(*place, *sides, angle) for place, sides, angle in rows])


def check(captions: list[Caption], quads: np.ndarray, shape: tuple[int, int]) -> None:
    """No box leaves the picture, meets another box, or meets a quad that is not its own (shapely)."""
    boxes = [shapely.box(*caption.box) for caption in captions]
    shapes = shapely.polygons(quads)
    for caption, box in zip(captions, boxes, strict=True):
        x_min, y_min, x_max, y_max = caption.box
        assert 0 <= x_min < x_max <= shape[1]
        assert 0 <= y_min < y_max <= shape[0]
        met = np.flatnonzero(shapely.intersects(shapes, box)).tolist()
        assert set(met) <= {caption.row}, (caption, met)
    for first, second in combinations(boxes, 2):
        assert first.intersection(second).area == 0
    assert len({caption.row for caption in captions}) == len(captions)


@pytest.mark.parametrize(("count", "side"), [(1, 30), (20, 30), (120, 30), (150, 12), (60, 90), (12, 400)])
def test_no_caption_covers_a_foreign_quad(count: int, side: float) -> None:
    quads = random_quads(count, count, side)
    choices = [[f"name of {k}", f"0.{k}"] for k in range(count)]
    captions = place_captions(quads, choices, (600, 600))
    check(captions, quads, (600, 600))
    assert len(captions) >= min(count, 3) // 2
    assert all(caption.text in choices[caption.row] for caption in captions)


def test_real_labels() -> None:
    path = Path(DATA) / "dota-samples" / "labelTxt" / "P0706.txt"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    quads = np.array([row.coordinates for row in read_label_file(path, Faults(skip=True))], float)
    quads = quads.reshape(-1, 4, 2)
    choices = [["ship 0.50", "0.50"]] * len(quads)
    captions = place_captions(quads, choices, (1182, 1111))
    shapes = shapely.polygons(quads)
    for caption in captions:
        met = shapely.intersects(shapes, shapely.box(*caption.box))
        assert set(np.flatnonzero(met).tolist()) <= {caption.row}
    assert len(captions) > 0.3 * len(quads)
    assert {caption.text for caption in captions} == {"ship 0.50", "0.50"}


def test_a_single_object_has_its_caption_close_by() -> None:
    for degrees in range(0, 180, 15):
        quad = turned(300, 300, 80, 24, degrees)
        (caption,) = place_captions([quad], [["ship 0.90"]], (600, 600))
        distance = shapely.box(*caption.box).distance(shapely.Polygon(quad))
        assert 0 < distance < 8


def test_the_score_alone_where_the_name_has_no_room() -> None:
    """A square between walls that leave 40 px above it."""
    walls = [(0, 0, 278, 400), (322, 0, 600, 400), (278, 200, 322, 400)]
    quads = np.array(
        [[[290, 170], [310, 170], [310, 190], [290, 190]]]
        + [[[a, b], [c, b], [c, d], [a, d]] for a, b, c, d in walls],
        float,
    )
    choices = [["a long name of a class 0.55", "0.55"], [], [], []]
    (caption,) = place_captions(quads, choices, (400, 600))
    assert caption.text == "0.55"
    check([caption], quads, (400, 600))


def test_a_large_object_at_all_edges_has_its_name_inside() -> None:
    quads = np.array([[[-5, -5], [605, -5], [605, 605], [-5, 605]], turned(300, 20, 40, 20, 10)])
    (caption,) = place_captions(quads, [["airport"], ["plane"]], (600, 600))
    assert caption.row == 0  # that of the plane would cover the airport
    check([caption], quads, (600, 600))


def test_rare_classes_keep_their_names_in_a_crowd() -> None:
    paints = [class_colour(0)] * 300 + [class_colour(1)] * 3
    texts = ["vehicle 0.50"] * 300 + ["tenniscourt 0.50"] * 3
    scores = ["0.50"] * 303
    crowded = choose_texts(texts, scores, paints, (400, 400))
    assert crowded[-1] == ["tenniscourt 0.50", "0.50"]
    assert crowded[0] == []
    larger = choose_texts(texts, scores, paints, (900, 900))
    assert larger[0] == ["0.50"]
    assert choose_texts(texts, scores, paints, (3000, 3000))[0] == ["vehicle 0.50", "0.50"]
    assert choose_texts(texts, [], paints, (900, 900))[0] == []


def test_captions_have_the_colour_of_their_object() -> None:
    canvas = np.full((300, 300, 3), 77, np.uint8)
    paints = [class_colour(3), class_colour(9)]
    quads = np.stack([turned(80, 80, 60, 20, 30), turned(200, 200, 60, 20, 100)])
    captions = write_captions(canvas, quads, ["a", "b"], paints)
    assert [caption.row for caption in captions] == [0, 1]
    for caption in captions:
        x_min, y_min, x_max, y_max = caption.box
        assert (canvas[y_min:y_max, x_min] == paints[caption.row]).all()
        canvas[y_min:y_max, x_min:x_max] = 77
    assert (canvas == 77).all()


def test_no_objects_and_none_in_sight() -> None:
    canvas = np.zeros((50, 60, 3), np.uint8)
    assert write_captions(canvas, np.zeros((0, 4, 2)), [], []) == []
    far = np.array([turned(1e9, 1e9, 5, 5, 0), turned(-100, 20, 50, 20, 0)])
    assert place_captions(far, [["a"], ["b"]], (50, 60)) == []
    assert place_captions([turned(5, 5, 4, 4, 0)], [["wide"]], (8, 9)) == []  # no room for any text
    degenerate = np.full((2, 4, 2), 25.0)
    place_captions(degenerate, [["a"], ["b"]], (50, 60))
    assert not canvas.any()
