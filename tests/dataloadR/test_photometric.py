import colorsys

import numpy as np

from cfg.schema import AugmentConfig
from dataloadR.photometric import draw_hsv, scale_hsv


def test_factors_against_colorsys() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    darker = scale_hsv(image, (1.0, 1.0, 0.5))
    for before, after in zip(image.reshape(-1, 3), darker.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        expected = np.array(colorsys.hsv_to_rgb(hue, saturation, value / 2)) * 255
        assert np.abs(after - expected).max() <= 5  # hue has steps of two degrees
    grey = np.full((4, 4, 3), 90, np.uint8)
    np.testing.assert_array_equal(scale_hsv(grey, (1.01, 1.7, 1.0)), grey)
    assert scale_hsv(np.full((4, 4, 3), 200, np.uint8), (1, 1, 1.4)).max() == 255


def test_chance_is_passed_in() -> None:
    assert draw_hsv(AugmentConfig(hsv=0), np.random.default_rng(0)) is None
    always = AugmentConfig(hsv=1, hsv_gains=(0.1, 0.5, 0.0))
    first, second = (draw_hsv(always, np.random.default_rng(5)) for _ in range(2))
    assert first == second
    assert first is not None
    assert 0.9 <= first[0] <= 1.1
    assert 0.5 <= first[1] <= 1.5
    assert first[2] == 1.0
