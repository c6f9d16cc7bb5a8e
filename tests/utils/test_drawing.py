from pathlib import Path

import cv2
import numpy as np
import pytest

from utils.drawing import PALETTE, class_colour, contact_sheet, draw_quads, save_image, side_by_side

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


def test_colours_are_distinct_and_can_be_given() -> None:
    assert len({class_colour(n) for n in range(21)}) == 21
    drawn = draw_quads(grey(), SQUARE, [1], (), colours=[(0, 0, 0), (255, 0, 0)])
    strongest = drawn[70, 38:42].astype(int)
    assert (strongest[..., 0] - strongest[..., 1]).max() > 100


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


def test_save_image_round_trip(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    save_image(tmp_path / "new" / "a.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "new" / "a.png"))[..., ::-1], image)
    save_image(tmp_path / "new" / "a.jpg", image)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["a.jpg", "a.png"]
    for name in ("a.xyz", "a"):
        with pytest.raises(ValueError, match="expected an image suffix"):
            save_image(tmp_path / name, image)
