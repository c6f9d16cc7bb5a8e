"""What holds for all rules of spec 11: real labels, crowds, no objects, a GPU, right predictions."""

import numpy as np
import pytest
import torch
from torch import Tensor

from cfg.schema import AssignConfig
from dataloadR.annotations import read_split
from dataloadR.assign.atss import atss_targets
from dataloadR.assign.pairs import Guesses
from dataloadR.assign.shapes import Pyramid
from tests.dataloadR.assign.scene_g import CONFIG, PYRAMID, guesses, objects
from tests.dataloadR.assign.test_rules import FAST, some_batch
from tests.dataloadR.assign.test_targets import objects_of
from tests.fake_gpu import FakeGpu, GpuTensor
from tests.paths import DATA
from utils.records import LevelTargets, Objects

RULES = sorted(FAST)
DYNAMIC = [rule for rule in RULES if rule not in ("atss", "ga")]
MOST_WAITS = 12
HIT_UAV = DATA / "hit-uav"


def nothing(pyramid: Pyramid) -> Guesses:
    """Return predictions of cells that are small boxes around them."""
    quads = []
    for level in pyramid.levels():
        for cell in range(level.cells):
            column, row = cell % level.columns, cell // level.columns % level.rows
            x, y, t = column * level.stride, row * level.stride, level.stride
            quads.append([[x, y], [x + t, y], [x + t, y + t], [x, y + t]])
    return Guesses(torch.tensor(quads).double(), torch.zeros(len(quads), 4).double())


def owned(levels: list[LevelTargets]) -> Tensor:
    owners = torch.cat([level.owner.flatten() for level in levels])
    return owners[owners >= 0]


@pytest.mark.parametrize("rule", RULES)
def test_no_objects(rule: str) -> None:
    pyramid = Pyramid(2, 64, 96, (8, 16, 32))
    for level in FAST[rule](objects_of([]), pyramid, nothing(pyramid), AssignConfig()):
        assert (level.owner == -1).all()
        assert not level.ignore.any()
        assert not level.objectness.any()
        assert (level.mix_weight == 1).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_thousand_objects_are_finite(rule: str, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    sides, middles = rng.uniform(0.5, 90, (2000, 1, 2)), rng.uniform(-10, 522, (2000, 1, 2))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 + rng.uniform(-0.3, 0.3, (2000, 4, 2))
    crowd = objects_of(corners * sides + middles, labels=rng.integers(0, 4, 2000))
    crowd = crowd._replace(quads=crowd.quads.to(dtype), weights=crowd.weights.to(dtype))
    pyramid = Pyramid(1, 512, 512, (8, 16, 32))
    for level in FAST[rule](crowd, pyramid, nothing(pyramid), AssignConfig()):
        for values in (level.heat, level.objectness, level.area_weight, level.edge_dists, level.hboxes):
            assert values.dtype == dtype
            assert values.isfinite().all()
        assert ((level.heat >= 0) & (level.heat <= 1)).all()
        assert ((level.objectness >= 0) & (level.objectness <= 1)).all()
        assert (level.edge_dists[level.owner >= 0] > 0).all()
        assert not (level.ignore & (level.owner >= 0)).any()


@pytest.mark.parametrize("rule", RULES)
def test_quads_without_area_and_triangles(rule: str) -> None:
    """A point, a line, a triangle that repeats a vertex, one that is far too large, two of the same."""
    same = [[30, 30], [50, 34], [48, 44], [28, 40]]
    quads = [
        [[20, 20]] * 4,
        [[10, 50], [60, 50], [60, 50], [10, 50]],
        [[40, 8], [60, 30], [60, 30], [20, 30]],
        [[-3000, -3000], [3000, -3000], [3000, 3000], [-3000, 3000]],
        same,
        same,
    ]
    pyramid = Pyramid(1, 64, 64, (8, 16, 32))
    levels = FAST[rule](objects_of(quads), pyramid, nothing(pyramid), AssignConfig(min_side=0.0))
    assert {2, 3, 4} <= set(owned(levels).tolist())  # of twins one has its cells
    for level in levels:
        assert level.heat.isfinite().all()
        assert level.area_weight.isfinite().all()


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_objects_does_not_matter(rule: str) -> None:
    for seed in (3, 6, 11):
        given, pyramid, predicted = some_batch(seed)
        config = AssignConfig(level_bounds=(30.0, 80.0))
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(given.labels)))
        if seed % 4 == 1:
            continue  # twins
        turned = Objects(*(field[order] for field in given))
        pairs = zip(
            FAST[rule](given, pyramid, predicted, config),
            FAST[rule](turned, pyramid, predicted, config),
            strict=True,
        )
        for first, second in pairs:
            torch.testing.assert_close(first.heat, second.heat)
            back = (
                torch.where(second.owner >= 0, order[second.owner.clamp(min=0)], -1)
                if len(order)
                else second.owner
            )
            assert torch.equal(first.owner, back)


@pytest.mark.parametrize("rule", DYNAMIC)
def test_a_right_prediction_keeps_its_cell(rule: str) -> None:
    """Each object is predicted exactly, with its class, by one of its cells: that cell owns it, heat 1."""
    right = {0: (0, 3, 3), 1: (0, 5, 5), 2: (0, 1, 5)}
    predicted = guesses()
    for n, (_, row, column) in right.items():
        predicted.quads[row * 8 + column] = objects().quads[n]
        predicted.class_logits[row * 8 + column] = torch.eye(2)[objects().labels[n]] * 16 - 8
    levels = FAST[rule](objects(), PYRAMID, predicted, CONFIG)
    for n, (level, row, column) in right.items():
        assert levels[level].owner[0, row, column] == n
        assert levels[level].heat[0, row, column] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_cells_of_ignore_regions_are_left_alone(rule: str) -> None:
    """But for the cell of its centre an object finds no cell there."""
    given = objects()
    region = torch.tensor([[[0.0, 0.0], [64.0, 0.0], [64.0, 40.0], [0.0, 40.0]]], dtype=torch.float64)
    more = Objects(
        torch.cat([given.quads, region]),
        *(torch.cat([field, field[:1]]) for field in given[1:]),
    )._replace(ignore=torch.tensor([False, False, False, True]))
    levels = FAST[rule](more, PYRAMID, guesses(), CONFIG)
    fine = levels[0]
    for n, (x, y) in {0: (26, 30), 2: (40, 14)}.items():
        home = torch.tensor([[0, y // 8, x // 8]])
        above = (fine.owner[:, :5] == n).nonzero()
        assert len(above) == 0 or torch.equal(above, home)
        assert any(bool((level.owner == n).any()) for level in levels)
    above = fine.owner[0, :5]
    assert torch.equal(fine.ignore[0, :5], above < 0)
    assert (fine.owner[0] == 1).any()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(3))
def test_on_the_gpu(rule: str, seed: int) -> None:
    given, pyramid, predicted = some_batch(seed)
    config = AssignConfig(level_bounds=(30.0, 80.0))
    expected = FAST[rule](given, pyramid, predicted, config)
    with FakeGpu() as gpu:
        there, of_cells = gpu.put((given, predicted))
        found = FAST[rule](there, pyramid, of_cells, config)
        assert len(gpu.waits) <= MOST_WAITS, gpu.counts()
    for level, own in zip(expected, found, strict=True):
        for a, b in zip(level, own, strict=True):
            if isinstance(a, Tensor):
                assert isinstance(b, GpuTensor)
                torch.testing.assert_close(b.values, a, rtol=1e-9, atol=1e-12)


@pytest.mark.skipif(not HIT_UAV.is_dir(), reason="the HIT-UAV data set is not at hand")
def test_atss_gives_every_object_of_hit_uav_a_cell() -> None:
    """Square anchors of eight strides contain whole persons, and then have no cell above the threshold."""
    annotations, _ = read_split(HIT_UAV, "val")
    lost = total = 0
    pyramid = Pyramid(1, 512, 640, (8, 16, 32))
    for annotation in annotations:
        given = objects_of(annotation.quads)
        levels = atss_targets(given, pyramid, AssignConfig(min_side=0.0))
        total += len(given.labels)
        lost += len(given.labels) - len(owned(levels).unique())
    assert total > 2000
    assert lost == 0
