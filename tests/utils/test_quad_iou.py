"""Quad IoU against GEOS: the golden file and shapely."""

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from tests.paths import GOLDEN
from utils.quad_iou import aligned_quad_intersections, aligned_quad_iou, pairwise_quad_iou

TABLE = GOLDEN / "quad_iou.npz"
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


@pytest.mark.skipif(not TABLE.exists(), reason=f"no {TABLE}")
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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_tensors_give_cuda_results() -> None:
    quads = torch.tensor([SQUARE], device="cuda")
    assert pairwise_quad_iou(quads, quads).device == quads.device
