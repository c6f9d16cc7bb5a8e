"""IoU and generalised IoU against shapely."""

import numpy as np
import pytest
import shapely
import torch

from utils.hboxes import aligned_giou, aligned_iou


def random_hboxes(rng: np.random.Generator, count: int) -> torch.Tensor:
    low = rng.uniform(0, 50, (count, 2))
    return torch.from_numpy(np.concatenate([low, low + rng.uniform(0.5, 60, (count, 2))], axis=1))


def test_agrees_with_shapely() -> None:
    rng = np.random.default_rng(0)
    a, b = random_hboxes(rng, 500), random_hboxes(rng, 500)
    p, q = shapely.box(*a.numpy().T), shapely.box(*b.numpy().T)
    shared, union = shapely.area(shapely.intersection(p, q)), shapely.area(shapely.union(p, q))
    around = shapely.area(shapely.envelope(shapely.union(p, q)))
    expected = shared / union - (around - union) / around
    np.testing.assert_allclose(aligned_giou(a, b), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(aligned_giou(a.float(), b.float()), expected, atol=1e-5)
    assert (expected < 0).any()
    np.testing.assert_allclose(aligned_iou(a, b), shared / union, rtol=1e-9, atol=1e-12)


def test_by_hand() -> None:
    square = [0.0, 0.0, 10.0, 10.0]
    others = torch.tensor([square, [10.0, 0.0, 20.0, 10.0], [5.0, 0.0, 15.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    found = aligned_giou(torch.tensor([square]).expand(4, 4), others)
    assert found.tolist() == pytest.approx([1, 0, 1 / 3, -1 / 3])
    assert aligned_iou(torch.tensor([square]).expand(4, 4), others).tolist() == pytest.approx(
        [1, 0, 1 / 3, 0]
    )
    assert aligned_iou(torch.zeros(1, 4), torch.zeros(1, 4)).tolist() == [0]
    assert aligned_iou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_empty_boxes_and_no_boxes_stay_finite() -> None:
    point = torch.full((1, 4), 3.0, requires_grad=True)
    for other in (torch.full((1, 4), 3.0), torch.tensor([[0.0, 0.0, 10.0, 10.0]])):
        found = aligned_giou(point, other)
        (gradient,) = torch.autograd.grad(found.sum(), point)
        assert found.isfinite().all()
        assert gradient.isfinite().all()
    assert aligned_giou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)
