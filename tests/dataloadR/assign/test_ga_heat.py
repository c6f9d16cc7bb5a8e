"""The heat of classes beside the targets of GA: golden numbers, a slow loop, crowds, no objects."""

import math

import numpy as np
import pytest
import torch

from cfg.schema import AssignConfig
from dataloadR.assign.ga import HeatTargets, ga_heat_targets, ga_targets
from dataloadR.assign.horizontal import upright_objects
from dataloadR.assign.shapes import Pyramid
from tests.dataloadR.assign.slow_assignment import Thing, center, thing
from tests.dataloadR.assign.slow_rules import sides_of
from tests.dataloadR.assign.test_targets import box, objects_of, random_objects
from tests.fake_gpu import FakeGpu
from utils.records import Objects

CLASSES, STRIDE = 4, 4
CONFIG = AssignConfig(level_bounds=())


def test_golden_heat_of_the_code() -> None:
    """The same three boxes as of spec 11.9: cells of B keep the heat of A's class, which lost them."""
    quads = [box(96, 96, 120, 116), box(110, 104, 118, 112), box(40, 40, 60, 46)]
    (level,) = ga_heat_targets(objects_of(quads, [0, 1, 0]), Pyramid(1, 200, 200, (4,)), CONFIG, 2)
    golden = {
        (10, 11): (0.486752, 0), (10, 12): (1, 0), (10, 13): (0.486752, 0),
        (25, 26): (0.236928, 0), (25, 27): (0.486752, 0), (25, 28): (0.236928, 0), (26, 26): (0.486752, 0),
        (26, 27): (1, 0.018316), (27, 26): (0.236928, 0),
        (26, 28): (0.486752, 0.135335), (27, 27): (0.486752, 0.135335), (27, 28): (0.236928, 1),
        (27, 29): (0.027324, 0.135335), (28, 28): (0.027324, 0.135335),
    }  # fmt: skip
    for at, heats in golden.items():
        assert level.class_heat[(0, *at)].tolist() == pytest.approx(heats, abs=2e-6), at
    assert {tuple(at) for at in (level.owner[0] >= 0).nonzero().tolist()} == set(golden)
    others = torch.ones(50, 50, dtype=torch.bool)
    others[tuple(torch.tensor(list(golden)).T)] = False
    assert float(level.class_heat[0][others].max()) < 0.1


def slow_heat(things: list[Thing], batch: int, size: tuple[int, int], config: AssignConfig) -> np.ndarray:
    """Return (B, H, W, C) object by object and cell by cell, as spec 11.3 has it."""
    rows, columns = size[0] // STRIDE, size[1] // STRIDE
    heat = np.zeros((batch, rows, columns, CLASSES))
    for t in things:
        cx, cy = center(t)
        if t.ignore or not (0 <= cx < size[1] and 0 <= cy < size[0]):
            continue
        reach = [math.floor(config.ga_alpha * min(s / STRIDE, 4) / 2 + 1e-6) + 0.5 for s in sides_of(t)]
        for j in range(rows):
            for i in range(columns):
                dx, dy = i - math.floor(cx / STRIDE), j - math.floor(cy / STRIDE)
                u = math.cos(t.theta) * dx + math.sin(t.theta) * dy
                v = math.cos(t.theta) * dy - math.sin(t.theta) * dx
                if abs(u) > reach[0] * (1 + 1e-6) or abs(v) > reach[1] * (1 + 1e-6):
                    continue
                value = math.exp(-4.5 * ((u / reach[0]) ** 2 + (v / reach[1]) ** 2))
                heat[t.image, j, i, t.label] = max(heat[t.image, j, i, t.label], value)
    return heat


def some(seed: int, horizontal: bool) -> tuple[Objects, list[Thing], Pyramid]:
    rng = np.random.default_rng(seed)
    batch, size = int(rng.integers(1, 4)), (int(rng.integers(1, 4)) * 32, int(rng.integers(1, 4)) * 32)
    objects = random_objects(rng, batch, size)
    objects = upright_objects(objects) if horizontal else objects
    rows = zip(*(field.numpy() for field in objects), strict=True)
    things = [thing(q, int(label), float(w), bool(ig), int(i)) for q, label, w, ig, i in rows]
    return objects, things, Pyramid(batch, *size, (STRIDE,))


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_equals_the_slow_loop(seed: int, horizontal: bool) -> None:
    objects, things, pyramid = some(seed, horizontal)
    config = CONFIG.model_copy(update={"ga_alpha": (1.0, 0.54)[seed % 2]})
    (level,) = ga_heat_targets(objects, pyramid, config, CLASSES)
    expected = slow_heat(things, pyramid.batch, (pyramid.height, pyramid.width), config)
    learnt = ~level.ignore.numpy() & (level.owner.numpy() < 0)  # of ignore regions nobody asks
    owned = level.owner.numpy() >= 0
    np.testing.assert_allclose(level.class_heat.numpy()[learnt], expected[learnt], atol=1e-9)
    (plain,) = ga_targets(objects, pyramid, config)
    for name in ("owner", "heat", "labels", "ignore"):
        assert torch.equal(getattr(level, name), getattr(plain, name)), name
    assert level.stride == plain.stride == STRIDE
    own = np.take_along_axis(level.class_heat.numpy(), level.labels.numpy()[..., None], -1)[..., 0]
    rescued = owned & (level.heat.numpy() == 1) & (own < 1)
    assert (own[owned & ~rescued] >= level.heat.numpy()[owned & ~rescued] - 1e-9).all()


def test_of_two_with_one_centre_the_larger_has_a_free_cell() -> None:
    quads = [box(20, 20, 26, 26), box(21, 21, 25, 25)]  # a single cell each, the same one
    (level,) = ga_heat_targets(objects_of(quads, [0, 1]), Pyramid(1, 64, 64, (4,)), CONFIG, 2)
    assert level.owner[0, 5, 5] == 1
    (at,) = (level.owner == 0).nonzero().tolist()
    assert max(abs(at[1] - 5), abs(at[2] - 5)) == 1
    assert level.heat[tuple(at)] == 1
    assert level.cells.area_weight[tuple(at)] == 1


def test_no_objects() -> None:
    (level,) = ga_heat_targets(objects_of([]), Pyramid(2, 64, 96, (4,)), CONFIG, 3)
    assert level.class_heat.shape == (2, 16, 24, 3)
    assert not level.class_heat.any()
    assert (level.owner == -1).all()
    assert not level.ignore.any()


def crowd() -> Objects:
    """Return 2,000 objects of half a pixel to 60 in one image of 512 px, some off it."""
    rng = np.random.default_rng(0)
    sides, middles = rng.uniform(0.5, 60, (2000, 1, 2)), rng.uniform(-10, 522, (2000, 1, 2))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 + rng.uniform(-0.3, 0.3, (2000, 4, 2))
    return objects_of(corners * sides + middles, labels=rng.integers(0, CLASSES, 2000))


def test_two_thousand_objects() -> None:
    (level,) = ga_heat_targets(crowd(), Pyramid(1, 512, 512, (4,)), CONFIG, CLASSES)
    assert ((level.class_heat >= 0) & (level.class_heat <= 1)).all()
    weights = torch.zeros(2000, dtype=torch.float64)
    owned = level.owner >= 0
    weights.index_add_(0, level.owner[owned], level.cells.area_weight[owned])
    learnt = weights > 0
    torch.testing.assert_close(weights[learnt], torch.ones(int(learnt.sum()), dtype=torch.float64))
    assert int(learnt.sum()) > 1800


def test_on_the_gpu() -> None:
    objects, _, pyramid = some(3, horizontal=False)
    (expected,) = ga_heat_targets(objects, pyramid, CONFIG, CLASSES)
    with FakeGpu() as gpu:
        (found,) = ga_heat_targets(gpu.put(objects), pyramid, CONFIG, CLASSES)
        assert len(gpu.waits) <= 12, gpu.counts()
    assert isinstance(found, HeatTargets)
    torch.testing.assert_close(found.class_heat.values, expected.class_heat)  # type: ignore[attr-defined]
