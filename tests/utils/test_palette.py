"""Colours of classes: told apart, seen on any ground, and fixed by the place in the list of classes."""

import cv2
import numpy as np

from utils.palette import PALETTE, class_colour, hex_colour, ink_on


def lab(colours: list[tuple[int, int, int]]) -> np.ndarray:
    """CIE L*a*b* (D65) as OpenCV computes it."""
    rgb = np.array(colours, np.float32).reshape(-1, 1, 3) / 255
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(float)


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.linalg.norm(first[:, None] - second[None], axis=-1)


def test_twenty_classes_are_told_apart() -> None:
    """A distance of 2.3 is just seen; ten times that cannot be mistaken."""
    colours = lab([class_colour(k) for k in range(20)])
    between = distances(colours, colours)[np.triu_indices(20, 1)]
    assert between.min() > 25


def test_they_are_seen_on_black_on_white_and_on_grey() -> None:
    grounds = lab([(0, 0, 0), (255, 255, 255), (128, 128, 128)])
    black, white, grey = distances(lab(list(PALETTE)), grounds).min(axis=0)
    assert min(black, white) > 40
    assert grey > 25
    lightness = lab(list(PALETTE))[:, 0]
    assert lightness.min() > 40


def test_more_classes_have_another_lightness() -> None:
    colours = [class_colour(k) for k in range(100)]
    assert len(set(colours)) == 100
    for k in range(20):
        turns = lab([class_colour(k + 20 * turn) for turn in range(5)])[:, 0]
        assert np.abs(turns[0] - turns[1]) > 15
        assert np.diff(np.sort(turns)).min() > 1
    forty = lab(colours[:40])
    assert distances(forty, forty)[np.triu_indices(40, 1)].min() > 8
    assert class_colour(1000)


def test_ink_can_be_read_and_names_are_those_of_pages() -> None:
    for colour in (class_colour(k) for k in range(60)):
        assert distances(lab([colour]), lab([ink_on(colour)])).min() > 40
    assert hex_colour((0, 171, 255)) == "#00abff"
