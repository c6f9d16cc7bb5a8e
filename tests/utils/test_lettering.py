"""Text on pictures."""

import numpy as np
import pytest

from utils.lettering import draw_text, shorten_start, text_size


def black() -> np.ndarray:
    return np.zeros((40, 200, 3), np.uint8)


@pytest.mark.parametrize("text", ["ship 0.93", "Ågj|_Ü", "Größe", "корабль"])
@pytest.mark.parametrize("size", [9, 11, 18])
def test_ink_stays_in_its_box(text: str, size: int) -> None:
    canvas = black()
    draw_text(canvas, (20, 10), text, size, (255, 255, 255))
    rows, columns = np.nonzero(canvas[..., 0])
    width, height = text_size(text, size)
    assert 10 <= rows.min() <= rows.max() < 10 + height
    assert 19 <= columns.min() <= columns.max() < 20 + width
    assert canvas.max() > 200


def test_other_letters_are_no_empty_boxes() -> None:
    pictures = []
    for text in ("ж", "ш", "é"):
        canvas = black()
        draw_text(canvas, (0, 0), text, 18, (255, 255, 255))
        pictures.append(canvas)
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[1] != pictures[2]).any()


@pytest.mark.parametrize("corner", [(-10, 5), (5, -6), (190, 35), (-500, -500), (500, 500)])
def test_what_does_not_fit_is_cut(corner: tuple[int, int]) -> None:
    whole, cut = np.zeros((1200, 1300, 3), np.uint8), black()
    draw_text(whole, (corner[0] + 600, corner[1] + 600), "harbor 12", 12, (9, 99, 199))
    draw_text(cut, corner, "harbor 12", 12, (9, 99, 199))
    assert np.array_equal(cut, whole[600:640, 600:800])
    draw_text(cut, (0, 0), "", 12, (1, 2, 3))


def test_long_names_keep_their_end() -> None:
    text = "a/rather/long/path/of/an/image_0001.png"
    short = shorten_start(text, 12, 120)
    assert text.endswith(short.removeprefix(".."))
    assert short.startswith("..")
    assert 80 < text_size(short, 12)[0] <= 120
    assert shorten_start(text, 12, 2000) == text
    assert text_size(shorten_start(text, 12, 3), 12)[0] <= 20
