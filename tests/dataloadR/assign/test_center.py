"""Targets of CenterNet-R against a loop over objects and cells in plain Python."""

import math

import numpy as np
import pytest
import torch

from dataloadR.assign.center import CenterTargets, center_targets
from dataloadR.assign.shapes import Pyramid
from tests.dataloadR.assign.slow_assignment import Thing, thing
from tests.dataloadR.assign.test_targets import objects_of, random_objects

CLASSES, MIN_SIDE, STRIDE = 4, 4.0, 4


def box_center(t: Thing) -> tuple[float, float]:
    return (t.box[0] + t.box[2]) / 2, (t.box[1] + t.box[3]) / 2


def slow_maps(things: list[Thing], batch: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    rows, columns = size[0] // STRIDE, size[1] // STRIDE
    heat = np.zeros((batch, rows, columns, CLASSES))
    owner = np.full((batch, rows, columns), -1)
    for n, t in enumerate(things):
        x, y = box_center(t)
        w, h = t.box[2] - t.box[0], t.box[3] - t.box[1]
        if t.ignore or not (0 <= x < size[1] and 0 <= y < size[0]) or min(w, h) <= MIN_SIDE:
            continue
        column, row = math.floor(x / STRIDE), math.floor(y / STRIDE)
        sx, sy = 0.1155 * w / STRIDE, 0.1155 * h / STRIDE
        for j in range(rows):
            for i in range(columns):
                if abs(i - column) > math.ceil(3 * sx) or abs(j - row) > math.ceil(3 * sy):
                    continue
                value = math.exp(-0.5 * (((i - column) / sx) ** 2 + ((j - row) / sy) ** 2))
                heat[t.image, j, i, t.label] = max(heat[t.image, j, i, t.label], value)
        other = owner[t.image, row, column]
        if other < 0 or t.area <= things[other].area:
            owner[t.image, row, column] = n
    return {"class_heat": heat, "owner": owner}


def targets_of(seed: int) -> tuple[CenterTargets, dict[str, np.ndarray], list[Thing]]:
    rng = np.random.default_rng(seed)
    batch, size = int(rng.integers(1, 4)), (int(rng.integers(2, 5)) * 32, int(rng.integers(2, 5)) * 32)
    objects = random_objects(rng, batch, size)
    rows = zip(*(field.numpy() for field in objects), strict=True)
    things = [thing(q, int(label), float(w), bool(ig), int(i)) for q, label, w, ig, i in rows]
    (level,) = center_targets(objects, Pyramid(batch, *size, (STRIDE,)), CLASSES, MIN_SIDE)
    return level, slow_maps(things, batch, size), things


@pytest.mark.parametrize("seed", range(60))
def test_equals_the_slow_loop(seed: int) -> None:
    level, expected, things = targets_of(seed)
    np.testing.assert_allclose(level.class_heat.numpy(), expected["class_heat"], atol=1e-9)
    np.testing.assert_array_equal(level.owner.numpy(), expected["owner"])
    for image, row, column in (level.owner >= 0).nonzero().tolist():
        t = things[int(level.owner[image, row, column])]
        x, y = box_center(t)
        at = image, row, column
        assert level.offsets[at].tolist() == pytest.approx([x / 4 - column, y / 4 - row])
        assert level.hboxes[at].tolist() == pytest.approx(t.box)
        assert level.glides[at].tolist() == pytest.approx(t.glides, abs=1e-6)
        assert (float(level.area_ratio[at]), float(level.mix_weight[at])) == pytest.approx(
            (t.ratio, t.weight)
        )
        assert (int(level.labels[at]), float(level.heat[at])) == (t.label, 1.0)
        assert level.class_heat[(*at, t.label)] == 1


@pytest.mark.parametrize("seed", range(60))
def test_ignored_objects_cover_cells_without_an_owner(seed: int) -> None:
    level, _, things = targets_of(seed)
    x, y = ((torch.arange(n) + 0.5) * STRIDE for n in (level.owner.shape[2], level.owner.shape[1]))
    for t in things:
        cells = level.ignore[t.image]
        inside = ((y > t.box[1]) & (y < t.box[3])).unsqueeze(-1) & ((x > t.box[0]) & (x < t.box[2]))
        if t.ignore or min(t.box[2] - t.box[0], t.box[3] - t.box[1]) <= MIN_SIDE:
            assert cells[inside & (level.owner[t.image] < 0)].all()
    assert not (level.ignore & (level.owner >= 0)).any()


def test_no_objects() -> None:
    (level,) = center_targets(objects_of([]), Pyramid(2, 64, 96, (4,)), 3, MIN_SIDE)
    assert level.class_heat.shape == (2, 16, 24, 3)
    assert not level.class_heat.any()
    assert not level.ignore.any()
    assert (level.owner == -1).all()
