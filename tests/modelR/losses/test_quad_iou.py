"""Exact IoU and GIoU against golden numbers, shapely and finite differences."""

from collections.abc import Callable

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor

from modelR.losses.hull_area import hull_areas
from modelR.losses.quad_iou import differentiable_giou, differentiable_iou
from tests.modelR.losses.quads import AWKWARD, DIAMOND, SQUARE, A, B, C, D, E, F, X, random_quads
from tests.paths import OWN_GOLDEN

BOTH = (differentiable_iou, differentiable_giou)
GOLD = [  # the pair, its IoU and GIoU
    (A, B, 0.606188160, 0.493792542),
    (C, D, 0.744199417, 0.648438862),
    (C, E, 0.0, -0.564395077),
    (C, F, 0.074719801, 0.074719801),
    (SQUARE, SQUARE + 10 * X, 0.0, 0.0),
    (SQUARE, SQUARE + 5 * X, 1 / 3, 1 / 3),
    (SQUARE, DIAMOND, 0.5, 0.5),
]
GRADIENTS = [  # of the IoU by the vertices of the first
    (
        A,
        B,
        (0.00797203, -0.00210541, 0.01122215, -0.00546612, 0.00240792, 0.01488298, 0.00697617, -0.00038053),
    ),
    (
        C,
        D,
        (0.00676308, 0.00290635, -0.00278738, 0.01305968, -0.0068556, 0.00172513, 0.00132973, -0.00953281),
    ),
    (
        C,
        F,
        (0.00130271, 0.00125619, -0.00083746, 0.00186102, -0.00130271, -0.00125619, 0.00083746, -0.00186102),
    ),
]


def one(measure: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> float:
    return float(measure(a.unsqueeze(0), b.unsqueeze(0)))


@pytest.mark.parametrize(("a", "b", "iou", "giou"), GOLD)
def test_golden_values(a: Tensor, b: Tensor, iou: float, giou: float) -> None:
    assert one(differentiable_iou, a, b) == pytest.approx(iou, abs=1e-9)
    assert one(differentiable_giou, a, b) == pytest.approx(giou, abs=1e-9)
    assert one(differentiable_iou, b.flip(0), a.roll(1, 0)) == pytest.approx(iou, abs=1e-9)
    assert one(differentiable_giou, b.flip(0), a.roll(1, 0)) == pytest.approx(giou, abs=1e-9)


@pytest.mark.parametrize(("a", "b", "expected"), GRADIENTS)
def test_golden_gradients(a: Tensor, b: Tensor, expected: tuple[float, ...]) -> None:
    for turned in (False, True):  # vertices in either direction
        x = (a.flip(0) if turned else a).clone().requires_grad_()
        differentiable_iou(x.unsqueeze(0), b.unsqueeze(0)).sum().backward()
        assert x.grad is not None
        found = x.grad.flip(0) if turned else x.grad
        torch.testing.assert_close(found.flatten(), torch.tensor(expected).double(), rtol=0, atol=6e-9)


def test_vertex_gradients_add_up_to_that_of_a_shift() -> None:
    shift = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    x = A.clone().requires_grad_()
    differentiable_iou((A + shift).unsqueeze(0), B.unsqueeze(0)).sum().backward()
    differentiable_iou(x.unsqueeze(0), B.unsqueeze(0)).sum().backward()
    assert shift.grad is not None
    assert x.grad is not None
    torch.testing.assert_close(x.grad.sum(dim=0), shift.grad)
    step = 1e-6
    along = torch.tensor([step, 0.0], dtype=torch.float64)
    slope = (one(differentiable_iou, A + along, B) - one(differentiable_iou, A - along, B)) / (2 * step)
    assert float(shift.grad.narrow(0, 0, 1)) == pytest.approx(slope, abs=1e-8)


def test_golden_pairs_of_every_kind() -> None:
    """Overlapping, touching, identical, contained, far apart, degenerate, and coordinates of 1e5."""
    with np.load(OWN_GOLDEN / "quad_iou.npz") as file:
        a, b, expected = (torch.from_numpy(file[name]) for name in ("a", "b", "iou"))
    torch.testing.assert_close(differentiable_iou(a, b), expected, rtol=0, atol=1e-9)
    near = torch.cat([a, b], dim=1).abs().amax(dim=(1, 2)) < 1e4
    found = differentiable_iou(a[near].float(), b[near].float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected[near], rtol=0, atol=1e-4)


def slow_giou(a: Tensor, b: Tensor) -> list[float]:
    found = []
    for one_a, one_b in zip(a.numpy(), b.numpy(), strict=True):
        p, q = shapely.Polygon(one_a), shapely.Polygon(one_b)
        shared, hull = p.intersection(q).area, shapely.MultiPoint([*one_a, *one_b]).convex_hull.area
        union = p.area + q.area - shared
        found.append(shared / union - (hull - union) / hull)
    return found


@pytest.mark.parametrize("spread", [3.0, 12.0, 100.0])
def test_random_quads_against_shapely(spread: float) -> None:
    a, b = random_quads(400, 1, spread), random_quads(400, 2, spread)
    expected = torch.tensor(slow_giou(a, b), dtype=torch.float64)
    torch.testing.assert_close(differentiable_giou(a, b), expected, rtol=0, atol=1e-8)
    with np.load(OWN_GOLDEN / "quad_iou.npz") as file:
        a, b = (torch.from_numpy(file[name]) for name in ("a", "b"))
    some = (differentiable_iou(a, b) > 0) & (torch.cat([a, b], dim=1).abs().amax(dim=(1, 2)) < 1e4)
    expected = torch.tensor(slow_giou(a[some], b[some]), dtype=torch.float64)
    torch.testing.assert_close(differentiable_giou(a[some], b[some]), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
def test_hulls_of_points_on_a_grid(steps: int) -> None:
    """Many lie in a line or on one another: every set of a side must still be counted once."""
    points = np.random.default_rng(steps).integers(0, steps + 1, (2000, 8, 2)) / steps - 0.5
    x, y = (torch.from_numpy(own.T.copy()) for own in (points[..., 0], points[..., 1]))
    every = shapely.multipoints(points.reshape(-1, 2), indices=np.repeat(np.arange(len(points)), 8))
    found = hull_areas(x, y)
    np.testing.assert_allclose(found.values, shapely.area(shapely.convex_hull(every)), rtol=0, atol=1e-10)
    assert float(torch.maximum(found.by_x.abs(), found.by_y.abs()).amax()) <= 1


@pytest.mark.parametrize("measure", BOTH, ids=lambda f: f.__name__)
@pytest.mark.parametrize("spread", [4.0, 40.0])
def test_gradients_of_random_quads(measure: Callable[[Tensor, Tensor], Tensor], spread: float) -> None:
    a, b = (random_quads(25, seed, spread).requires_grad_() for seed in (3, 4))
    assert torch.autograd.gradcheck(measure, (a, b), eps=1e-7, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("measure", BOTH, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "pair", [(A, B), (C, D), (C, F), (C, E), (A, B + 40)], ids=["AB", "CD", "CF", "CE", "apart"]
)
def test_gradients_of_the_golden_quads(
    measure: Callable[[Tensor, Tensor], Tensor], pair: tuple[Tensor, Tensor]
) -> None:
    a, b = (one.unsqueeze(0).clone().requires_grad_() for one in pair)
    assert torch.autograd.gradcheck(measure, (a, b), eps=1e-6, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("measure", BOTH, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_pairs_are_finite(
    measure: Callable[[Tensor, Tensor], Tensor], dtype: torch.dtype, name: str
) -> None:
    a, b = (one.unsqueeze(0).to(dtype).requires_grad_() for one in AWKWARD[name])
    value = measure(a, b)
    value.sum().backward()
    assert value.dtype == (dtype if dtype == torch.float64 else torch.float32)
    assert value.isfinite().all()
    assert -1 <= float(value.detach()) <= 1 + 1e-6
    for x in (a, b):
        assert x.grad is not None
        assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    "name", ["touching", "sides in a line", "vertices on sides", "identical", "inside, sides in a line"]
)
def test_where_there_is_no_gradient_it_is_a_one_sided_one(name: str) -> None:
    """Along each coordinate the slope lies between those to either side, or is one of them."""
    a, b = AWKWARD[name]
    x = a.clone().requires_grad_()
    differentiable_iou(x.unsqueeze(0), b.unsqueeze(0)).sum().backward()
    assert x.grad is not None
    step, here = 1e-6, one(differentiable_iou, a, b)
    for k in range(8):
        move = torch.zeros(8, dtype=torch.float64)
        move[k] = step
        up = (one(differentiable_iou, a + move.view(4, 2), b) - here) / step
        down = (here - one(differentiable_iou, a - move.view(4, 2), b)) / step
        assert min(up, down) - 1e-5 <= float(x.grad.flatten()[k]) <= max(up, down) + 1e-5, (k, up, down)


@pytest.mark.parametrize("measure", BOTH, ids=lambda f: f.__name__)
def test_scale_and_place_change_nothing(measure: Callable[[Tensor, Tensor], Tensor]) -> None:
    a, b = random_quads(200, 5, 6.0), random_quads(200, 6, 6.0)
    plain = measure(a, b)
    torch.testing.assert_close(measure(a * 37 + 1000, b * 37 + 1000), plain, rtol=0, atol=1e-9)
    torch.testing.assert_close(measure(a / 1e4, b / 1e4), plain, rtol=0, atol=1e-9)
    torch.testing.assert_close(measure(b, a), plain, rtol=0, atol=1e-9)


@pytest.mark.parametrize("measure", BOTH, ids=lambda f: f.__name__)
def test_no_quads(measure: Callable[[Tensor, Tensor], Tensor]) -> None:
    none = torch.zeros(0, 4, 2, requires_grad=True)
    loss = (1 - measure(none, torch.zeros(0, 4, 2))).sum()
    loss.backward()
    assert loss == 0
    assert none.grad is not None


@pytest.mark.parametrize("count", [4095, 4097, 20000])
def test_parts_of_many_quads_equal_the_whole(count: int) -> None:
    """A CPU takes some thousands at a time."""
    a, b = random_quads(count, 7, 4.0).requires_grad_(), random_quads(count, 8, 4.0)
    rows = torch.tensor([0, 1, 4094, count - 1])
    found = differentiable_giou(a, b)
    found.sum().backward()
    few = a.detach()[rows].requires_grad_()
    expected = differentiable_giou(few, b[rows])
    expected.sum().backward()
    assert a.grad is not None
    assert few.grad is not None
    torch.testing.assert_close(found[rows], expected)
    torch.testing.assert_close(a.grad[rows], few.grad)
