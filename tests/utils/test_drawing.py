from pathlib import Path

import cv2
import numpy as np
import pytest

from utils.drawing import (
    caption_texts,
    contact_sheet,
    draw_quads,
    legend_row,
    save_image,
    side_by_side,
    with_legend,
)
from utils.errors import UserError
from utils.outlines import draw_outlines
from utils.palette import PALETTE, class_colour

SQUARE = np.array([[[40, 50], [80, 50], [80, 90], [40, 90]]], np.float32)
CLASSES = ["ship", "a-rather-long-class-name"]


def grey(height: int = 120, width: int = 160) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_outline_lies_on_the_edges() -> None:
    image = grey()
    drawn = draw_quads(image, SQUARE, [0], ())
    changed = (drawn != image).any(axis=-1)
    ys, xs = np.nonzero(changed)
    assert (xs.min() + xs.max() + 1) / 2 == pytest.approx(60, abs=0.5)
    assert (ys.min() + ys.max() + 1) / 2 == pytest.approx(70, abs=0.5)
    assert not changed[55:85, 45:75].any()
    assert (image == 128).all()
    assert np.abs(drawn[70, 38:42].astype(int) - PALETTE[0]).max(axis=-1).min() < 70


def test_zero_quads_change_nothing() -> None:
    image = grey()
    assert np.array_equal(draw_quads(image, np.zeros((0, 4, 2)), [], CLASSES, []), image)
    assert np.array_equal(draw_quads(image, [], [], CLASSES), image)


@pytest.mark.parametrize("shift", [(-60, 0), (100, 0), (0, -70), (0, 60), (-55, -65), (1e7, 0), (-1e9, 1e9)])
def test_quads_partly_or_wholly_outside(shift: tuple[float, float]) -> None:
    drawn = draw_quads(grey(), SQUARE + np.array(shift), [1], CLASSES, [0.5])
    assert drawn.shape == (120, 160, 3)
    assert (drawn != 128).any() == (abs(shift[0]) < 200)


def test_captions_keep_off_the_objects() -> None:
    others = np.array([(30, 28, 100, 48), (30, 92, 100, 112)], float)  # above and below are taken
    boxes = [np.array([[a, b], [c, b], [c, d], [a, d]]) for a, b, c, d in others]
    drawn = draw_quads(grey(), np.stack([SQUARE[0], *boxes]), [0, 0, 0], ["ship"], [0.5, 0.6, 0.7])
    for x_min, y_min, x_max, y_max in [(40, 50, 80, 90), *others.astype(int)]:
        assert (drawn[y_min + 3 : y_max - 3, x_min + 3 : x_max - 3] == 128).all()


def test_crowded_pictures_have_no_captions() -> None:
    quads = np.repeat(SQUARE, 61, axis=0)
    plain = draw_quads(grey(), quads, [0] * 61, ())
    assert np.array_equal(draw_quads(grey(), quads, [0] * 61, CLASSES), plain)


def test_colours_can_be_given() -> None:
    drawn = draw_quads(grey(), SQUARE, [1], (), colours=[(0, 0, 0), (255, 0, 0)])
    strongest = drawn[70, 38:42].astype(int)
    assert (strongest[..., 0] - strongest[..., 1]).max() > 100


def test_small_objects_have_thin_outlines() -> None:
    """Of 10 px and of 60 px, both asked for with 3 px."""
    shares = []
    for side in (10, 60):
        canvas = grey()
        quad = np.array([[[30, 30], [30 + side, 30], [30 + side, 30 + side], [30, 30 + side]]]) + 0.5
        draw_outlines(canvas, quad, [(255, 0, 0)], 3)
        edge = canvas[20:35, 30 + side // 2].astype(int)  # across the upper one
        shares.append((edge[:, 0] - edge[:, 1]).sum() / 255)
    assert 0.5 < shares[0] < 2  # smoothed lines are wider than they are said to be
    assert shares[1] > 2 * shares[0]


def test_outlines_are_seen_on_their_own_colour() -> None:
    """A large object in yellow on yellow has an edge of darker pixels; a small one is left as it is."""
    paint = class_colour(3)
    for side, is_seen in ((60, True), (12, False)):
        canvas = np.full((120, 160, 3), paint, np.uint8)
        quad = np.array([[[30, 30], [30 + side, 30], [30 + side, 30 + side], [30, 30 + side]]]) + 0.5
        draw_outlines(canvas, quad, [paint])
        assert (canvas != np.array(paint)).any() == is_seen
        plain = np.full((120, 160, 3), paint, np.uint8)
        draw_outlines(plain, quad, [paint], shaded=False)
        assert (plain == np.array(paint)).all()


def test_a_legend_has_a_patch_for_each_colour() -> None:
    entries = [(None, "score >= 0.30"), *((class_colour(k), f"class number {k}") for k in range(20))]
    for width in (90, 500, 4000):
        picture = with_legend(np.zeros((10, width, 3), np.uint8), entries)
        assert picture.shape[1] == width
        assert (len(picture) - 10) % legend_row(width) == 0
        for k in range(20):
            assert (picture[10:] == class_colour(k)).all(axis=-1).sum() >= 100
    assert legend_row(4000) > legend_row(500)
    assert with_legend(np.zeros((10, 50, 3), np.uint8), []).shape == (10 + legend_row(50), 50, 3)


def test_texts_beside_objects() -> None:
    assert caption_texts(["a", "b"], [0.5, 0.126]) == (["a 0.50", "b 0.13"], ["0.50", "0.13"])
    assert caption_texts(["a"], None) == (["a"], [])
    assert caption_texts([], []) == ([], [])


def test_side_by_side_pads() -> None:
    joined = side_by_side(grey(10, 20), np.zeros((30, 5, 3), np.uint8))
    assert joined.shape[0] == 30
    assert (joined[:10, :20] == 128).all()
    assert (joined[:, -5:] == 0).all()
    assert (joined[10:, :20] == 255).all()


def test_contact_sheet_places_every_image() -> None:
    images = [np.full((20 + n, 30, 3), n, np.uint8) for n in range(5)]
    sheet = contact_sheet(images, 2, [f"image {n} with a title that is far too long" for n in range(5)])
    for number, image in enumerate(images):
        assert (sheet == number).all(axis=-1).sum() == image.shape[0] * image.shape[1]
    assert contact_sheet(images, 9).shape[1] < 6 * 36 + 10
    assert (contact_sheet([], 3) == 255).all()
    with pytest.raises(ValueError, match="1 titles, 5 images"):
        contact_sheet(images, 2, ["one"])


def test_pictures_that_are_too_wide_for_their_format(tmp_path: Path) -> None:
    wide = np.zeros((2, 70_000, 3), np.uint8)
    with pytest.raises(UserError, match=r"a\.jpg: a picture of 70000 x 2 px could not be written"):
        save_image(tmp_path / "a.jpg", wide)
    assert list(tmp_path.iterdir()) == []
    save_image(tmp_path / "a.png", wide)


def test_save_image_round_trip(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    save_image(tmp_path / "new" / "a.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "new" / "a.png"))[..., ::-1], image)
    save_image(tmp_path / "new" / "a.jpg", image)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["a.jpg", "a.png"]
    for name in ("a.xyz", "a"):
        with pytest.raises(ValueError, match="expected an image suffix"):
            save_image(tmp_path / name, image)
