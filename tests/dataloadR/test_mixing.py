import numpy as np
import pytest

from cfg.schema import AugmentConfig
from dataloadR.geometric import LazyImage, place_image
from dataloadR.mixing import join_tiles, mixup, random_mixup, random_mosaic
from utils.images import letterbox_matrix
from utils.records import Annotation, Sample

STILL = AugmentConfig(flip_horizontal=0, flip_vertical=0, turn=0, rotate=0, scale=0, shift=0, crop=0, mixup=1)


def annotate(count: int) -> Annotation:
    quads = np.array([[[10, 10], [30, 10], [30, 30], [10, 30]]] * count, np.float32).reshape(-1, 4, 2)
    return Annotation("a.png", quads, np.zeros(count, np.int64), np.zeros(count, np.int8))


def make(value: int, count: int) -> Sample:
    image = np.full((64, 64, 3), value, np.uint8)
    return place_image(image, annotate(count), letterbox_matrix((64, 64), (64, 64)), (64, 64), 4.0)


@pytest.mark.parametrize("counts", [(2, 1), (0, 1), (2, 0), (0, 0)])
def test_mixup_by_hand(counts: tuple[int, int]) -> None:
    mixed = mixup(make(100, counts[0]), make(200, counts[1]), 0.75)
    assert (mixed.image == 125).all()
    assert mixed.weights.tolist() == [0.75] * counts[0] + [0.25] * counts[1]
    assert mixed.quads.shape == (sum(counts), 4, 2)
    assert mixed.labels.shape == mixed.ignore.shape == (sum(counts),)


def test_the_partner_is_loaded_only_when_mixed() -> None:
    sample = make(100, 1)
    never = AugmentConfig(mixup=0)
    assert random_mixup(sample, lambda: pytest.fail("loaded"), never, np.random.default_rng(0)) is sample
    shares = []
    for seed in range(400):
        mixed = random_mixup(sample, lambda: make(0, 1), STILL, np.random.default_rng(seed))
        shares.append(float(mixed.weights[0]))
        assert mixed.weights.sum() == pytest.approx(1.0)
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
    assert np.var(shares) == pytest.approx(1 / 16, abs=0.02)  # of Beta(1.5, 1.5)


def test_tiles_are_pasted_with_their_objects() -> None:
    tiles = [make(value, 1) for value in (10, 20)]
    joined = join_tiles(tiles, [(0, 0), (64, 32)], (96, 128))
    assert (joined.image[:64, :64] == 10).all()
    assert (joined.image[32:, 64:] == 20).all()
    assert (joined.image[:32, 64:] == 128).all()
    np.testing.assert_array_equal(joined.quads[1], joined.quads[0] + [64, 32])
    assert joined.frame.input_size == (96, 128)


def test_ignore_regions_end_at_their_tile() -> None:
    tile = make(10, 1)
    cut = tile._replace(quads=tile.quads + np.float32(45), ignore=np.ones(1, bool))  # 55..75 of 64 px
    joined = join_tiles([cut, cut._replace(ignore=np.zeros(1, bool))], [(0, 0), (64, 0)], (64, 128))
    assert joined.quads[0].max() == 64
    np.testing.assert_array_equal(joined.quads[1], cut.quads[0] + [64, 0])


@pytest.mark.parametrize("seed", range(10))
def test_objects_of_a_mosaic_lie_on_their_pixels(seed: int) -> None:
    image = np.zeros((96, 128, 3), np.uint8)
    image[10:30, 10:30] = 255
    size = (96, 128)
    source = LazyImage(annotate(1), size, lambda _: image)
    mosaic = random_mosaic([source] * 4, STILL, size, 4.0, np.random.default_rng(seed))
    assert mosaic.image.shape == (96, 128, 3)
    for quad, ignore in zip(mosaic.quads, mosaic.ignore, strict=True):
        x, y = quad.mean(axis=0)
        if not ignore and 0 <= x < 128 and 0 <= y < 96:
            assert mosaic.image[int(y), int(x), 0] == 255
    white = int((mosaic.image[..., 0] > 128).sum())
    assert white <= 400 * 4
    bare = random_mosaic(
        [source._replace(annotation=annotate(0))] * 4, STILL, size, 4.0, np.random.default_rng(seed)
    )
    assert bare.quads.shape == (0, 4, 2)
