"""The picture of labels shows each quad where it is, in its class's colour."""

import numpy as np
import pytest

from evalR.pictures.labels import label_picture, legible_scale
from utils.drawing import LEGEND_ROW
from utils.palette import class_colour
from utils.records import Annotation

CLASSES = ["ship", "plane", "court"]
SKEWED = [
    [[20.5, 30.5], [70.5, 20.5], [80.5, 50.5], [25.5, 60.5]],
    [[100.5, 100.5], [90.5, 140.5], [60.5, 120.5], [70.5, 90.5]],
]


def annotation(quads: list, labels: list[int], difficult: list[int]) -> Annotation:
    return Annotation(
        "a.png",
        np.array(quads, np.float32).reshape(-1, 4, 2),
        np.array(labels, np.int64),
        np.array(difficult, np.int8),
    )


def grey() -> np.ndarray:
    return np.full((160, 200, 3), 90, np.uint8)


def nearest(picture: np.ndarray, x: float, y: float, colour: tuple[int, int, int]) -> int:
    """Return how far the most similar of the 3 x 3 pixels around a point is from a colour."""
    column, row = int(np.floor(x)), int(np.floor(y))
    around = picture[row - 1 : row + 2, column - 1 : column + 2].astype(int)
    return int(np.abs(around - np.array(colour)).max(axis=-1).min())


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("labels", [[0, 1], [2, 0]])
def test_vertices_and_edges_have_the_colour_of_the_class(scale: float, labels: list[int]) -> None:
    picture = label_picture(grey(), annotation(SKEWED, labels, [0, 0]), CLASSES, None, scale, details=False)
    for quad, label in zip(np.array(SKEWED) * scale, labels, strict=True):
        for first, second in zip(quad, np.roll(quad, -1, axis=0), strict=True):
            for share in np.linspace(0, 1, 9):
                x, y = first + (second - first) * share
                assert nearest(picture, x, y, class_colour(label)) < 90, (first, share)
        centre = quad.mean(axis=0).astype(int)
        assert (picture[centre[1], centre[0]] == 90).all()


def test_the_first_vertex_has_the_only_dot() -> None:
    bare = label_picture(grey(), annotation(SKEWED, [0, 1], [0, 0]), CLASSES, details=False)
    drawn = label_picture(grey(), annotation(SKEWED, [0, 1], [0, 0]), CLASSES)
    for quad, label in zip(np.array(SKEWED), [0, 1], strict=True):
        ink = []
        for x, y in quad:
            square = np.s_[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4]
            ink.append(int((drawn[square] == class_colour(label)).all(axis=-1).sum()))
        assert ink[0] > 12
        assert max(ink[1:]) < 8
    # the arrow: new ink beside the first edge's middle, none beside the third's
    quad = np.array(SKEWED[0])
    for first, is_marked in ((0, True), (2, False)):
        x, y = ((quad[first] + quad[first + 1]) / 2).astype(int)
        square = np.s_[y - 5 : y + 6, x - 5 : x + 6]
        assert (drawn[square] != bare[square]).any() == is_marked


def test_the_arrow_turns_with_the_order() -> None:
    forth = annotation(SKEWED[:1], [0], [0])
    back = forth._replace(quads=forth.quads[:, [1, 0, 3, 2]])
    assert (label_picture(grey(), forth, CLASSES) != label_picture(grey(), back, CLASSES)).any()


def test_difficult_ones_are_dashed_and_cut_ones_paler() -> None:
    inks = []
    for flag in (0, 1, 2):
        picture = label_picture(grey(), annotation(SKEWED[:1], [1], [flag]), CLASSES, details=False)[:160]
        inks.append(int((np.abs(picture.astype(int) - class_colour(1)).max(axis=-1) < 40).sum()))
    assert inks[1] < 0.8 * inks[0]
    assert inks[2] < 0.5 * inks[1]


def test_eight_pixels_stay_legible() -> None:
    small = [[[50, 50], [58, 50], [58, 58], [50, 58]]]
    picture = label_picture(grey(), annotation(small, [0], [0]), CLASSES)
    assert (picture[53:56, 53:56] == 90).all()
    assert legible_scale(annotation(small, [0], [0]).quads, (160, 200), 16.0, 2400.0) == 2
    assert legible_scale(annotation(small, [0], [0]).quads, (1600, 2000), 16.0, 2400.0) == 1
    assert legible_scale(annotation(SKEWED, [0, 1], [0, 0]).quads, (160, 200), 16.0, 2400.0) == 1
    assert legible_scale(annotation([[[1, 1]] * 4], [0], [0]).quads, (160, 200), 16.0, 2400.0) == 4


def test_the_legend_counts_the_classes() -> None:
    picture = label_picture(grey(), annotation(SKEWED, [0, 1], [0, 1]), CLASSES)
    assert len(picture) - 160 in (LEGEND_ROW, 2 * LEGEND_ROW)
    for label in (0, 1):
        assert (picture[160:] == class_colour(label)).all(axis=-1).sum() > 100
    assert not (picture[160:] == class_colour(2)).all(axis=-1).any()


def test_no_objects_and_scores() -> None:
    picture = label_picture(grey(), annotation([], [], []), CLASSES)
    assert (picture[:160] == 90).all()
    assert len(picture) > 160
    assert legible_scale(annotation([], [], []).quads, (160, 200), 16.0, 2400.0) == 1
    plain = label_picture(grey(), annotation(SKEWED, [0, 1], [0, 0]), CLASSES)
    assert (label_picture(grey(), annotation(SKEWED, [0, 1], [0, 0]), CLASSES, [0.5, 0.25]) != plain).any()


def test_quads_far_outside_are_drawn_in_no_time() -> None:
    far = [
        [[-1e7, -1e7], [1e7, -1e7], [1e7, 1e7], [-1e7, 1e7]],
        [[-1e7, 50], [1e7, 50], [1e7, 60], [-1e7, 60]],
    ]
    picture = label_picture(grey(), annotation(far, [0, 1], [1, 2]), CLASSES)
    assert picture.shape[1] == 200
