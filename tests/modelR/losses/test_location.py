"""What `loss.location` chooses: zero where quads are equal, the same at every size, finite everywhere."""

from typing import get_args

import pytest
import torch

from modelR.losses.location import FLOOR, QuadLocation, quad_error
from tests.modelR.losses.quads import AWKWARD, A, B, random_quads

NAMES = get_args(QuadLocation)
WITHOUT_FLOOR = {  # golden numbers of the pair A, B; a tiny stride leaves the floor out
    "quad_iou": 1 - 0.606188160,
    "quad_giou": 1 - 0.493792542,
    "gwd": 0.180206565,
    "kld": 0.133394590,
    "probiou": 0.247301971,
}


@pytest.mark.parametrize("name", WITHOUT_FLOOR)
def test_golden_values(name: QuadLocation) -> None:
    error = quad_error(name)(A.unsqueeze(0), B.unsqueeze(0), 1e-6)
    assert float(error) == pytest.approx(WITHOUT_FLOOR[name], abs=1e-8)


def test_kfiou_has_the_distance_of_the_centroids_beside_it() -> None:
    x, y = 5 / float((B.amax(0) - B.amin(0)).amax()), 2 / float((B.amax(0) - B.amin(0)).amax())
    assert y < 1 / 9 < x
    center = x - 1 / 18 + 4.5 * y * y
    error = quad_error("kfiou")(A.unsqueeze(0), B.unsqueeze(0), 1e-6)
    assert float(error) == pytest.approx(0.038185599 + center, abs=1e-8)


@pytest.mark.parametrize(
    ("direction", "expected"), [("prediction", 0.166406569), ("target", 0.165460507), ("both", 0.165933538)]
)
def test_directions_of_kld(direction: str, expected: float) -> None:
    error = float(quad_error("kld", direction)(A.unsqueeze(0), B.unsqueeze(0), 1e-6))  # type: ignore[arg-type]
    divergence = torch.expm1(torch.tensor(1 / (1 - error) - 1, dtype=torch.float64))
    assert float(divergence) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_equal_quads_cost_nothing(name: QuadLocation) -> None:
    quads = random_quads(200, 1)
    error = quad_error(name)
    assert float(error(quads, quads, 8).abs().amax()) < 1e-6
    assert float(error(quads.float(), quads.float(), 8).abs().amax()) < 1e-6
    assert (error(quads + 0.3, quads, 8) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_size_and_place_change_nothing(name: QuadLocation) -> None:
    """With the stride that belongs to the size."""
    a, b, error = random_quads(100, 1, 5.0), random_quads(100, 2, 5.0), quad_error(name)
    plain = error(a, b, 8)
    torch.testing.assert_close(error(a * 16 + 700, b * 16 + 700, 128), plain, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"ciou"}))  # a part of which is a weight without one
def test_gradients(name: QuadLocation) -> None:
    a, b = random_quads(25, 3, 6.0).requires_grad_(), random_quads(25, 4, 6.0)
    error = quad_error(name)
    assert torch.autograd.gradcheck(lambda p: error(p, b, 8), (a,), eps=1e-7, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("case", AWKWARD)
@pytest.mark.parametrize("name", NAMES)
def test_awkward_pairs_are_finite(name: QuadLocation, case: str, dtype: torch.dtype) -> None:
    a, b = (one.unsqueeze(0).to(dtype).requires_grad_() for one in AWKWARD[case])
    error = quad_error(name)(a, b, 8)
    error.sum().backward()
    assert error.isfinite().all()
    assert float(error.detach()) >= -1e-6
    assert a.grad is not None
    assert a.grad.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_no_quads(name: QuadLocation) -> None:
    none = torch.zeros(0, 4, 2, requires_grad=True)
    loss = quad_error(name)(none, torch.zeros(0, 4, 2), 8).sum()
    loss.backward()
    assert loss == 0
    assert none.grad is not None


@pytest.mark.parametrize("name", ["gwd", "kld", "kfiou", "probiou"])
def test_the_floor_bounds_the_gradients_of_thin_quads(name: QuadLocation) -> None:
    """A ship of a tenth of a pixel, missed by a pixel."""
    true = torch.tensor([[[0.0, 0], [40, 0], [40, 0.1], [0, 0.1]]], dtype=torch.float64)
    steep = []
    for stride in (1e-3, 8.0):
        found = (true + torch.tensor([0.0, 1.0])).requires_grad_()
        quad_error(name)(found, true, stride).sum().backward()
        assert found.grad is not None
        steep.append(float(found.grad.abs().amax()))
    assert steep[1] < 1.0
    assert FLOOR == 1 / 12
