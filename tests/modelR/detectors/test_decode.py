"""Decoding against the golden cell of spec 4.7 and a loop over cells."""

import math

import pytest
import torch

from modelR.detectors.gghl.decode import decode_level
from tests.modelR.detectors.levels import golden_level, split
from utils.quads.glides import mask_glides


def test_golden_cell() -> None:
    level = golden_level()
    assert level.edge_logits[0, 6, 7].tolist() == pytest.approx(
        [-0.665814, -0.066472, 0.583175, 0.791487], abs=1e-6
    )
    decoded = decode_level(level)
    x_min, y_min, x_max, y_max = decoded.hboxes[0, 6, 7].tolist()
    box = [(x_min + x_max) / 2, (y_min + y_max) / 2, x_max - x_min, y_max - y_min]
    assert box == pytest.approx([54.916061, 57.111454, 25.138912, 18.444589], abs=1e-5)
    assert decoded.glides[0, 6, 7].tolist() == pytest.approx(
        [0.594832, 0.421439, 0.310601, 0.334475], abs=1e-6
    )
    assert decoded.area_ratio[0, 6, 7].item() == pytest.approx(0.491157, abs=1e-6)
    assert decoded.edge_dists[0, 6, 7].tolist() == pytest.approx(
        [4.110841, 7.485516, 14.333748, 17.653395], abs=1e-5
    )
    assert decoded.objectness[0, 6, 7].item() == pytest.approx(0.643893, abs=1e-6)
    assert decoded.class_scores[0, 6, 7].tolist() == pytest.approx([0.687706, 0.596071, 0.424175], abs=1e-6)


def test_every_cell_matches_a_loop_on_a_map_that_is_not_square() -> None:
    generator = torch.Generator().manual_seed(0)
    level = split(torch.randn(2, 3, 5, 12, generator=generator) * 4, 16)
    decoded = decode_level(level)
    for b, j, i in ((b, j, i) for b in range(2) for j in range(3) for i in range(5)):
        logits = level.edge_logits[b, j, i].tolist()
        top, right, bottom, left = (min(math.exp(v) * 16, 4096) for v in logits)
        x, y = (i + 0.5) * 16, (j + 0.5) * 16
        box = [x - left, y - top, x + right, y + bottom]
        assert decoded.hboxes[b, j, i].tolist() == pytest.approx(box, rel=1e-4, abs=1e-3)
        sigmoids = [1 / (1 + math.exp(-v)) for v in level.glide_logits[b, j, i].tolist()]
        glides = [(max(s, 0.01) - 0.01) / 0.99 for s in sigmoids]
        assert decoded.glides[b, j, i].tolist() == pytest.approx(glides, abs=1e-5)
        ratio = min(max(level.ratio_logit[b, j, i].item() + 3, 0), 6) / 6
        assert decoded.area_ratio[b, j, i].item() == pytest.approx(ratio, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_extreme_logits_stay_finite_in_every_precision(dtype: torch.dtype) -> None:
    decoded = decode_level(split(torch.full((1, 2, 2, 11), 1e4, dtype=dtype), 32))
    expected = torch.promote_types(dtype, torch.float32)  # halves widen, float64 stays
    assert all(field.dtype == expected and field.isfinite().all() for field in decoded)
    assert decoded.edge_dists.max().item() == pytest.approx(4096.0, rel=1e-5)
    assert decode_level(split(torch.full((1, 2, 2, 11), -1e4, dtype=dtype), 32)).glides.max() == 0


def test_no_images_decode_to_nothing() -> None:
    assert decode_level(split(torch.zeros(0, 4, 4, 11), 8)).hboxes.shape == (0, 4, 4, 4)


def test_glides_vanish_only_above_the_threshold() -> None:
    glides = torch.full((3, 4), 0.5)
    masked = mask_glides(glides, torch.tensor([0.89, 0.9, 0.91]))
    assert masked.sum(dim=-1).tolist() == [2.0, 2.0, 0.0]
    assert glides.sum() == 6.0, "the input is left alone"
    assert mask_glides(torch.zeros(0, 4), torch.zeros(0)).shape == (0, 4)
