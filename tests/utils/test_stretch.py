"""16 bits that hold fewer: which they are, and what becomes black and white."""

import logging

import numpy as np
import pytest

from utils.notices import log_few, saying_few
from utils.stretch import levels_of_16_bits, percentile_levels, sample_image, sample_places, stretched


def uniform(low: int, high: int, count: int = 20_000, bands: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(low, high, (count, bands)).astype(np.uint16)


@pytest.mark.parametrize("high", [256, 1024, 2048, 4096, 10_000, 32_000])
def test_narrow_numbers_are_stretched_alike_in_all_bands(high: int) -> None:
    sample = uniform(0, high) // np.array([1, 2, 3], np.uint16)
    levels = levels_of_16_bits(sample)
    assert levels is not None
    (low,), (top,) = (set(ends.tolist()) for ends in levels)
    assert (sample < low).mean() == pytest.approx(0.02, abs=0.01)
    assert (sample > top).mean() == pytest.approx(0.02, abs=0.01)


def test_grey_is_the_same_as_three_equal_bands() -> None:
    for seed in range(20):
        grey = np.random.default_rng(seed).integers(1, 3000, (501, 1)).astype(np.uint16)
        one, three = levels_of_16_bits(grey), levels_of_16_bits(grey.repeat(3, axis=1))
        assert one is not None
        assert three is not None
        assert [one.low[0], one.high[0]] == [three.low[0], three.high[0]]


@pytest.mark.parametrize("step", [256, 257])
def test_8_bits_in_16_stay_however_dark(step: int) -> None:
    assert levels_of_16_bits(uniform(0, 40) * np.uint16(step)) is None


def test_numbers_that_use_the_range_stay() -> None:
    assert levels_of_16_bits(uniform(0, 65536)) is None
    assert levels_of_16_bits(uniform(0, 40_000)) is None
    bright = uniform(0, 2048)
    bright[:200] = 50_000  # one in a hundred
    assert levels_of_16_bits(bright) is None


def test_what_says_nothing_is_left_out() -> None:
    """Borders of 0 or 65535 in every band, and a few saturated pixels, change nothing."""
    sample = uniform(100, 2048)
    expected = levels_of_16_bits(sample)
    assert expected is not None
    borders = np.repeat(np.array([[0, 0, 0], [65535, 65535, 65535]], np.uint16), 30_000, axis=0)
    with_borders = levels_of_16_bits(np.concatenate([sample, borders]))
    assert with_borders is not None
    np.testing.assert_array_equal(with_borders, expected)
    hot = sample.copy()
    hot[:5, 0] = 65535
    assert levels_of_16_bits(hot) is not None


@pytest.mark.parametrize("sample", [np.zeros((0, 3), np.uint16), np.zeros((9, 1), np.uint16)])
def test_without_a_pixel_nothing_is_stretched(sample: np.ndarray) -> None:
    assert levels_of_16_bits(sample) is None
    low, high = percentile_levels(sample[:0], (2, 98))
    assert (high > low).all()


def test_the_sample_is_bounded_and_of_small_images_everything() -> None:
    for size in ((1, 1), (64, 65), (700, 1000)):
        seen = np.zeros(size, bool)
        for rows, columns in sample_places(*size):
            seen[slice(*rows), slice(*columns)] = True
        assert seen.all()
    assert len(sample_image(np.zeros((100_000, 30), np.uint8))) <= 1 << 20
    places = sample_places(100_000, 20_000)
    assert len(places) == 256
    assert places[0] == ((0, 64), (0, 64))
    assert places[-1] == ((99_936, 100_000), (19_936, 20_000))


def test_a_window_is_stretched_as_the_whole() -> None:
    image = uniform(0, 2048, 4000).reshape(50, 80, 3)
    levels = levels_of_16_bits(sample_image(image))
    assert levels is not None
    np.testing.assert_array_equal(stretched(image, levels)[10:20, 5:9], stretched(image[10:20, 5:9], levels))


def test_a_line_is_said_for_the_first_of_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("tests.notices")
    caplog.set_level(logging.INFO)
    with saying_few("tests.notices"):
        for number in range(4):
            log_few(logger, "bands", 1, "%d: bands", number)
            log_few(logger, "stretch", 2, "%d: stretched", number)
        logger.warning("another")
    log_few(logger, "bands", 1, "later")
    assert caplog.messages == [
        "0: bands",
        "0: stretched",
        "1: stretched; further files of this kind are not listed",
        "another",
        "later",
    ]
