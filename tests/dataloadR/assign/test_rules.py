"""The rules of spec 11: their golden numbers, and each against a slow loop over objects and cells."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cfg.schema import AssignConfig
from dataloadR.assign import paa
from dataloadR.assign.atss import anchor_overlaps, atss_targets, nearest_pairs, overlap_thresholds
from dataloadR.assign.dtla import dtla_targets, matched_quality
from dataloadR.assign.ga import ga_targets
from dataloadR.assign.pairs import Guesses, guessed_overlaps, pairs_inside, survey
from dataloadR.assign.shapes import Pyramid
from dataloadR.assign.simota import BESIDE, FLOOR, OVERLAP_GAIN, central_pairs, class_costs, simota_targets
from dataloadR.assign.soft import soft_costs, soft_targets
from dataloadR.assign.tal import tal_targets
from tests.dataloadR.assign import scene_g
from tests.dataloadR.assign.scene_g import CONFIG, PYRAMID, found, guesses, objects
from tests.dataloadR.assign.slow_assignment import thing
from tests.dataloadR.assign.slow_rules import RULES, Guess, Scene, slow_match
from tests.dataloadR.assign.test_targets import box, objects_of, random_objects
from tests.methods import gaussian_targets
from utils.quads.glides import approximate_quads
from utils.records import LevelTargets, Objects

Targets = Callable[[Objects, Pyramid, Guesses, AssignConfig], list[LevelTargets]]
STRIDES = (8, 16, 32)
FAST: dict[str, Targets] = {
    "atss": lambda objects, pyramid, _, config: atss_targets(objects, pyramid, config),
    "ga": lambda objects, pyramid, _, config: ga_targets(objects, pyramid, config),
    "tal": tal_targets,
    "simota": simota_targets,
    "soft": soft_targets,
    "paa": paa.paa_targets,
}


def assert_cells(levels: list[LevelTargets], expected: dict[Any, tuple[int, float]]) -> None:
    cells = found(levels)
    assert {at: owner for at, (owner, _) in cells.items()} == {
        at: owner for at, (owner, _) in expected.items()
    }
    for at, (_, heat) in expected.items():
        assert cells[at][1] == pytest.approx(heat, abs=2e-6), at


def test_golden_atss() -> None:
    known = survey(objects(), PYRAMID, CONFIG)
    pairs = nearest_pairs(known)
    overlap = anchor_overlaps(known.shapes, pairs)
    thresholds = overlap_thresholds(pairs.owner, overlap, 3)
    assert thresholds.tolist() == pytest.approx([0.270245, 0.132695, 0.128634], abs=2e-6)
    means = [float(overlap[pairs.owner == n].mean()) for n in range(3)]
    assert means == pytest.approx([0.156408, 0.083537, 0.069454], abs=2e-6)
    positive = {
        (0, 3, 3): (0, 0.328125),
        (0, 3, 2): (0, 0.328125),
        (0, 4, 3): (0, 0.323848),
        (0, 4, 4): (0, 0.310337),
        (0, 4, 5): (1, 0.140625),
        (0, 5, 5): (1, 0.140625),
        (0, 1, 5): (2, 0.146484),
        (0, 1, 6): (2, 0.146484),
    }
    cells = found(atss_targets(objects(), PYRAMID, CONFIG))
    assert {at: owner for at, (owner, _) in cells.items()} == {
        at: owner for at, (owner, _) in positive.items()
    }
    of_pair = {(int(n), int(c)): float(v) for n, c, v in zip(pairs.owner, pairs.cell, overlap, strict=True)}
    for (_, row, column), (owner, value) in positive.items():
        assert of_pair[owner, row * 8 + column] == pytest.approx(value, abs=2e-6)


TAL_OWNED = {
    (0, 3, 1): (0, 0.003433),
    (0, 3, 2): (0, 0.472976),
    (0, 3, 3): (0, 0.013103),
    (0, 4, 3): (0, 0.036990),
    (0, 4, 4): (0, 0.001427),
    (1, 1, 1): (0, 0.005703),
    (0, 4, 5): (1, 0.189065),
    (0, 5, 5): (1, 0.562240),
    (1, 2, 2): (1, 0.006184),
    (0, 1, 5): (2, 0.382242),
    (0, 1, 6): (2, 0.002443),
}


def test_golden_tal() -> None:
    levels = tal_targets(objects(), PYRAMID, guesses(), CONFIG)
    assert_cells(levels, TAL_OWNED)
    for level in levels:
        assert torch.equal(level.objectness, level.heat)
    yolo = CONFIG.model_copy(update={"tal_alpha": 0.5, "tal_top_k": 10})
    cells = found(tal_targets(objects(), PYRAMID, guesses(), yolo))
    assert {at: owner for at, (owner, _) in cells.items()} == {
        at: owner for at, (owner, _) in TAL_OWNED.items()
    }
    for at, quality in {(0, 4, 3): 0.061197, (0, 4, 5): 0.195793, (1, 2, 2): 0.012927}.items():
        assert cells[at][1] == pytest.approx(quality, abs=2e-6)
    two = tal_targets(objects(), PYRAMID, guesses(), CONFIG.model_copy(update={"tal_top_k": 2}))
    best = [(0, 3, 2), (0, 4, 3), (0, 4, 5), (0, 5, 5), (0, 1, 5), (0, 1, 6)]
    assert_cells(two, {at: TAL_OWNED[at] for at in best})


OVERLAPS = {
    (0, 3, 2): 0.472976,
    (0, 4, 3): 0.365816,
    (0, 5, 5): 0.562240,
    (0, 4, 5): 0.474350,
    (0, 1, 5): 0.382242,
}


def test_golden_simota() -> None:
    owners = {(0, 3, 2): 0, (0, 4, 3): 0, (0, 5, 5): 1, (0, 4, 5): 1, (0, 1, 5): 2}
    levels = simota_targets(objects(), PYRAMID, guesses(), CONFIG)
    assert_cells(levels, {at: (owner, OVERLAPS[at]) for at, owner in owners.items()})
    known = survey(objects(), PYRAMID, CONFIG)
    pairs, central = central_pairs(known)
    overlap = guessed_overlaps(known, pairs, guesses())
    cost = class_costs(known, pairs, guesses()) - OVERLAP_GAIN * (overlap + FLOOR).log() + BESIDE * ~central
    of_pair = {(int(n), int(c)): float(v) for n, c, v in zip(pairs.owner, pairs.cell, cost, strict=True)}
    golden = {(0, 26): 3.117689, (0, 35): 4.868974, (1, 45): 2.813962, (1, 37): 3.092232, (2, 13): 5.016597}
    for pair, value in golden.items():
        assert of_pair[pair] == pytest.approx(value, abs=2e-6)


def test_golden_soft() -> None:
    levels = soft_targets(objects(), PYRAMID, guesses(), CONFIG)
    owners = {(0, 3, 2): 0, (0, 5, 5): 1, (0, 1, 5): 2}
    assert_cells(levels, {at: (owner, OVERLAPS[at]) for at, owner in owners.items()})
    known = survey(objects(), PYRAMID, CONFIG)
    pairs = pairs_inside(known, torch.ones(3, 2, dtype=torch.bool))
    cost = soft_costs(known, pairs, guesses(), guessed_overlaps(known, pairs, guesses()))
    of_pair = {(int(n), int(c)): float(v) for n, c, v in zip(pairs.owner, pairs.cell, cost, strict=True)}
    golden = {(0, 26): 2.273267, (1, 45): 2.070943, (2, 13): 2.977863}
    assert [of_pair[pair] for pair in golden] == pytest.approx(list(golden.values()), abs=2e-6)


def test_golden_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    fits, fitted = [], paa._fitted
    monkeypatch.setattr(paa, "_fitted", lambda *values: fits.append(fitted(*values)) or fits[-1])
    costs = torch.tensor([[0.31, 0.42, 0.45, 0.52, 0.60, 1.35, 1.50, 1.55, 1.80, 2.10]], dtype=torch.float64)
    likely, lower = paa.fit_mixture(costs, torch.ones_like(costs, dtype=torch.bool))
    likelihoods = [float(fit.likelihood) for fit in fits]
    gains = [after - before for before, after in itertools.pairwise(likelihoods)]
    assert [gain < 1e-3 for gain in gains].index(True) + 2 == 9  # iterations
    golden = [[0.459991, 1.659919], [0.00948, 0.069484], [0.499962, 0.500038]]
    for (values,), expected in zip(fits[8][:3], golden, strict=True):
        assert values.tolist() == pytest.approx(expected, abs=2e-6)
    assert lower.tolist() == [[True] * 5 + [False] * 5]
    assert likely[0].tolist() == pytest.approx(
        [
            -0.469405,
            0.632763,
            0.711848,
            0.527217,
            -0.316424,
            -0.969845,
            -0.462706,
            -0.36562,
            -0.419882,
            -1.672328,
        ],
        abs=2e-6,
    )
    assert paa.good_counts(costs).tolist() == [3]
    spare = torch.cat([costs, torch.full((1, 5), torch.inf, dtype=torch.float64)], dim=1)
    few = torch.full_like(spare, torch.inf)
    few[0, 0] = 0.7
    assert paa.good_counts(torch.cat([spare, few, few + torch.inf])).tolist() == [3, 1, 0]


def test_golden_dtla() -> None:
    owned = {(r, c): 0 for r in range(2, 5) for c in range(2, 6) if (r, c) != (4, 5)}
    owned |= {(r, c): 1 for r in range(5, 8) for c in range(5, 9)} | {(4, 5): 1}
    cells = sorted(owned)
    place = torch.tensor([(column, row) for row, column in cells])
    heat = torch.tensor([1.0 if at in ((3, 4), (6, 7)) else 0.5 for at in cells])
    location = torch.tensor([0.5 + 0.4 * math.sin(0.8 * c + 0.5 * r) for r, c in cells], dtype=torch.float64)
    score = torch.tensor([0.5 + 0.4 * math.cos(0.6 * c - 0.7 * r) for r, c in cells], dtype=torch.float64)
    group = torch.tensor([owned[at] for at in cells])
    matched = matched_quality(group, place, heat, location, score)
    golden = {
        (2, 2): 0.793694, (3, 2): 0.621911, (2, 3): 0.587746, (5, 6): 0.868607, (6, 6): 0.864082,
        (5, 7): 0.845953, (6, 7): 0.845212, (7, 6): 0.722874, (7, 7): 0.711223, (5, 5): 0.706220,
        (6, 5): 0.701398, (5, 8): 0.652033,
    }  # fmt: skip
    of_cell = {at: value for at, value in zip(cells, matched.tolist(), strict=True) if value}
    assert of_cell == pytest.approx(golden, abs=2e-6)


def test_golden_ga() -> None:
    """Horizontal boxes on one level of stride 4, as the authors' code assigns them (spec 11.9)."""
    quads = [box(96, 96, 120, 116), box(110, 104, 118, 112), box(40, 40, 60, 46)]
    config = AssignConfig(rule="ga", level_bounds=())
    (level,) = ga_targets(objects_of(quads, labels=[0, 1, 0]), Pyramid(1, 200, 200, (4,)), config)
    golden = {
        (10, 11): (2, 0.486752), (10, 12): (2, 1.0), (10, 13): (2, 0.486752),
        (25, 26): (0, 0.236928), (25, 27): (0, 0.486752), (25, 28): (0, 0.236928), (26, 26): (0, 0.486752),
        (26, 27): (0, 1.0), (27, 26): (0, 0.236928),
        (26, 28): (1, 0.135335), (27, 27): (1, 0.135335), (27, 28): (1, 1.0), (27, 29): (1, 0.135335),
        (28, 28): (1, 0.135335),
    }  # fmt: skip
    assert_cells([level], {(0, *at): value for at, value in golden.items()})
    # objects that lose no cell weigh their cells as there, but for the factor ln(area): here each weighs 1
    of_c = [1.230858, 2.528716, 1.230858]
    weights = [float(level.area_weight[0, 10, column]) for column in (11, 12, 13)]
    assert weights == pytest.approx([w / math.log(21 * 7) for w in of_c], abs=2e-6)
    assert float(level.area_weight[0, 27, 28]) == pytest.approx(2.851056 / math.log(81), abs=2e-6)
    for owner in range(3):
        assert float(level.area_weight[level.owner == owner].sum()) == pytest.approx(1)


@pytest.mark.parametrize(("side", "threshold", "cells"), [
    (7, 0.1, 1), (9, 0.1, 5), (15, 0.1, 5), (9, 0.01, 9), (17, 0.1, 9), (90, 0.1, 9), (90, 0.01, 21),
])  # fmt: skip
def test_ga_gives_large_objects_no_more(side: float, threshold: float, cells: int) -> None:
    config = AssignConfig(rule="ga", level_bounds=(), ga_threshold=threshold)
    quad = box(101, 101, 101 + side, 101 + side)
    (level,) = ga_targets(objects_of([quad]), Pyramid(1, 256, 256, (4,)), config)
    assert int((level.owner == 0).sum()) == cells


def random_guesses(rng: np.random.Generator, objects: Objects, pyramid: Pyramid) -> Guesses:
    """Return predictions of cells, of which a third is near to an object of the image."""
    quads, logits = [], []
    snapped = approximate_quads(objects.quads).numpy()
    for level in pyramid.levels():
        for image in range(level.batch):
            own = snapped[objects.image_index.numpy() == image]
            for cell in range(level.rows * level.columns):
                x, y = (
                    (cell % level.columns + 0.5) * level.stride,
                    (cell // level.columns + 0.5) * level.stride,
                )
                sides = np.exp(rng.uniform(np.log(4), np.log(100), 2))
                quad = scene_g.rectangle(x, y, *sides, rng.uniform(0, 180))
                if len(own) and rng.random() < 0.3:
                    quad = own[rng.integers(len(own))] + rng.normal(0, 2, 2)
                quads.append(quad)
                logits.append(rng.normal(0, 2, 4))
    return Guesses(torch.from_numpy(np.array(quads)), torch.from_numpy(np.array(logits)))


def slow_scene(objects: Objects, pyramid: Pyramid, guesses: Guesses, config: AssignConfig) -> Scene:
    rows = zip(*(field.numpy() for field in objects), strict=True)
    things = [thing(q, int(label), float(w), bool(ig), int(i)) for q, label, w, ig, i in rows]
    cells = []
    for k, level in enumerate(pyramid.levels()):
        shape = (level.batch, level.rows, level.columns)
        cells += [(k, *(int(x) for x in at)) for at in np.ndindex(shape)]
    values = zip(guesses.quads.numpy(), guesses.class_logits.numpy(), strict=True)
    predicted = {cell: Guess(quad, logits) for cell, (quad, logits) in zip(cells, values, strict=True)}
    size = (pyramid.height, pyramid.width)
    return Scene(things, pyramid.batch, size, pyramid.strides, config, predicted)


def some_batch(seed: int) -> tuple[Objects, Pyramid, Guesses]:
    rng = np.random.default_rng(seed)
    batch, size = int(rng.integers(1, 3)), (int(rng.integers(1, 5)) * 32, int(rng.integers(1, 5)) * 32)
    objects = random_objects(rng, batch, size) if seed % 10 else objects_of([])
    if seed % 4 == 1 and len(objects.labels):  # the same object twice, and one that touches it
        first = objects.quads[:1]
        more = torch.cat([first, first + (first[:, 1:2] - first[:, :1])])
        objects = Objects(
            torch.cat([objects.quads, more]), *(torch.cat([f, f[:1], f[:1]]) for f in objects[1:])
        )
    pyramid = Pyramid(batch, *size, STRIDES)
    return objects, pyramid, random_guesses(rng, objects, pyramid)


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("rule", sorted(FAST))
def test_equals_the_slow_loop(rule: str, seed: int) -> None:
    objects, pyramid, guesses = some_batch(seed)
    config = AssignConfig(rule=rule, level_bounds=(30.0, 80.0), tal_top_k=5)  # type: ignore[arg-type]
    levels = FAST[rule](objects, pyramid, guesses, config)
    expected = RULES[rule](slow_scene(objects, pyramid, guesses, config))
    for level, maps in zip(levels, expected, strict=True):
        for name, values in maps.items():
            own = getattr(level, name).numpy().astype(np.float64)
            np.testing.assert_allclose(
                own, values, rtol=1e-6, atol=1e-8, err_msg=f"{name}, stride {level.stride}"
            )


@pytest.mark.parametrize("seed", range(60))
def test_dtla_equals_the_slow_loop(seed: int) -> None:
    objects, pyramid, _ = some_batch(seed)
    size = (pyramid.batch, pyramid.height, pyramid.width)
    static = gaussian_targets(objects, size, AssignConfig(level_bounds=(30.0, 80.0)))
    rows = [(level.owner.flatten() >= 0).nonzero().squeeze(-1) for level in static]
    rng = np.random.default_rng(seed)
    locations, scores = ([torch.from_numpy(rng.random(len(own))) for own in rows] for _ in range(2))
    for level, before, own, location, score in zip(
        dtla_targets(static, rows, locations, scores), static, rows, locations, scores, strict=True
    ):
        expected = 0.3 * before.heat.clone()
        predicted = dict(zip(own.tolist(), zip(location.tolist(), score.tolist(), strict=True), strict=True))
        for n in range(len(objects.labels)):
            cells = []
            for image, row, column in (before.owner == n).nonzero().tolist():
                flat = (image * before.owner.shape[1] + row) * before.owner.shape[2] + column
                cells.append((row, column, float(before.heat[image, row, column]), *predicted[flat]))
            for at, value in slow_match(cells).items() if cells else ():
                expected[(int(objects.image_index[n]), *at)] += 0.7 * value
        torch.testing.assert_close(level.heat, expected, rtol=1e-9, atol=1e-12)
        assert torch.equal(level.owner, before.owner)


def test_half_of_the_random_batches_hold_what_the_rules_are_about() -> None:
    rescued = shared = 0
    for seed in range(30):
        objects, pyramid, guesses = some_batch(seed)
        config = AssignConfig(level_bounds=(30.0, 80.0))
        levels = simota_targets(objects, pyramid, guesses, config)
        shared += sum(int((level.owner >= 0).sum()) for level in levels) > 2
        tal = tal_targets(objects, pyramid, guesses, config)
        rescued += any(bool((level.heat == 1).any()) for level in tal)
    assert shared > 15
    assert rescued > 5
