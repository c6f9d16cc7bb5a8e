"""Assignment of horizontal boxes against loops over objects and cells, written from docs/spec."""

import math

import numpy as np
import pytest
import torch

from cfg.schema import AssignConfig
from dataloadR.assign.engine import build_targets
from dataloadR.assign.horizontal import horizontal_rule
from dataloadR.assign.shapes import Pyramid
from tests.dataloadR.assign.test_targets import box, objects_of, random_objects
from utils.quads.geometry import hboxes_to_quads, quads_to_hboxes
from utils.records import Objects

STRIDES = (8, 16, 32)
CONFIG = AssignConfig(level_bounds=(48, 96))
Offer = tuple[float, float, int, float]  # minus heat, area, row, weight: the least owns a cell


def upright(objects: Objects) -> Objects:
    return objects._replace(quads=hboxes_to_quads(quads_to_hboxes(objects.quads)))


def offers_of(
    hbox: list[float], row: int, stride: int, size: tuple[int, int]
) -> dict[tuple[int, int], Offer]:
    x_min, y_min, x_max, y_max = hbox
    width, height = x_max - x_min, y_max - y_min
    reach_x, reach_y = int(max(width / (2 * stride), 1)), int(max(height / (2 * stride), 1))
    peak_x, peak_y = (int((low + high) / 2 // stride) for low, high in ((x_min, x_max), (y_min, y_max)))
    weight = 2 * math.log(2) / math.log(math.sqrt(reach_x * reach_y) + 1)
    found = {}
    for i in range(max(peak_x - reach_x, 0), min(peak_x + reach_x + 1, size[1] // stride)):
        for j in range(max(peak_y - reach_y, 0), min(peak_y + reach_y + 1, size[0] // stride)):
            heat = math.exp(-0.5 * ((2 * (i - peak_x) / reach_x) ** 2 + (2 * (j - peak_y) / reach_y) ** 2))
            x, y = (i + 0.5) * stride, (j + 0.5) * stride
            if heat > 0.05 and x_min < x < x_max and y_min < y < y_max:
                found[j, i] = (-heat, width * height, row, weight)
    return found or {(peak_y, peak_x): (-1.0, width * height, row, 1.0)}


def slow_owners(objects: Objects, size: tuple[int, int]) -> list[dict[tuple[int, int, int], Offer]]:
    """Return the winning offer of each owned cell (image, row, column), level by level."""
    levels: list[dict[tuple[int, int, int], Offer]] = [{}, {}, {}]
    for row, quad in enumerate(objects.quads.tolist()):
        (x_min, y_min), (x_max, y_max) = np.min(quad, axis=0).tolist(), np.max(quad, axis=0).tolist()
        x, y = (x_min + x_max) / 2, (y_min + y_max) / 2
        is_on_map = 0 <= x < size[1] and 0 <= y < size[0]
        if objects.ignore[row] or min(x_max - x_min, y_max - y_min) <= 1 or not is_on_map:
            continue
        number = sum(max(x_max - x_min, y_max - y_min) > bound for bound in CONFIG.level_bounds)
        image = int(objects.image_index[row])
        offered = offers_of([x_min, y_min, x_max, y_max], row, STRIDES[number], size)
        for (j, i), offer in offered.items():
            own = levels[number]
            own[image, j, i] = min(own.get((image, j, i), offer), offer)
    return levels


@pytest.mark.parametrize("seed", range(100))
def test_equals_the_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch, size = int(rng.integers(1, 4)), (int(rng.integers(2, 8)) * 32, int(rng.integers(2, 8)) * 32)
    objects = upright(random_objects(rng, batch, size))
    targets = build_targets(objects, Pyramid(batch, *size, STRIDES), horizontal_rule(CONFIG))
    for level, expected in zip(targets, slow_owners(objects, size), strict=True):
        owned = {tuple(cell) for cell in (level.owner >= 0).nonzero().tolist()}
        assert owned == set(expected)
        for cell, (minus, _, row, weight) in expected.items():
            assert level.owner[cell] == row
            assert level.heat[cell].item() == pytest.approx(-minus)
            assert level.area_weight[cell].item() == pytest.approx(weight)


def test_no_objects_and_objects_too_thin() -> None:
    for objects in (objects_of([]), objects_of(box(20, 20, 60, 21))):
        for level in build_targets(objects, Pyramid(1, 96, 64, STRIDES), horizontal_rule(CONFIG)):
            assert (level.owner == -1).all()
    assert any(
        level.ignore.any()
        for level in build_targets(objects, Pyramid(1, 96, 64, STRIDES), horizontal_rule(CONFIG))
    )


def test_cells_of_the_last_row_and_column_learn_too() -> None:
    """The reference leaves out the last ones of the map."""
    (fine, _, _) = build_targets(
        objects_of(box(40, 40, 64, 64)), Pyramid(1, 64, 64, STRIDES), horizontal_rule(CONFIG)
    )
    assert fine.owner[0, 7, 6] == fine.owner[0, 6, 7] == 0
    assert torch.equal(fine.hboxes[0, 7, 6], torch.tensor([40.0, 40, 64, 64], dtype=torch.float64))
