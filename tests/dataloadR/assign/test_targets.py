import numpy as np
import pytest
import torch

from cfg.load import load_config
from cfg.schema import AssignConfig, FcosConfig
from dataloadR.assign.engine import build_targets
from dataloadR.assign.fcos import fcos_rule
from dataloadR.assign.gaussian import gaussian_rule
from dataloadR.assign.shapes import Pyramid
from tests.dataloadR.assign.slow_assignment import slow_targets, strides_of, thing
from tests.methods import gaussian_targets
from utils.records import LevelTargets, Objects

CURRENT, PAPER = AssignConfig(rule="current"), AssignConfig(rule="paper")
PRO = load_config("cfg/detectors/gghl_pro.yaml").assign


def objects_of(
    quads: object, labels: object = None, weights: object = None, images: object = None
) -> Objects:
    corners = torch.as_tensor(np.asarray(quads), dtype=torch.float64).reshape(-1, 4, 2)
    count = len(corners)
    return Objects(
        corners,
        torch.as_tensor(np.zeros(count) if labels is None else labels, dtype=torch.int64),
        torch.as_tensor(np.ones(count) if weights is None else weights, dtype=torch.float64),
        torch.zeros(count, dtype=torch.bool),
        torch.as_tensor(np.zeros(count) if images is None else images, dtype=torch.int64),
    )


def box(x_min: float, y_min: float, x_max: float, y_max: float) -> list[float]:
    return [x_min, y_min, x_max, y_min, x_max, y_max, x_min, y_max]


def positives(levels: list[LevelTargets]) -> list[int]:
    return [int((level.owner >= 0).sum()) for level in levels]


def test_golden_slanted_object() -> None:  # spec 2.8, T1
    quad = [183.0192, 132.6077, 234.9808, 162.6077, 222.9808, 183.3923, 171.0192, 153.3923]
    levels = gaussian_targets(objects_of(quad, labels=[5]), (1, 800, 800), CURRENT)
    fine = levels[0]
    assert positives(levels) == [17, 0, 0]
    heats = {
        (18, 24): 0.477860,
        (18, 25): 0.395002,
        (19, 24): 0.595011,
        (19, 27): 0.125343,
        (17, 24): 0.059879,
    }
    for cell, heat in heats.items():
        assert fine.heat[0][cell].item() == pytest.approx(heat, abs=1e-6)
    assert fine.heat[0].argmax() == 19 * 100 + 25
    assert fine.area_weight[0, 19, 25].item() == pytest.approx(0.5)
    assert fine.area_ratio[0, 19, 25].item() == pytest.approx(0.443314, abs=1e-5)
    assert fine.glides[0, 19, 25].tolist() == pytest.approx(
        [0.187613, 0.590730, 0.187613, 0.590730], abs=1e-5
    )
    assert fine.labels[0, 19, 25] == 5


def test_golden_small_square_takes_one_cell() -> None:  # spec 2.8, T2
    levels = gaussian_targets(objects_of(box(95, 95, 106, 106)), (1, 800, 800), CURRENT)
    assert [(level.owner >= 0).nonzero().tolist() for level in levels] == [[[0, 12, 12]], [], []]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (60, [12, 0, 0]),
        (68, [12, 0, 0]),
        (70, [12, 4, 0]),
        (82, [21, 6, 0]),
        (83, [0, 6, 0]),
        (200, [0, 23, 0]),
        (274, [0, 37, 0]),
        (275, [0, 37, 17]),
        (329, [0, 45, 21]),
        (330, [0, 0, 21]),
        (500, [0, 0, 31]),
    ],
)
def test_golden_positives_per_level(length: float, expected: list[int]) -> None:  # spec 2.8, T3
    half, quarter = length / 2, 0.3 * length / 2
    quad = box(400 - half, 400 - quarter, 400 + half, 400 + quarter)
    assert positives(gaussian_targets(objects_of(quad), (1, 800, 800), CURRENT)) == expected


def test_golden_overlap_has_one_owner() -> None:  # spec 2.8, T4
    quads = [box(95, 95, 125, 125), box(104, 104, 136, 136)]
    levels = gaussian_targets(objects_of(quads, [0, 3], [0.3, 0.7]), (1, 800, 800), CURRENT)
    fine = levels[0]
    assert fine.owner[0, 14, 14] == 1
    assert fine.labels[0, 14, 14] == 3
    assert fine.heat[0, 14, 14].item() == pytest.approx(0.219651, abs=1e-5)
    assert (fine.owner == 0).sum() == 8
    assert (fine.owner == 1).sum() == 9
    assert fine.mix_weight[fine.owner == 0].tolist() == pytest.approx([0.3] * 8)
    assert fine.mix_weight[fine.owner == 1].tolist() == pytest.approx([0.7] * 9)
    for level in levels:
        assert (level.mix_weight[level.owner < 0] == 1).all()


@pytest.mark.parametrize("config", [CURRENT, PAPER, PRO, FcosConfig()])
def test_no_objects(config: AssignConfig | FcosConfig) -> None:
    rule = fcos_rule(config) if isinstance(config, FcosConfig) else gaussian_rule(config)
    for level in build_targets(objects_of([]), Pyramid(2, 64, 96, strides_of(config)), rule):
        assert level.objectness.shape == (2, 64 // level.stride, 96 // level.stride)
        assert not level.objectness.any()
        assert not level.ignore.any()
        assert (level.owner == -1).all()
        assert (level.mix_weight == 1).all()


def random_objects(rng: np.random.Generator, batch: int, size: tuple[int, int]) -> Objects:
    """Quads of every size and shape: thin, tiny, cut by the border, overlapping; some images stay empty."""
    count = int(rng.integers(0, 12))
    long = np.exp(rng.uniform(np.log(2), np.log(max(size)), count))
    short = long * rng.uniform(0.05, 1, count)
    theta = rng.uniform(0, 2 * np.pi, count) * (rng.random(count) < 0.8)
    corners = np.stack([[-1, -1], [1, -1], [1, 1], [-1, 1]])[None] * np.stack([long, short], 1)[:, None] / 2
    corners += (
        rng.normal(0, 1, corners.shape)
        * 0.06
        * short[:, None, None]
        * (rng.random(count) < 0.5)[:, None, None]
    )
    rotation = np.stack([np.cos(theta), np.sin(theta), -np.sin(theta), np.cos(theta)], 1).reshape(-1, 2, 2)
    centers = rng.uniform(-0.05, 1.05, (count, 1, 2)) * [size[1], size[0]]
    quads = corners @ rotation + centers
    images = np.sort(rng.integers(0, batch, count))
    found = objects_of(quads, rng.integers(0, 4, count), rng.choice([0.3, 0.7, 1.0], count), images)
    return found._replace(ignore=torch.as_tensor(rng.random(count) < 0.15))


@pytest.mark.parametrize("seed", range(200))
def test_equals_the_slow_loop(seed: int) -> None:
    compare_with_the_slow_loop(seed, PAPER if seed % 2 else CURRENT)


@pytest.mark.parametrize("seed", range(100))
def test_other_rules_equal_the_slow_loop(seed: int) -> None:
    compare_with_the_slow_loop(seed, FcosConfig(level_bounds=(48, 96)) if seed % 2 else PRO)


def compare_with_the_slow_loop(seed: int, config: AssignConfig | FcosConfig) -> None:
    rng = np.random.default_rng(seed)
    batch, size = int(rng.integers(1, 4)), (int(rng.integers(2, 8)) * 32, int(rng.integers(2, 8)) * 32)
    objects = random_objects(rng, batch, size)
    rule = fcos_rule(config) if isinstance(config, FcosConfig) else gaussian_rule(config)
    targets = build_targets(objects, Pyramid(batch, *size, strides_of(config)), rule)
    rows = zip(*(field.numpy() for field in objects), strict=True)
    expected = slow_targets(
        [thing(q, int(label), float(w), bool(ig), int(i)) for q, label, w, ig, i in rows], batch, size, config
    )
    for level, maps in zip(targets, expected, strict=True):
        for name, values in maps.items():
            found = getattr(level, name).numpy().astype(np.float64)
            np.testing.assert_allclose(
                found, values, rtol=1e-7, atol=1e-9, err_msg=f"{name}, stride {level.stride}"
            )


def test_half_of_the_random_batches_hold_positives_and_ignored_cells() -> None:
    positive = ignored = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        batch, size = int(rng.integers(1, 4)), (int(rng.integers(2, 8)) * 32, int(rng.integers(2, 8)) * 32)
        levels = gaussian_targets(random_objects(rng, batch, size), (batch, *size), CURRENT)
        positive += any((level.owner >= 0).any().item() for level in levels)
        ignored += any(level.ignore.any().item() for level in levels)
    assert positive > 20
    assert ignored > 20


def test_tiny_objects_are_ignored_and_boxes_beside_their_cell_are_rescued() -> None:
    tiny, thin = (
        box(100, 100, 103.9, 103.9),
        box(201, 199, 219, 203),
    )  # the centre cell (25, 26) spans y 200..208
    levels = gaussian_targets(objects_of([tiny, thin]), (1, 256, 256), CURRENT)
    fine = levels[0]
    assert all(level.ignore[0, 101 // level.stride, 101 // level.stride] for level in levels)
    row, column = 201 // 8, 210 // 8
    assert fine.owner[0, row, column] == 1
    assert fine.heat[0, row, column] == 1
    assert fine.edge_dists[0, row, column].tolist() == pytest.approx([5.0, 7.0, 0.08, 11.0])


def test_float32_on_real_sizes_agrees_with_float64() -> None:
    rng = np.random.default_rng(0)
    objects = random_objects(rng, 2, (320, 320))
    wide = gaussian_targets(objects, (2, 320, 320), CURRENT)
    narrow = gaussian_targets(objects._replace(quads=objects.quads.float()), (2, 320, 320), CURRENT)
    for a, b in zip(wide, narrow, strict=True):
        assert b.heat.dtype == torch.float32
        assert (a.owner == b.owner).float().mean() > 0.999


@pytest.mark.parametrize("size", [(320, 320), (96, 416), (32, 32)])
def test_levels_are_as_large_as_convolutions_leave_them(size: tuple[int, int]) -> None:
    maps, halve = torch.zeros(1, 1, *size), torch.nn.MaxPool2d(3, stride=2, padding=1)
    for level in Pyramid(1, *size, (2, 4, 8, 16, 32, 64, 128)).levels():
        maps = halve(maps)
        assert (level.rows, level.columns) == maps.shape[2:]
