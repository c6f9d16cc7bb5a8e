"""Quad geometry against shapely, slow loops and round trips."""

import math

import numpy as np
import shapely
import torch
from torch import Tensor

from tests.dataloadR.assign.slow_assignment import angle
from tests.utils.quads.random_quads import convex_quads, rectangles
from utils.quads.geometry import (
    canonical_quads,
    clip_quads,
    clockwise_quads,
    hboxes_to_quads,
    hull_quads,
    invert_affine,
    is_convex,
    long_side_directions,
    min_area_rectangles,
    quad_angles,
    quad_areas,
    quads_to_hboxes,
    reduce_to_quads,
    self_crossing,
    signed_areas,
    transform_points,
    uncrossed_quads,
)


def test_areas_against_shapely() -> None:
    quads = convex_quads(np.random.default_rng(4), 500)
    expected = shapely.area(shapely.polygons(quads.numpy()))
    np.testing.assert_allclose(signed_areas(quads), expected, rtol=1e-9)
    np.testing.assert_allclose(signed_areas(quads.flip(1)), -expected, rtol=1e-9)
    np.testing.assert_allclose(quad_areas(quads.flip(1)), expected, rtol=1e-9)
    far = (quads.round() + 2.0**17).float()  # exact in float32
    np.testing.assert_allclose(quad_areas(far), quad_areas(quads.round()), rtol=1e-4, atol=1e-3)


def test_clockwise_keeps_the_first_vertex() -> None:
    quads = convex_quads(np.random.default_rng(5), 100)
    assert torch.equal(clockwise_quads(quads), quads)
    backwards = quads.flip(1).roll(1, 1)
    assert torch.equal(backwards.select(1, 0), quads.select(1, 0))
    assert torch.equal(clockwise_quads(backwards), quads)


def parallel(directions: Tensor, theta: np.ndarray) -> None:
    """Check directions without regard to their sign."""
    expected = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    np.testing.assert_allclose(np.abs((directions.double().numpy() * expected).sum(-1)), 1, atol=1e-9)


def test_long_side_of_rectangles() -> None:
    quads, theta = rectangles(np.random.default_rng(6), 300)
    parallel(long_side_directions(quads), theta)
    gap = np.abs(quad_angles(quads).numpy() - theta)
    np.testing.assert_allclose(np.minimum(gap, np.pi - gap), 0, atol=1e-9)
    around = shapely.get_coordinates(shapely.minimum_rotated_rectangle(shapely.polygons(quads.numpy())))
    edges = np.diff(around.reshape(-1, 5, 2), axis=1)
    longest = np.linalg.norm(edges, axis=-1).argmax(axis=1)
    x, y = edges[np.arange(len(edges)), longest].T
    parallel(long_side_directions(quads), np.arctan2(y, x))


def test_long_side_of_any_quad_against_a_loop() -> None:
    quads = convex_quads(np.random.default_rng(7), 500)
    parallel(long_side_directions(quads), np.array([angle(quad) for quad in quads.tolist()]))
    lengths = long_side_directions(quads).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


def test_long_side_of_ties_and_degenerate_quads() -> None:
    square = [[0, 0], [10, 0], [10, 10], [0, 10]]
    slanted = [[0, 0], [5, 5], [0, 10], [-5, 5]]
    point, triangle = [[3, 3]] * 4, [[0, 0], [0, 0], [20, 0], [0, 5]]
    quads = torch.tensor([square, slanted, point, triangle], dtype=torch.float64)
    parallel(long_side_directions(quads), np.array([0, math.pi / 4, 0, 0]))
    assert (quad_angles(quads) < math.pi).all()


def test_affine_maps() -> None:
    rng = np.random.default_rng(8)
    matrix = torch.from_numpy(rng.normal(size=(2, 3)) + np.eye(2, 3) * 3)
    points = convex_quads(rng, 20)
    moved = transform_points(points, matrix)
    full = np.concatenate([points.numpy(), np.ones((20, 4, 1))], axis=-1) @ matrix.numpy().T
    np.testing.assert_allclose(moved, full)
    torch.testing.assert_close(transform_points(moved, invert_affine(matrix)), points)


def test_self_crossing_agrees_with_shapely() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 100, (500, 4, 2))
    expected = [not shapely.Polygon(quad).is_valid for quad in corners]
    assert self_crossing(torch.from_numpy(corners)).tolist() == expected
    assert 100 < sum(expected) < 400
    assert self_crossing(torch.zeros(0, 4, 2)).shape == (0,)
    assert not self_crossing(torch.zeros(1, 4, 2)).any()


def free_quads(seed: int, count: int) -> Tensor:
    """Return four free points each: convex, concave and self-crossing quads."""
    return torch.from_numpy(np.random.default_rng(seed).uniform(0, 100, (count, 4, 2)))


def polygons_of(points: Tensor) -> np.ndarray:
    return shapely.polygons(points.numpy())


def test_convexity_and_hulls_agree_with_shapely() -> None:
    quads = free_quads(1, 600)
    polygons = polygons_of(quads)
    hulls = shapely.convex_hull(polygons)
    simple = shapely.is_valid(polygons)
    convex = simple & np.isclose(shapely.area(polygons), shapely.area(hulls))
    assert min(convex.sum(), (~simple).sum(), (simple & ~convex).sum()) > 50
    assert is_convex(quads).tolist() == is_convex(quads.flip(1)).tolist() == convex.tolist()
    found = hull_quads(quads)
    assert is_convex(found).all()
    np.testing.assert_allclose(
        shapely.area(shapely.symmetric_difference(polygons_of(found), hulls)), 0, atol=1e-9
    )
    uncrossed = uncrossed_quads(quads)
    assert not self_crossing(uncrossed).any()
    assert torch.equal(uncrossed[torch.from_numpy(simple)], quads[torch.from_numpy(simple)])
    np.testing.assert_allclose(shapely.area(polygons_of(uncrossed))[~simple], shapely.area(hulls)[~simple])


def test_canonical_order_by_hand() -> None:
    quads = convex_quads(np.random.default_rng(2), 200)
    found = canonical_quads(quads.flip(1))
    for turn in range(4):
        assert torch.equal(canonical_quads(quads.roll(turn, 1)), found)
    assert (signed_areas(found) > 0).all()
    assert (found.select(1, 0).select(1, 1) == quads.amin(dim=1).select(1, 1)).all()
    upright = torch.tensor([[[9.0, 0.0], [9.0, 5.0], [0.0, 5.0], [0.0, 0.0]]])
    assert canonical_quads(upright).tolist() == [[[0, 0], [9, 0], [9, 5], [0, 5]]]


def test_smallest_rectangles_agree_with_shapely() -> None:
    quads = torch.cat([free_quads(3, 400), convex_quads(np.random.default_rng(3), 400) + 1e4])
    found = min_area_rectangles(quads)
    around = shapely.minimum_rotated_rectangle(shapely.multipoints(quads.numpy()))
    np.testing.assert_allclose(quad_areas(found), shapely.area(around), rtol=1e-6)
    assert (signed_areas(found) > 0).all()
    assert shapely.covers(shapely.buffer(polygons_of(found), 1e-6), shapely.multipoints(quads.numpy())).all()
    edges = found.roll(-1, 1) - found
    torch.testing.assert_close(
        (edges * edges.roll(-1, 1)).sum(-1), torch.zeros(800, 4).double(), atol=1e-6, rtol=0
    )


def test_smallest_rectangles_of_degenerate_and_larger_sets() -> None:
    line, point = [[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [0.0, 0.0]], [[5.0, 5.0]] * 4
    found = min_area_rectangles(torch.tensor([line, point], dtype=torch.float64))
    sides = (found[0].roll(-1, 0) - found[0]).norm(dim=-1)
    np.testing.assert_allclose(sorted(sides.tolist()), [0, 0, 10, 10], atol=1e-12)
    assert found[1].tolist() == point
    many = torch.from_numpy(np.random.default_rng(4).normal(size=(50, 9, 2)))
    around = shapely.minimum_rotated_rectangle(shapely.multipoints(many.numpy()))
    np.testing.assert_allclose(quad_areas(min_area_rectangles(many)), shapely.area(around), rtol=1e-6)


def test_clipping_to_a_rectangle_agrees_with_shapely() -> None:
    quads = convex_quads(np.random.default_rng(5), 500)
    hboxes = torch.tensor([-10.0, -15.0, 20.0, 12.0])
    shared = shapely.intersection(polygons_of(quads), shapely.box(*hboxes.tolist()))
    for subject in (quads, quads.flip(1)):
        found = clip_quads(subject, hboxes)
        assert found.shape == (500, 8, 2)
        np.testing.assert_allclose(shapely.area(polygons_of(found)), shapely.area(shared), atol=1e-9)
    inside = torch.from_numpy(shapely.area(shared) > 0)
    low, high = found[inside].amin(dim=(0, 1)), found[inside].amax(dim=(0, 1))
    np.testing.assert_allclose(torch.cat([low, high]), hboxes, atol=1e-9)
    assert not clip_quads(quads + 1000, hboxes).any()


def slow_reduction(points: list[list[float]]) -> list[list[float]]:
    points = [p for k, p in enumerate(points) if p != points[k - 1]] or points[:1]
    while len(points) > 4:
        lengths = [math.dist(p, points[(k + 1) % len(points)]) for k, p in enumerate(points)]
        k = lengths.index(min(lengths))
        p, q = points[k], points[(k + 1) % len(points)]
        points[k] = [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2]
        del points[(k + 1) % len(points)]
    return points


def test_reduction_to_four_vertices_agrees_with_a_loop() -> None:
    quads = convex_quads(np.random.default_rng(6), 400)
    polygons = clip_quads(quads, torch.tensor([-8.0, -9.0, 9.0, 8.0]))
    found = reduce_to_quads(polygons)
    assert found.shape == (400, 4, 2)
    sizes = set()
    for polygon, quad in zip(polygons.tolist(), found.tolist(), strict=True):
        expected = slow_reduction(polygon)
        sizes.add(len({tuple(p) for p in polygon}))
        np.testing.assert_allclose(
            sorted(map(tuple, {tuple(p) for p in quad})), sorted({tuple(p) for p in expected})
        )
    assert {3, 4, 5, 6} <= sizes
    whole = clip_quads(quads, torch.tensor([-500.0, -500.0, 500.0, 500.0]))
    torch.testing.assert_close(canonical_quads(reduce_to_quads(whole)), canonical_quads(quads))


def test_no_quads() -> None:
    quads, hboxes = torch.zeros(0, 4, 2), torch.zeros(0, 4)
    for keep in (clockwise_quads, canonical_quads, uncrossed_quads, hull_quads, min_area_rectangles):
        assert keep(quads).shape == (0, 4, 2)
    for count in (quad_areas, signed_areas, quad_angles, is_convex, self_crossing):
        assert count(quads).shape == (0,)
    assert quads_to_hboxes(quads).shape == (0, 4)
    assert hboxes_to_quads(hboxes).shape == (0, 4, 2)
    assert long_side_directions(quads).shape == (0, 2)
    assert transform_points(quads, torch.eye(2, 3)).shape == (0, 4, 2)
    assert clip_quads(quads, hboxes).shape == (0, 8, 2)
    assert reduce_to_quads(torch.zeros(0, 8, 2)).shape == (0, 4, 2)
