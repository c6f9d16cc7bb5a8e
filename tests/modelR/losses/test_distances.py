"""Gaussians of quads and their distances, against golden numbers and the moments of many points."""

import math

import pytest
import torch
from torch import Tensor

from modelR.losses.distances import (
    bhattacharyya,
    bounded,
    hellinger,
    kalman_iou,
    kullback_leibler,
    squared_wasserstein,
    steady_root,
    wasserstein,
)
from modelR.losses.gaussians import RECTANGLE, Gaussian, quads_to_gaussians
from tests.modelR.losses.quads import A_TURNED, SQUARE, A, B, C, D, E, random_quads

PAIRS = {"A, B": (A, B), "A, turned": (A, A_TURNED), "C, D": (C, D), "C, E": (C, E)}
GOLD = {  # of each pair, in the order of `measures`
    "A, B": [
        50.251459015,
        0.245851807,
        0.180206565,
        0.166406569,
        0.165460507,
        0.133394590,
        0.254910290,
        0.320604800,
        0.038185599,
        0.063108360,
        0.247301971,
        0.752698029,
    ],
    "A, turned": [
        200,
        0.5,
        0.288491764,
        1.125,
        1.125,
        0.429800389,
        0.419625841,
        0.25,
        0.25,
        0.223143551,
        0.447213595,
        0.552786405,
    ],
    "C, D": [
        5.770537279,
        0.089413563,
        0.078883951,
        0.045270559,
        0.034841724,
        0.042398532,
        0.161710983,
        0.326516408,
        0.020450777,
        0.009999652,
        0.099748793,
        0.900251207,
    ],
    "C, E": [
        9980.863937,
        3.718598957,
        0.608075514,
        19.786728077,
        17.149555490,
        0.752126427,
        0.628982456,
        0.326516408,
        0.020450777,
        13.671129015,
        0.999999422,
        5.78e-7,
    ],
}


def gaussian(quad: Tensor, factor: float = 1.0) -> Gaussian:
    return quads_to_gaussians(quad.unsqueeze(0)).times(factor)


def measures(p: Tensor, t: Tensor) -> list[Tensor]:
    a, b, narrow_a, narrow_b = gaussian(p, 3.0), gaussian(t, 3.0), gaussian(p), gaussian(t)
    divergence = kullback_leibler(a, b)
    return [
        squared_wasserstein(a, b),
        wasserstein(a, b),
        bounded(wasserstein(a, b)),
        divergence,
        kullback_leibler(b, a),
        bounded(divergence),
        bounded(steady_root(divergence)),
        kalman_iou(a, b),
        1 - 3 * kalman_iou(a, b),
        bhattacharyya(narrow_a, narrow_b),
        hellinger(narrow_a, narrow_b),
        1 - hellinger(narrow_a, narrow_b),
    ]


@pytest.mark.parametrize("pair", PAIRS)
def test_golden_distances(pair: str) -> None:
    found = [float(value) for value in measures(*PAIRS[pair])]
    assert found == pytest.approx(GOLD[pair], rel=2e-9, abs=2e-9)


def test_other_golden_values() -> None:
    assert RECTANGLE == 3.0
    assert float(kalman_iou(gaussian(A, 3.0), gaussian(B, 3.0)).neg().add(1).exp() - 1) == pytest.approx(
        0.972684291, abs=1e-9
    )
    side = 7.0  # of two squares GWD is divided by it
    square, moved = (torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]]).double() * side + k for k in (0.0, 5.0))
    ratio = squared_wasserstein(gaussian(square, 3.0), gaussian(moved, 3.0)).sqrt() / side
    torch.testing.assert_close(wasserstein(gaussian(square, 3.0), gaussian(moved, 3.0)), ratio)


@pytest.mark.parametrize(
    ("quad", "mean", "xx", "xy", "yy"),
    [
        (A, (50.0, 40.0), 108.333333, 43.301270, 58.333333),
        (C, (29.124533, 21.722707), 97.213425, -1.597058, 46.200402),
        (D, (29.0, 22.0), 85.666667, 7.333333, 34.666667),
    ],
)
def test_golden_moments(quad: Tensor, mean: tuple[float, float], xx: float, xy: float, yy: float) -> None:
    for turned in (quad, quad.flip(0), quad.roll(1, 0)):
        found = gaussian(turned)
        assert found.mean.flatten().tolist() == pytest.approx(mean, abs=1e-6)
        assert [float(v) for v in (found.xx, found.xy, found.yy)] == pytest.approx((xx, xy, yy), abs=1e-6)


def test_golden_gradient() -> None:
    c = C.clone().requires_grad_()
    hellinger(gaussian(c), gaussian(D)).sum().backward()
    expected = [
        -0.0004276,
        -0.00309159,
        0.00589431,
        -0.01449278,
        0.00091098,
        -0.00089594,
        -0.00441674,
        0.00983262,
    ]
    assert c.grad is not None
    assert c.grad.flatten().tolist() == pytest.approx(expected, abs=6e-9)


@pytest.mark.parametrize("quad", [A, B, C, D, SQUARE], ids=["A", "B", "C", "D", "square"])
def test_equal_pairs(quad: Tensor) -> None:
    squared, gwd, loss, forward, backward, *_, kfiou, none, distance, h, _ = measures(quad, quad)
    for value in (squared, forward, backward, none, distance):
        assert float(value) == pytest.approx(0, abs=1e-9)
    for value in (gwd, loss, h):  # roots of rounding
        assert float(value) == pytest.approx(0, abs=1e-6)
    assert float(kfiou) == pytest.approx(1 / 3, abs=1e-12)


def test_a_square_has_no_direction() -> None:
    """What no distance of Gaussians sees; the exact IoU does."""
    turned = torch.tensor(
        [[5.0, 5 - 5 * 2**0.5], [5 + 5 * 2**0.5, 5], [5, 5 + 5 * 2**0.5], [5 - 5 * 2**0.5, 5]]
    )
    assert float(squared_wasserstein(gaussian(SQUARE), gaussian(turned.double()))) == pytest.approx(
        0, abs=1e-5
    )


@pytest.mark.parametrize("seed", range(3))
def test_moments_are_those_of_the_points_of_a_quad(seed: int) -> None:
    """By a grid of points: of a quad cut into two triangles, each with its own share."""
    (quad,) = random_quads(1, seed)
    p, q, r, s = quad
    steps = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    u, v = torch.meshgrid(steps, steps, indexing="ij")
    inside = u + v < 1
    points, weights = [], []
    for corner, one, two in ((p, q, r), (p, r, s)):
        at = corner + u[inside].unsqueeze(-1) * (one - corner) + v[inside].unsqueeze(-1) * (two - corner)
        (ax, ay), (bx, by) = one - corner, two - corner
        points.append(at)
        weights.append((ax * by - ay * bx).abs().expand(len(at)))
    every, weight = torch.cat(points), torch.cat(weights) / torch.cat(weights).sum()
    mean = (every * weight.unsqueeze(-1)).sum(dim=0)
    x, y = (every - mean).unbind(-1)
    found = gaussian(quad)
    extent = float((quad.amax(dim=0) - quad.amin(dim=0)).amax())
    torch.testing.assert_close(found.mean.squeeze(0), mean, rtol=0, atol=5e-3 * extent)
    for value, expected in zip(found[1:], ((x * x), (x * y), (y * y)), strict=True):
        assert float(value) == pytest.approx(float((expected * weight).sum()), abs=5e-3 * extent**2)


@pytest.mark.parametrize(
    "name", ["squared_wasserstein", "kullback_leibler", "kalman_iou", "bhattacharyya", "hellinger"]
)
def test_gradients(name: str) -> None:
    measure = globals()[name]
    a, b = random_quads(150, 1, 4.0), random_quads(150, 2, 4.0)
    fat = [quads_to_gaussians(q).determinant > 0.05 for q in (a, b)]
    a, b = (q[fat[0] & fat[1]][:20].requires_grad_() for q in (a, b))
    assert len(a) > 10
    assert torch.autograd.gradcheck(
        lambda p, t: measure(quads_to_gaussians(p), quads_to_gaussians(t)),
        (a, b),
        eps=1e-7,
        atol=1e-5,
        rtol=1e-4,
    )


def test_roots_have_finite_slopes() -> None:
    x = torch.tensor([-1.0, 0.0, 1e-9, 1e-7, 4.0], dtype=torch.float64, requires_grad=True)
    root = steady_root(x)
    root.sum().backward()
    assert root.tolist() == pytest.approx([0, 0, 1e-9 / math.sqrt(1e-7), math.sqrt(1e-7), 2])
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert float(x.grad.amax()) <= 1 / math.sqrt(1e-7) + 1
