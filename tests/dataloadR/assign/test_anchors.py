"""Anchors and deltas, against numbers worked out by hand, loops and the way back."""

import math

import pytest
import torch

from dataloadR.assign.anchors import MAX_LOG, deltas_to_hboxes, hboxes_to_deltas, level_anchors, octave_sides
from dataloadR.assign.shapes import Level


def test_octaves_and_aspects() -> None:
    sides = octave_sides(8, 4.0, 3, (0.5, 1.0, 2.0))
    assert len(sides) == 9
    for k, (width, height) in enumerate(sides):
        size, aspect = 32 * 2 ** (k // 3 / 3), (0.5, 1.0, 2.0)[k % 3]
        assert width * height == pytest.approx(size**2)
        assert height / width == pytest.approx(aspect)
    assert octave_sides(4, 3.0, 1, (1.0,)) == ((12.0, 12.0),)  # the one square of a cell


def test_anchors_lie_around_the_centres_of_cells() -> None:
    anchors = level_anchors(Level(0, 8, 5, 3, 4), torch.tensor([[32.0, 16.0], [10.0, 20.0]]))
    assert anchors.shape == (3, 4, 2, 4)
    for j in range(3):
        for i in range(4):
            x, y = 8 * i + 4, 8 * j + 4
            assert anchors[j, i].tolist() == [[x - 16, y - 8, x + 16, y + 8], [x - 5, y - 10, x + 5, y + 10]]


def test_deltas_by_hand() -> None:
    anchor, box = torch.tensor([10.0, 10.0, 30.0, 50.0]), torch.tensor([20.0, 10.0, 60.0, 30.0])
    deltas = hboxes_to_deltas(box, anchor)
    assert deltas.tolist() == pytest.approx([20 / 20, -10 / 40, math.log(2), math.log(0.5)])
    assert not hboxes_to_deltas(anchor, anchor).any()


def test_deltas_and_back() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(2, 7, 5, 2, 2, generator=generator, dtype=torch.float64) * 300
    boxes, anchors = (torch.cat([c.amin(-2), c.amax(-2) + 1], dim=-1) for c in corners)
    torch.testing.assert_close(deltas_to_hboxes(hboxes_to_deltas(boxes, anchors), anchors), boxes)


def test_boxes_without_size_and_wild_predictions_are_finite() -> None:
    anchor = torch.tensor([0.0, 0.0, 16.0, 16.0])
    assert hboxes_to_deltas(torch.tensor([3.0, 3.0, 3.0, 3.0]), anchor).isfinite().all()
    wild = deltas_to_hboxes(torch.tensor([0.0, 0.0, 1e4, -1e4]), anchor)
    assert wild.isfinite().all()
    assert float(wild[2] - wild[0]) == pytest.approx(16 * math.exp(MAX_LOG))
    assert hboxes_to_deltas(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0, 4)
