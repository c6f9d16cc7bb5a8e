"""Quad IoU against GEOS: the golden file and shapely."""

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.paths import OWN_GOLDEN
from tests.utils.quads.random_quads import convex_quads
from utils.quads.clip import aligned_overlaps_torch, pairwise_ratios_torch, split_quads
from utils.quads.geometry import quad_areas
from utils.quads.iou import (
    aligned_quad_intersections,
    aligned_quad_iou,
    paired_quad_iou,
    pairwise_quad_iou,
)

TABLE = OWN_GOLDEN / "quad_iou.npz"
SQUARE = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]]


def random_quads(rng: np.random.Generator, count: int) -> Tensor:
    """Four free points each: convex, concave and self-crossing quads in both directions."""
    centres = rng.uniform(-40, 40, (count, 1, 2))
    return torch.from_numpy(centres + rng.uniform(-30, 30, (count, 4, 2)))


def to_polygon(quad: Tensor) -> shapely.Polygon:
    polygon = shapely.Polygon(quad.tolist())
    return polygon if polygon.is_valid else polygon.convex_hull


def shapely_iou(a: Tensor, b: Tensor) -> float:
    p, q = to_polygon(a), to_polygon(b)
    shared = p.intersection(q).area
    return shared / (p.area + q.area - shared)


@pytest.mark.parametrize(
    ("dtype", "farthest", "tolerance"), [("float64", np.inf, 1e-9), ("float32", 1e4, 1e-4)]
)
def test_golden(dtype: str, farthest: float, tolerance: float) -> None:
    golden = np.load(TABLE)
    near = np.maximum(np.abs(golden["a"]).max((1, 2)), np.abs(golden["b"]).max((1, 2))) < farthest
    a, b = (torch.from_numpy(golden[key][near].astype(dtype)) for key in "ab")
    iou = aligned_quad_iou(a, b)
    assert iou.dtype == a.dtype
    assert near.sum() > 1000
    np.testing.assert_allclose(iou.double().numpy(), golden["iou"][near], atol=tolerance, rtol=0)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_random_quads_of_every_shape_agree_with_shapely(offset: float) -> None:
    rng = np.random.default_rng(5)
    a, b = random_quads(rng, 60) + offset, random_quads(rng, 70) + offset
    expected = np.array([[shapely_iou(p - offset, q - offset) for q in b] for p in a])
    assert sum(not shapely.Polygon(q.tolist()).is_valid for q in a) > 5
    assert (expected > 0).mean() > 0.1
    np.testing.assert_allclose(pairwise_quad_iou(a, b).numpy(), expected, atol=1e-9, rtol=0)
    np.testing.assert_allclose(aligned_quad_iou(a, b[:60]).numpy(), expected.diagonal(), atol=1e-9, rtol=0)


def test_concave_quad_counts_as_it_is() -> None:
    dart = torch.tensor([[[0.0, 0.0], [10.0, 0.0], [2.0, 2.0], [0.0, 10.0]]])
    for turn in range(4):  # the reflex vertex at every place
        turned = dart.roll(turn, 1)
        assert aligned_quad_intersections(turned, torch.tensor([SQUARE])).item() == pytest.approx(20.0)
        assert aligned_quad_iou(turned, turned.flip(1)).item() == pytest.approx(1.0)


def test_self_crossing_quad_becomes_its_hull() -> None:
    square = torch.tensor([SQUARE])
    for order in ([0, 2, 1, 3], [0, 1, 3, 2]):
        assert aligned_quad_iou(square[:, order], square).item() == pytest.approx(1.0)


def polyiou(a: list[list[float]], b: list[list[float]]) -> float:
    """The devkit's way: both fans of triangles around the origin, each with its sign."""

    def fan(quad: list[list[float]]) -> list[tuple[float, shapely.Polygon]]:
        edges = zip(quad, quad[1:] + quad[:1], strict=True)
        return [((p[0] * q[1] - p[1] * q[0]) / 2, shapely.Polygon([(0, 0), p, q])) for p, q in edges]

    area_a, area_b = sum(s for s, _ in fan(a)), sum(s for s, _ in fan(b))
    pairs = [(s * t, p.intersection(q).area) for s, p in fan(a) for t, q in fan(b) if s and t]
    shared = float(np.sign(area_a * area_b)) * sum(float(np.sign(s)) * area for s, area in pairs)
    return shared / (abs(area_a) + abs(area_b) - shared)


def test_signed_areas_agree_with_the_devkit() -> None:
    rng = np.random.default_rng(6)
    a, b = random_quads(rng, 40) + 50, random_quads(rng, 20) + 50
    expected = np.array([[polyiou(p.tolist(), q.tolist()) for q in b] for p in a])
    signed = pairwise_quad_iou(a, b, crossing="signed").numpy()
    assert (np.abs(signed - pairwise_quad_iou(a, b).numpy()) > 0.01).any()
    np.testing.assert_allclose(signed, np.maximum(expected, 0), atol=1e-9, rtol=0)


def test_quads_without_area_overlap_nothing() -> None:
    flat = torch.tensor(
        [[[0.1, 0.1], [0.7, 0.7], [0.3, 0.3], [0.9, 0.9]], [[5.0, 5.0]] * 4], dtype=torch.float64
    )
    square = torch.tensor([SQUARE], dtype=torch.float64)
    assert aligned_quad_iou(flat, flat).tolist() == [0.0, 0.0]
    assert pairwise_quad_iou(flat, square).tolist() == [[0.0], [0.0]]


def test_no_quads() -> None:
    none, one = torch.zeros(0, 4, 2), torch.tensor([SQUARE])
    assert pairwise_quad_iou(none, one).shape == (0, 1)
    assert pairwise_quad_iou(one, none).shape == (1, 0)
    assert aligned_quad_iou(none, none).shape == aligned_quad_intersections(none, none).shape == (0,)


def test_bad_input_is_named() -> None:
    quads = torch.tensor([SQUARE] * 3)
    broken = quads.clone()
    broken[1, 2, 0], broken[2, 0, 0] = torch.nan, torch.inf
    with pytest.raises(ValueError, match=r"b\[1\]: expected finite coordinates, got .*nan"):
        pairwise_quad_iou(quads, broken)
    with pytest.raises(ValueError, match=r"a: expected quads of shape \(N, 4, 2\), got \(3, 8\)"):
        aligned_quad_iou(quads.flatten(1), quads)
    with pytest.raises(ValueError, match="as many quads in a as in b, got 3 and 2"):
        aligned_quad_iou(quads, quads[:2])


@pytest.mark.parametrize("over", ["union", "smaller"])
def test_the_way_of_the_gpu_gives_the_same(over: str) -> None:
    rng = np.random.default_rng(7)
    a, b = random_quads(rng, 90), torch.cat([random_quads(rng, 80), convex_quads(rng, 40)])
    a[:3], b[:3] = a[3], a[3]  # identical ones
    a[4], b[4] = 1.0, b[4, :1]  # points
    for offset in (0.0, 1e6):
        expected = pairwise_quad_iou(a + offset, b + offset, over=over)
        assert (expected > 0.2).sum() > 100
        found = pairwise_ratios_torch(a + offset, b + offset, over == "smaller")
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)
    split_a, split_b = split_quads(a), split_quads(b[:90])
    shared = aligned_overlaps_torch(split_a, split_b)
    torch.testing.assert_close(shared, aligned_quad_intersections(a, b[:90]), rtol=0, atol=1e-8)
    none = torch.zeros(0, 4, 2)
    assert pairwise_ratios_torch(none, a, smaller=False).shape == (0, 90)
    assert pairwise_ratios_torch(a, none, smaller=False).shape == (90, 0)


def test_over_the_smaller_area() -> None:
    rng = np.random.default_rng(8)
    a, b = random_quads(rng, 40), random_quads(rng, 50)
    polygons = [[to_polygon(q) for q in quads] for quads in (a, b)]
    expected = [[p.intersection(q).area / min(p.area, q.area) for q in polygons[1]] for p in polygons[0]]
    np.testing.assert_allclose(pairwise_quad_iou(a, b, over="smaller"), expected, atol=1e-9)
    np.testing.assert_allclose(aligned_quad_iou(a, b[:40], over="smaller"), np.diagonal(expected), atol=1e-9)


def test_threads_and_precision_change_nothing() -> None:
    rng = np.random.default_rng(9)
    a, b = convex_quads(rng, 700).float(), convex_quads(rng, 300).float()
    expected = pairwise_quad_iou(a, b)
    assert expected.dtype == torch.float32
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(pairwise_quad_iou(a, b), expected)
        torch.set_num_threads(1)
        assert torch.equal(pairwise_quad_iou(a, b), expected)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(pairwise_quad_iou(a.double(), b.double()).float(), expected)


RECIPE = {
    "seed": st.integers(0, 2**32 - 1),
    "turn": st.floats(0, 2 * np.pi),
    "shift": st.tuples(*[st.floats(-1e6, 1e6)] * 2),
    "scale": st.floats(0.01, 100),
    "vertex": st.integers(0, 3),
    "backwards": st.booleans(),
}


@given(**RECIPE)
@settings(max_examples=150, deadline=None)
def test_iou_is_a_property_of_the_shapes(
    seed: int, turn: float, shift: tuple[float, float], scale: float, vertex: int, backwards: bool
) -> None:
    rng = np.random.default_rng(seed)
    a, b = convex_quads(rng, 5), convex_quads(rng, 6)
    expected = pairwise_quad_iou(a, b)
    assert ((expected >= 0) & (expected <= 1)).all()
    torch.testing.assert_close(pairwise_quad_iou(b, a).T, expected, rtol=0, atol=1e-9)
    renamed = (b.flip(1) if backwards else b).roll(vertex, 1)
    torch.testing.assert_close(pairwise_quad_iou(a, renamed), expected, rtol=0, atol=1e-9)
    rotation = torch.tensor([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = [quads @ rotation.T * scale + torch.tensor(shift, dtype=torch.float64) for quads in (a, b)]
    # A shift of s leaves coordinates to s * 2^-53: that, over the sides, is what the areas may lose.
    sides = torch.cat([a, b]).diff(dim=1).norm(dim=-1).amin() * scale
    lost = 1e-9 + 1e-14 * (max(map(abs, shift)) + 100 * scale) / float(sides.clamp(min=1e-9))
    torch.testing.assert_close(pairwise_quad_iou(*moved), expected, rtol=0, atol=min(lost, 1.0))
    areas = quad_areas(a) > 1e-3
    torch.testing.assert_close(
        aligned_quad_iou(a, a.roll(vertex, 1))[areas], torch.ones(int(areas.sum())).double()
    )


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.01, 1))
@settings(max_examples=100, deadline=None)
def test_a_quad_inside_another(seed: int, share: float) -> None:
    a = convex_quads(np.random.default_rng(seed), 8)
    a = a[quad_areas(a) > 1e-3]
    centre = a.mean(dim=1, keepdim=True)
    inside = centre + share * (a - centre)
    expected = torch.full((len(a),), share**2, dtype=torch.float64)
    torch.testing.assert_close(aligned_quad_iou(a, inside), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(
        aligned_quad_iou(a, inside, over="smaller"), torch.ones_like(expected), rtol=0, atol=1e-9
    )


def test_touching_and_far_apart() -> None:
    square = torch.tensor([SQUARE], dtype=torch.float64)
    for dx, dy in ((10.0, 0.0), (10.0, 10.0), (0.0, -10.0), (1e6, 0.0)):
        other = square + torch.tensor([dx, dy])
        assert pairwise_quad_iou(square, other).item() == 0
    assert pairwise_quad_iou(square + 1e6, square + 1e6).item() == pytest.approx(1, abs=1e-9)
    assert pairwise_quad_iou(square + 1e6, square + 1e6 + 5).item() == pytest.approx(25 / 175, abs=1e-9)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_tensors_give_cuda_results() -> None:
    quads = torch.tensor([SQUARE], device="cuda")
    assert pairwise_quad_iou(quads, quads).device == quads.device


@pytest.mark.parametrize("count", [0, 1, 300])
def test_chosen_pairs_are_places_of_the_table(count: int) -> None:
    rng = np.random.default_rng(count)
    a, b = random_quads(rng, 40), random_quads(rng, 30)
    i, j = torch.from_numpy(rng.integers(0, 40, count)), torch.from_numpy(rng.integers(0, 30, count))
    found = paired_quad_iou(a, b, i, j)
    assert torch.equal(found, pairwise_quad_iou(a, b)[i, j])
    assert count < 300 or (found > 0).sum() > 50
