"""Quads cut off at the border of an image, against shapely."""

import numpy as np
import shapely

from tests.utils.quads.random_quads import convex_quads
from utils.quads.image_quads import clip_to_image, shown_quads

SIZE = (60, 90)


def test_four_points_inside_about_what_the_image_shows() -> None:
    quads = convex_quads(np.random.default_rng(0), 400).double().numpy()
    quads = (quads - quads.mean(axis=(0, 1))) / np.ptp(quads, axis=(0, 1)) * 200 + [45, 30]
    clipped, shown = clip_to_image(quads, SIZE), shown_quads(quads, SIZE)
    window = shapely.box(0, 0, 90, 60)
    seen = shapely.intersection(shapely.polygons(quads), window)
    np.testing.assert_array_equal(shown, shapely.area(seen) > 0)
    assert 0 < shown.sum() < len(quads)
    assert clipped.shape == quads.shape
    assert (clipped >= 0).all()
    assert (clipped <= [90, 60]).all()
    inside = shapely.contains(window, shapely.polygons(quads))
    assert inside.any()
    np.testing.assert_array_equal(clipped[inside], quads[inside])
    few = np.array([len(shape.exterior.coords) <= 5 if shape.area else False for shape in seen])
    np.testing.assert_allclose(
        shapely.area(shapely.polygons(clipped[few])), shapely.area(seen[few]), rtol=1e-9, atol=1e-9
    )
    for new, old in zip(shapely.polygons(clipped[shown & ~few]), seen[shown & ~few], strict=True):
        assert (
            new.intersection(old).area > 0.4 * new.union(old).area
        )  # the worst of this rule, of five to eight


def test_none_and_flat_ones() -> None:
    assert clip_to_image(np.zeros((0, 4, 2)), SIZE).shape == (0, 4, 2)
    assert shown_quads(np.zeros((0, 4, 2)), SIZE).tolist() == []
    flat = np.array([[[5.0, 5]] * 4, [[95.0, 5]] * 4, [[-5.0, 0], [-1, 0], [-1, 9], [-5, 9]]])
    assert shown_quads(flat, SIZE).tolist() == [True, False, False]
