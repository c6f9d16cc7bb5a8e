"""IoU, GIoU, DIoU and CIoU of horizontal boxes against golden numbers."""

import pytest
import torch

from modelR.losses.box_iou import aligned_ciou, aligned_diou
from utils.hboxes import aligned_giou

A = torch.tensor([[10.0, 10, 50, 30]], dtype=torch.float64)
B = torch.tensor([[20.0, 14, 60, 44]], dtype=torch.float64)


def test_golden_values() -> None:
    assert float(aligned_giou(A, B)) == pytest.approx(0.209907121, abs=1e-9)
    assert float(aligned_diou(A, B)) == pytest.approx(0.266281815, abs=1e-9)
    assert float(aligned_ciou(A, B)) == pytest.approx(0.266035345, abs=1e-9)
    same_middle = B + torch.tensor([-10.0, -9, -10, -9])
    shared = 40 * 20 / (40 * 30)
    assert float(aligned_diou(A, same_middle)) == pytest.approx(shared, abs=1e-12)


def test_equal_and_empty_boxes() -> None:
    for measure in (aligned_diou, aligned_ciou):
        assert float(measure(A, A)) == pytest.approx(1, abs=1e-12)
        assert measure(A[:0], A[:0]).shape == (0,)
        point = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
        measure(point, point.detach()).sum().backward()
        assert point.grad is not None
        assert point.grad.isfinite().all()


def test_gradients_but_for_the_weight() -> None:
    a = A.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: aligned_diou(x, B), (a,))
    aligned_ciou(a, B).sum().backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()
