"""Copy-paste: pixels and labels by hand, places against shapely, and whole samples."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely

from cfg.schema import AugmentConfig, DataConfig
from dataloadR.dataset import RotatedDataset
from dataloadR.geometric import LazyImage
from dataloadR.pasting import (
    FEATHER,
    STEP,
    Move,
    copy_quad,
    find_places,
    paste_objects,
    quad_shares,
    random_paste,
    separable_objects,
)
from utils.images import read_image
from utils.records import Annotation

STILL = AugmentConfig(
    flip_horizontal=0, flip_vertical=0, turn=0, rotate=0, scale=0, shift=0, crop=0, mixup=0, hsv=0
)
PASTE = STILL.model_copy(update={"copy_paste": 1.0})
SIZE = (96, 128)


def upright(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    rows = [[[x, y], [u, y], [u, v], [x, v]] for x, y, u, v in boxes]
    return np.array(rows, np.float32).reshape(-1, 4, 2)


def annotate(quads: np.ndarray, difficult: list[int] | None = None, path: str = "a.png") -> Annotation:
    count = len(quads)
    flags = np.array(difficult or [0] * count, np.int8)
    return Annotation(path, quads, np.arange(count, dtype=np.int64), flags)


def lazy(quads: np.ndarray, value: int = 0, difficult: list[int] | None = None) -> LazyImage:
    image = np.full((*SIZE, 3), value, np.uint8)
    image.setflags(write=False)
    return LazyImage(annotate(quads, difficult), SIZE, lambda _: image)


def turned(centre: tuple[float, float], sides: tuple[float, float], degrees: float) -> np.ndarray:
    box = cv2.boxPoints((centre, sides, degrees))
    return box[None].astype(np.float32)


def test_pixels_and_label_move_alike() -> None:
    """A turned object goes 32 px to the right and 8 down: the same pixels, and the quad in float."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    quads = turned((30.3, 40.7), (20.0, 9.0), 30.0)
    donor = LazyImage(annotate(quads), SIZE, lambda _: pixels)
    target = lazy(upright((0, 0, 9, 9)), 77)
    pasted = paste_objects(target, donor, [Move(0, 32, 8)])
    image = pasted.read(1)
    np.testing.assert_array_equal(pasted.annotation.quads[1], quads[0] + np.float32([32, 8]))
    assert pasted.annotation.labels.tolist() == [0, 0]
    ys, xs = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    moved = shapely.Polygon(pasted.annotation.quads[1])
    apart = shapely.distance(moved, shapely.points(xs, ys))
    expected = np.roll(pixels, (8, 32), axis=(0, 1))
    assert (image[apart == 0] == expected[apart == 0]).all()
    assert (image[apart > FEATHER + 2] == 77).all()
    between = (apart > 1) & (apart < FEATHER)  # neither one nor the other, where they differ
    blend = np.abs(image[between].astype(int) - 77) <= np.abs(expected[between].astype(int) - 77)
    assert blend.all()


def test_the_share_falls_with_the_distance() -> None:
    shares = quad_shares(upright((4, 4, 8, 8))[0], (12, 12), 2.0)
    row = [0, 0, 1 / 3, 2 / 3, 1, 1, 1, 1, 1, 2 / 3, 1 / 3, 0]
    assert shares[5].tolist() == pytest.approx(
        row, abs=0.34
    )  # the outline takes its pixel on one side or both
    assert (np.diff(shares[5][:6]) >= 0).all()
    assert (shares[4:8, 4:8] == 1).all()
    assert (shares[[0, 11]] == 0).all()


@pytest.mark.parametrize("side", [0.5, 1.0, 2.0, 3.0])
def test_tiny_objects_leave_their_pixel(side: float) -> None:
    source, image = np.full((20, 20, 3), 200, np.uint8), np.zeros((20, 20, 3), np.uint8)
    copy_quad(image, source, upright((10.2, 10.2, 10.2 + side, 10.2 + side))[0], (-8, 0), FEATHER)
    assert image[10, 2].tolist() == [200] * 3
    assert (image[:, 10:] == 0).all()


def test_an_object_at_the_corner() -> None:
    source, image = np.full((20, 20, 3), 200, np.uint8), np.zeros((30, 40, 3), np.uint8)
    copy_quad(image, source, upright((0, 0, 4, 4))[0], (0, 0), FEATHER)
    copy_quad(image, source, upright((16, 16, 20, 20))[0], (16, 8), FEATHER)
    assert (image[:4, :4] == 200).all()
    assert (image[24:28, 32:36] == 200).all()


def test_what_can_be_cut_out() -> None:
    boxes = [(0, 0, 60, 60), (10, 10, 20, 20), (90, 10, 110, 20), (120, 50, 130, 60), (70, 70, 80, 80)]
    source = lazy(upright(*boxes), difficult=[0, 0, 0, 0, 1])
    # the first holds the second, the fourth leaves the image, the fifth is difficult
    assert separable_objects(source, 0.1).tolist() == [1, 2]
    assert separable_objects(source, 1.0).tolist() == [0, 1, 2]
    assert separable_objects(lazy(upright()), 0.1).tolist() == []


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("most", [0.0, 0.1, 0.5])
def test_places_keep_the_bound(seed: int, most: float) -> None:
    rng = np.random.default_rng(seed)
    there = [turned(tuple(rng.uniform(10, 90, 2)), tuple(rng.uniform(3, 30, 2)), seed * 7) for _ in range(4)]
    quads = np.concatenate([turned((30, 30), tuple(rng.uniform(2, 30, 2)), k * 20) for k in range(6)])
    target = lazy(np.concatenate(there))
    moves = find_places(target, quads, list(range(6)), most, rng)
    assert moves
    pasted = paste_objects(target, lazy(quads), moves).annotation.quads
    shapes = [shapely.Polygon(quad) for quad in pasted]
    for k in range(4, len(shapes)):
        assert shapely.box(0, 0, SIZE[1], SIZE[0]).covers(shapes[k])
        for other in shapes[:k]:
            assert shapes[k].intersection(other).area <= most * min(shapes[k].area, other.area) + 1e-3
    assert all(move.dx % STEP == move.dy % STEP == 0 for move in moves)


def test_what_has_no_room_is_left_out() -> None:
    target, rng = lazy(upright((0, 0, 128, 96))), np.random.default_rng(0)
    assert find_places(target, upright((0, 0, 9, 9)), [0], 0.1, rng) == []
    assert find_places(lazy(upright()), upright((0, 0, 400, 9)), [0], 1.0, rng) == []
    assert paste_objects(target, target, []) is target


def test_nothing_is_drawn_by_default() -> None:
    rng = np.random.default_rng(5)
    target = lazy(upright())
    pasted = random_paste(target, lambda: pytest.fail("drawn"), STILL, rng)
    assert pasted is target
    assert rng.random() == np.random.default_rng(5).random()


def test_without_a_donor_or_objects() -> None:
    target = lazy(upright())
    assert random_paste(target, lambda: None, PASTE, np.random.default_rng(0)) is target
    assert random_paste(target, lambda: lazy(upright()), PASTE, np.random.default_rng(0)) is target


@pytest.mark.parametrize(("suffix", "other"), [(".jpg", ".jpg"), (".jpg", ".png"), (".png", ".jpg")])
@pytest.mark.parametrize("reduce", [1, 2, 8])
def test_reduced_images_agree(suffix: str, other: str, reduce: int, tmp_path: Path) -> None:
    """Smooth pictures, whose pixels hardly depend on how they were shrunk."""
    ramp = np.add.outer(np.arange(203), np.arange(301)) / 2
    paths = [str(tmp_path / f"{k}{end}") for k, end in enumerate((suffix, other))]
    for path, image in zip(paths, (255 - ramp, ramp), strict=True):
        cv2.imwrite(path, np.repeat(image[..., None], 3, axis=2).astype(np.uint8))
    quads = upright((40, 40, 120, 100))
    dataset = RotatedDataset([annotate(quads, path=path) for path in paths])
    sources = [
        LazyImage(dataset.annotations[k], (203, 301), lambda r, k=k: dataset.images.read(k, r))
        for k in (0, 1)
    ]
    image = paste_objects(*sources, [Move(0, 96, 56)]).read(reduce)
    factor = reduce if suffix == ".jpg" else 1
    assert image.shape[:2] == (-(-203 // factor), -(-301 // factor))
    y, x = (56 + 70) // factor, (96 + 80) // factor  # the middle of what was pasted
    assert image[y, x, 0] == pytest.approx(ramp[70, 80], abs=factor + 2)
    assert image[100 // factor, 50 // factor, 0] == pytest.approx(255 - ramp[100, 50], abs=factor + 2)


def paint(folder: Path, count: int) -> list[Annotation]:
    """Write pictures whose objects have the colour of their class, 60 or 120 and so on, on black."""
    rng, rows = np.random.default_rng(1), []
    for number in range(count):
        image, quads = np.zeros((128, 160, 3), np.uint8), []
        for k in range(number % 4):
            quad = turned((24 + 40 * k, rng.uniform(30, 90)), (24, 12), float(rng.uniform(0, 180)))
            cv2.fillPoly(image, [np.rint(quad[0]).astype(np.int32)], (60 * (k + 1),) * 3)
            quads.append(quad)
        path = folder / f"{number}.png"
        cv2.imwrite(str(path), image)
        rows.append(annotate(np.concatenate([upright(), *quads]), path=str(path)))
    return rows


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_every_label_lies_on_its_object(mosaic: float, tmp_path: Path) -> None:
    config = AugmentConfig(hsv=0, mixup=0, copy_paste=1.0, mosaic=mosaic)
    dataset = RotatedDataset(paint(tmp_path, 8), config, data=DataConfig(cache_gb=1.0))
    bare = RotatedDataset(dataset.annotations, config.model_copy(update={"copy_paste": 0.0}))
    counts, right = np.zeros(2, int), []
    for position in range(40):
        sample = dataset[(0, position, position % 8, (160, 192))]
        counts += len(sample.quads), len(bare[(0, position, position % 8, (160, 192))].quads)
        inside = (sample.quads > 4).all(axis=(1, 2)) & (sample.quads < (188, 156)).all(axis=(1, 2))
        for quad, label in zip(sample.quads[inside], sample.labels[inside], strict=True):
            x, y = quad.mean(axis=0).astype(int)
            right.append(abs(int(sample.image[y, x, 0]) - 60 * (label + 1)) <= 6)
    assert len(right) > 100
    assert np.mean(right) == 1 if mosaic == 0 else np.mean(right) > 0.97  # a tile may end at a centre
    assert counts[0] > 1.3 * counts[1]
    assert (read_image(dataset.annotations[0].image_path) == dataset.images.read(0)).all()  # as it was


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_chance_follows_seed_epoch_and_position_alone(mosaic: float, tmp_path: Path) -> None:
    config = AugmentConfig(copy_paste=0.7, mixup=0.5, mosaic=mosaic)
    rows = paint(tmp_path, 8)
    first, again = (RotatedDataset(rows, config, seed=3) for _ in range(2))
    keys = [(1, position, position % 8, (96, 128)) for position in range(12)]
    for key in keys:
        first[key]
    for key in reversed(keys):
        for a, b in zip(first[key][:5], again[key][:5], strict=True):
            np.testing.assert_array_equal(a, b)


def test_images_alone_and_none_with_objects(tmp_path: Path) -> None:
    rows = paint(tmp_path, 3)
    for chosen, most in (([rows[0], rows[0]], 0), ([rows[2]], 2), ([rows[0], rows[2]], 9)):
        dataset = RotatedDataset(chosen, PASTE)
        assert len(dataset[(0, 0, 0, (96, 128))].quads) <= most


def test_the_last_epochs_go_without(tmp_path: Path) -> None:
    rows = paint(tmp_path, 6)
    dataset = RotatedDataset(rows, PASTE.model_copy(update={"close_epochs": 1}), epochs=3)
    counts = [[len(dataset[(epoch, k, k, (128, 160))].quads) for k in range(6)] for epoch in (1, 2)]
    assert counts[1] == [len(row.quads) for row in rows]
    assert sum(counts[0]) > sum(counts[1])
