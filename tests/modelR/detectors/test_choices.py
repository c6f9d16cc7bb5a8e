"""What `loss.location`, `loss.classification` and `loss.regression` choose, against loops over cells."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
import shapely
import torch

from cfg.load import ConfigError, load_config
from cfg.loss import HORIZONTAL
from cfg.schema import AssignConfig, FcosConfig, LossConfig
from modelR.detectors.fcos_r import fcos_r
from modelR.detectors.gghl.loss import TERMS, JointLoss, positive_count, term_names
from modelR.losses.ghm import MAX_WEIGHT
from modelR.losses.location import quad_error
from tests.dataloadR.assign.test_targets import objects_of
from tests.fake_gpu import FakeGpu
from tests.methods import gaussian_targets
from tests.modelR.detectors.levels import golden_level, split
from tests.modelR.detectors.slow_loss import bce, class_terms, location_errors, random_case, sigmoid
from utils.quads.glides import glides_to_quads
from utils.records import LevelPrediction, LevelTargets

Cell = tuple[int, int, int]
Levels = tuple[Sequence[LevelPrediction], Sequence[LevelTargets]]
LOCATIONS = ("diou", "ciou", "quad_iou", "quad_giou", "gwd", "kld", "kfiou", "probiou")
JUDGES = ("bce", "focal", "qfl", "vfl", "ghm")
WORDS = [  # every choice, as it is typed
    *(f"loss.location={name}" for name in LOCATIONS),
    "loss.location=quad_iou loss.location_beside_jol=true",
    "loss.location=kld loss.kld_direction=both loss.location_beside_jol=true",
    "loss.regression=balanced_l1",
    "loss.regression=ghm",
    *(f"loss.classification={name}" for name in JUDGES),
    "loss.classification=ghm loss.regression=ghm loss.location=quad_giou",
]


def plain(**settings: Any) -> LossConfig:
    """All gains 1, so that terms are what they are called."""
    ones = dict.fromkeys(("objectness", "classes", "iou", "glide", "ratio", "distance"), 1.0)
    return LossConfig(**ones, **settings)


def judge(case: Levels, config: LossConfig) -> dict[str, float]:
    predictions, targets = case
    terms = JointLoss(config)(predictions, targets, positive_count(targets).clamp(min=1))
    return {name: float(term) for name, term in terms.items()}


def cells(case: Levels) -> list[tuple[LevelPrediction, LevelTargets, Cell]]:
    return [(p, t, cell) for p, t in zip(*case, strict=True) for cell in product(*map(range, t.owner.shape))]


def count_of(case: Levels) -> float:
    return max(sum(float(m) for level in case[1] for m in level.objectness.flatten()), 1.0)


def quads_at(p: LevelPrediction, t: LevelTargets, cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """Return the predicted and the true quad of a cell."""
    dists = [math.exp(v) * t.stride for v in p.edge_logits[cell].tolist()]
    x, y = (cell[2] + 0.5) * t.stride, (cell[1] + 0.5) * t.stride
    box = torch.tensor([x - dists[3], y - dists[0], x + dists[1], y + dists[2]], dtype=torch.float64)
    glides = [(max(sigmoid(v), 0.01) - 0.01) / 0.99 for v in p.glide_logits[cell].tolist()]
    if float(t.area_ratio[cell]) > 0.9:
        glides = [0.0] * 4
    found = glides_to_quads(box, torch.tensor(glides, dtype=torch.float64))
    return found.numpy(), glides_to_quads(t.hboxes[cell], t.glides[cell]).numpy()


def slow_iou(a: np.ndarray, b: np.ndarray) -> float:
    p, q = shapely.Polygon(a), shapely.Polygon(b)
    shared = p.intersection(q).area
    return float(shared / (p.area + q.area - shared))


def scale_at(t: LevelTargets, cell: Cell) -> float:
    x_min, y_min, x_max, y_max = t.hboxes[cell].tolist()
    _, rows, columns = t.owner.shape
    return 2 - min((x_max - x_min) * (y_max - y_min) / (rows * columns * t.stride**2), 1)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_quad_iou_equals_a_slow_loop(seed: int, beside: bool) -> None:
    """Alone it takes the place of the horizontal box, beside it it joins: in its term and in the quality."""
    case, sums = random_case(seed), dict.fromkeys(("positive", "iou", "quad_iou"), 0.0)
    for p, t, cell in cells(case):
        if t.owner[cell] < 0:
            continue
        box, glide, ratio, _ = location_errors(p, t, cell)
        error = scale_at(t, cell) * (1 - slow_iou(*quads_at(p, t, cell)))
        quality = math.exp(-(error + glide + ratio + (box if beside else 0)))
        positive, _, score = class_terms(p, t, cell, quality, 0.0)
        weight = float(t.objectness[cell] * t.mix_weight[cell] * t.area_weight[cell])
        omega = weight * (score + float(t.heat[cell])) / 2
        sums["positive"] += positive * weight
        sums["iou"] += box * omega
        sums["quad_iou"] += error * omega
    found = judge(case, plain(location="quad_iou", location_beside_jol=beside))
    assert ("iou" in found) == beside
    for name in set(found) & set(sums):
        assert found[name] == pytest.approx(sums[name] / count_of(case), rel=1e-7), name


@pytest.mark.parametrize("name", LOCATIONS)
def test_other_locations_are_their_errors(name: Any) -> None:
    case, expected = random_case(1), 0.0
    for p, t, cell in cells(case):
        if t.owner[cell] >= 0:
            found, true = (torch.from_numpy(q).unsqueeze(0) for q in quads_at(p, t, cell))
            score = sigmoid(float(p.class_logits[cell][int(t.labels[cell])]))
            weight = float(t.objectness[cell] * t.mix_weight[cell] * t.area_weight[cell])
            omega = weight * (score + float(t.heat[cell])) / 2
            expected += omega * scale_at(t, cell) * float(quad_error(name)(found, true, t.stride))
    assert judge(case, plain(location=name))[name] == pytest.approx(expected / count_of(case), rel=1e-7)


def test_names_and_gains_of_locations() -> None:
    assert term_names(LossConfig()) == TERMS
    assert term_names(LossConfig(location="gwd"))[3:6] == ("negative", "gwd", "glide")
    both = LossConfig(location="gwd", location_beside_jol=True)
    assert term_names(both)[3:7] == ("negative", "iou", "gwd", "glide")
    assert (both.gains.iou, both.gains.glide) == (5.0, 5.0)
    assert LossConfig().gains.glide == LossConfig(location="ciou").gains.glide == 15.0
    assert LossConfig(location="gwd", glide=15).gains.glide == 15.0


@pytest.mark.parametrize("name", sorted({*LOCATIONS} - {*HORIZONTAL}))
def test_quads_teach_edges_and_glides(name: Any) -> None:
    """Glides of every quad that is none of the boxes, whatever the predicted ratio says."""
    predictions, targets = random_case(0)
    for p in predictions:
        p.edge_logits.requires_grad_()
        p.glide_logits.requires_grad_()
    terms = JointLoss(LossConfig(location=name))(predictions, targets, torch.ones(()))
    terms[name].backward()
    for p, t in zip(predictions, targets, strict=True):
        assert p.edge_logits.grad is not None
        assert p.glide_logits.grad is not None
        own, slanted = t.owner >= 0, (t.owner >= 0) & (t.area_ratio <= 0.9)
        if name not in ("quad_iou",):  # which has no gradient where quads lie apart
            assert p.edge_logits.grad[own].any(dim=-1).all()
            at_floor = (p.glide_logits.sigmoid() <= 0.01).all(dim=-1)
            assert p.glide_logits.grad[slanted & ~at_floor].any(dim=-1).all()
        assert not p.glide_logits.grad[own & ~slanted].any()


def slow_logit_error(name: str, logit: float, wanted: float) -> float:
    p = sigmoid(logit)
    match name:
        case "focal":
            return (0.25 * wanted + 0.75 * (1 - wanted)) * (wanted - p) ** 2 * bce(logit, wanted)
        case "qfl":
            return (wanted - p) ** 2 * bce(logit, wanted)
        case "vfl":
            return (wanted if wanted > 0 else 0.75 * p * p) * bce(logit, wanted)
    return bce(logit, wanted)


@pytest.mark.parametrize("name", ["bce", "focal", "qfl", "vfl"])
@pytest.mark.parametrize("seed", range(2))
def test_classifications_equal_a_slow_loop(name: Any, seed: int) -> None:
    case = random_case(seed)
    sums = dict.fromkeys(("foreground", "background", "positive", "negative"), 0.0)
    for p, t, cell in cells(case):
        mask, mix, own = float(t.objectness[cell]), float(t.mix_weight[cell]), bool(t.owner[cell] >= 0)
        quality = slow_iou(*quads_at(p, t, cell)) if own and name in ("qfl", "vfl") else 1.0
        error = mix * slow_logit_error(name, float(p.objectness_logit[cell]), mask * quality)
        sums["foreground"] += mask * error
        sums["background"] += 0.0 if t.ignore[cell] else (1 - mask) * error
        for c, logit in enumerate(p.class_logits[cell].tolist() if own else ()):
            is_true = c == int(t.labels[cell])
            weight = mask * mix * float(t.area_weight[cell])
            term = "positive" if is_true else "negative"
            sums[term] += weight * slow_logit_error(name, logit, quality if is_true else 0.0)
    found = judge(case, plain(classification=name))
    for term, value in sums.items():
        assert found[term] == pytest.approx(value / count_of(case), rel=1e-7), term
    jol = judge(case, plain())
    assert found["glide"] == jol["glide"]


@pytest.mark.parametrize("name", ["bce", "focal"])
def test_smoothing_reaches_the_other_classes(name: Any) -> None:
    case, expected = random_case(0), 0.0
    for p, t, cell in cells(case):
        if t.owner[cell] >= 0:
            logit = float(p.class_logits[cell][int(t.labels[cell])])
            weight = float(t.objectness[cell] * t.mix_weight[cell] * t.area_weight[cell])
            expected += weight * slow_logit_error(name, logit, 0.9 + 0.1 / 4)
    found = judge(case, plain(classification=name, label_smoothing=0.1))
    assert found["positive"] == pytest.approx(expected / count_of(case), rel=1e-9)


def harmonised(examples: list[tuple[float, float, float]], bins: int) -> float:
    """Return GHM of examples: the size of the gradient, the error, and its weight outside."""
    places = [min(int(norm * bins), bins - 1) for norm, _, _ in examples]
    counts = [places.count(k) for k in range(bins)]
    full = sum(count > 0 for count in counts)
    weights = [min(len(examples) / counts[place] / full, MAX_WEIGHT) for place in places]
    return sum(w * error * own for w, (_, error, own) in zip(weights, examples, strict=True)) / len(examples)


def gaps_at(p: LevelPrediction, t: LevelTargets, cell: Cell) -> tuple[list[float], float, list[float]]:
    ratio = min(max(float(p.ratio_logit[cell]) + 3, 0), 6) / 6
    glides = [(max(sigmoid(v), 0.01) - 0.01) / 0.99 for v in p.glide_logits[cell].tolist()]
    if float(t.area_ratio[cell]) > 0.9 and ratio > 0.9:
        glides = [0.0] * 4
    pairs = zip(glides, t.glides[cell].tolist(), strict=True)
    edges = zip(p.edge_logits[cell].tolist(), t.edge_dists[cell].tolist(), strict=True)
    dists = [math.exp(v) - true / t.stride for v, true in edges]
    return [a - b for a, b in pairs], ratio - float(t.area_ratio[cell]), dists


@pytest.mark.parametrize("seed", range(2))
def test_ghm_equals_a_slow_loop(seed: int) -> None:
    """One histogram each over the cells of all levels, whose mean is the term; outer weights lie outside."""
    case = random_case(seed)
    objectness, classes = [], []
    gaps: dict[str, list[tuple[float, float, float]]] = {"glide": [], "ratio": [], "distance": []}
    mu = {"glide": 0.02, "ratio": 0.02, "distance": 0.15}
    for p, t, cell in cells(case):
        mask, mix, logit = (
            float(t.objectness[cell]),
            float(t.mix_weight[cell]),
            float(p.objectness_logit[cell]),
        )
        if not t.ignore[cell]:
            objectness.append((abs(sigmoid(logit) - mask), bce(logit, mask), mix))
        if t.owner[cell] < 0:
            continue
        weight = mask * mix * float(t.area_weight[cell])
        label = int(t.labels[cell])
        for c, value in enumerate(p.class_logits[cell].tolist()):
            classes.append((abs(sigmoid(value) - (c == label)), bce(value, float(c == label)), weight))
        omega = weight * (sigmoid(float(p.class_logits[cell][label])) + float(t.heat[cell])) / 2
        glides, ratio, dists = gaps_at(p, t, cell)
        for name, own in (("glide", glides), ("ratio", [ratio]), ("distance", dists)):
            for d in own:
                root = math.sqrt(d * d + mu[name] ** 2)
                outer = omega * (scale_at(t, cell) if name == "distance" else 1)
                gaps[name].append((abs(d) / root, root - mu[name], outer))
    found = judge(case, plain(classification="ghm", regression="ghm"))
    share = max(1.0, count_of(case)) / count_of(case)
    assert found["foreground"] + found["background"] == pytest.approx(
        share * harmonised(objectness, 30), rel=1e-7
    )
    assert found["positive"] + found["negative"] == pytest.approx(share * harmonised(classes, 30), rel=1e-7)
    for name, examples in gaps.items():
        assert found[name] == pytest.approx(share * harmonised(examples, 10), rel=1e-7), name


def test_balanced_l1_equals_a_slow_loop() -> None:
    def error(d: float) -> float:
        b = math.exp(3) - 1
        near = 0.5 / b * (b * abs(d) + 1) * math.log(b * abs(d) + 1) - 0.5 * abs(d)
        return near if abs(d) < 1 else 1.5 * abs(d) + 1.5 / b - 0.5

    case, sums = random_case(2), dict.fromkeys(("glide", "ratio", "distance"), 0.0)
    for p, t, cell in cells(case):
        if t.owner[cell] >= 0:
            weight = float(t.objectness[cell] * t.mix_weight[cell] * t.area_weight[cell])
            score = sigmoid(float(p.class_logits[cell][int(t.labels[cell])]))
            omega = weight * (score + float(t.heat[cell])) / 2
            glides, ratio, dists = gaps_at(p, t, cell)
            sums["glide"] += omega * sum(map(error, glides))
            sums["ratio"] += omega * error(ratio)
            sums["distance"] += omega * scale_at(t, cell) * sum(map(error, dists))
    found = judge(case, plain(regression="balanced_l1"))
    for name, value in sums.items():
        assert found[name] == pytest.approx(value / count_of(case), rel=1e-9)


def narrow(target: LevelTargets) -> LevelTargets:
    return LevelTargets(
        *(f.float() if f.is_floating_point() else f for f in target[:-1]), stride=target.stride
    )


def crowd(count: int) -> list[LevelTargets]:
    """Return the targets of two images of 256 px; the first holds so many objects, the second none."""
    rng = np.random.default_rng(count)
    sides, angles = rng.uniform(4, 40, (count, 2)), rng.uniform(0, np.pi, count)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * sides[:, None] / 2
    turn = np.stack([np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)], 1).reshape(-1, 2, 2)
    quads = corners @ turn + rng.uniform(0, 256, (count, 1, 2))
    objects = objects_of(quads, rng.integers(0, 3, count), np.ones(count), np.zeros(count, np.int64))
    objects = objects._replace(quads=objects.quads.float(), weights=objects.weights.float())
    return [narrow(level) for level in gaussian_targets(objects, (2, 256, 256), AssignConfig())]


@pytest.mark.parametrize("size", [0.0, 3.0, 30.0])
@pytest.mark.parametrize("count", [0, 1, 2000])
@pytest.mark.parametrize("words", WORDS)
def test_many_objects_and_none_are_finite(words: str, count: int, size: float) -> None:
    """Logits of a new network, of one that learns, and absurd ones, in half precision."""
    config, targets = load_config(None, words.split()).loss, crowd(count)
    generator = torch.Generator().manual_seed(count)
    raws = [
        (size * torch.randn(*t.owner.shape, 13, generator=generator)).bfloat16().requires_grad_()
        for t in targets
    ]
    loss = JointLoss(config)
    for _ in range(2):  # the second with a histogram
        predictions = [split(raw, t.stride) for raw, t in zip(raws, targets, strict=True)]
        terms = loss(predictions, targets, positive_count(targets).clamp(min=1))
        torch.stack(list(terms.values())).sum().backward()
    assert list(terms) == list(loss.terms)
    assert all(term.isfinite() and term.dtype == torch.float32 and term >= -1e-6 for term in terms.values())
    assert all(raw.grad is not None and raw.grad.isfinite().all() for raw in raws)
    assert all(float(terms[name].detach()) == 0 for name in terms if count == 0 and name != "background")


@pytest.mark.parametrize("words", ["", *WORDS])
def test_fcos_r_has_the_same_choices(words: str) -> None:
    config = load_config(None, ["model.detector=fcos_r", *words.split()]).loss
    method = fcos_r(FcosConfig(), config, None)
    assert method.terms == (*term_names(config), "centerness")
    targets = crowd(5)
    predictions = [
        (split(torch.zeros(*t.owner.shape, 13), t.stride), torch.zeros(t.owner.shape)) for t in targets
    ]
    terms = method.loss(predictions, targets, torch.ones(()))
    assert tuple(terms) == method.terms
    own = JointLoss(config)([level for level, _ in predictions], targets, torch.ones(()))
    assert {name: terms[name] for name in own} == own


@pytest.mark.parametrize("words", WORDS)
def test_no_choice_waits_for_the_gpu(words: str) -> None:
    """But for the rows of positive cells."""
    config, targets = load_config(None, words.split()).loss, crowd(5)
    raws = [torch.zeros(*t.owner.shape, 13) for t in targets]
    here = JointLoss(config)(
        [split(r, t.stride) for r, t in zip(raws, targets, strict=True)], targets, torch.ones(())
    )
    with FakeGpu() as gpu:
        loss, there = gpu.put(JointLoss(config)), gpu.put(targets)
        predictions = [split(gpu.put(raw), t.stride) for raw, t in zip(raws, targets, strict=True)]
        gpu.waits.clear()
        found = loss(predictions, there, gpu.put(torch.ones(())))
        assert len(gpu.waits) <= 1, gpu.counts()
    for name, term in here.items():
        torch.testing.assert_close(found[name].values, term, rtol=1e-5, atol=1e-6)


def test_histograms_are_named_and_counted() -> None:
    predictions, targets = [golden_level()], [crowd(30)[0]]
    loss = JointLoss(LossConfig(classification="ghm", regression="ghm"))
    assert set(loss.state_dict()) == {
        f"harmony.densities.{name}.{part}"
        for name in ("objectness", "classes", "glide", "ratio", "distance")
        for part in ("average", "steps", "counts")
    }
    loss(predictions, targets, torch.ones(()))
    positives = int((targets[0].owner >= 0).sum())
    counts = {name: int(own.sum()) for name, own in loss.histograms().items()}
    assert counts == {
        "objectness": int((~targets[0].ignore).sum()),
        "classes": 3 * positives,
        "glide": 4 * positives,
        "ratio": positives,
        "distance": 4 * positives,
    }
    assert JointLoss(LossConfig()).state_dict() == {}
    assert JointLoss(LossConfig()).histograms() == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("loss.location=giou", r"loss\.location: Input should be 'jol', 'diou'.* got 'giou'"),
        ("loss.classification=focall", r"loss\.classification: Input should be 'jol', 'bce'.* got 'focall'"),
        ("loss.regression=l1", r"loss\.regression: Input should be 'jol', 'balanced_l1' or 'ghm', got 'l1'"),
        (
            "loss.location_beside_jol=true",
            r"loss\.location_beside_jol: expected false, loss\.location is jol",
        ),
        ("loss.kld_direction=both", r"loss\.kld_direction: read with loss\.location=kld alone, it is jol"),
        (
            "loss.classification=vfl loss.label_smoothing=0.1",
            r"loss\.label_smoothing: expected 0 with .*=vfl",
        ),
        (
            "loss.ghm_class_bins=10",
            r"loss\.ghm_class_bins: read with loss\.classification=ghm alone, it is jol",
        ),
        ("loss.ghm_mu=0.1,0.1,0.1", r"loss\.ghm_mu: read with loss\.regression=ghm alone, it is jol"),
        ("loss.ghm_class_momentum=1", r"loss\.ghm_class_momentum: Input should be less than 1"),
        ("loss.ghm_mu=0.1,0.1", r"loss\.ghm_mu: "),
        ("loss.ghm_class_bins=0", r"loss\.ghm_class_bins: Input should be greater than or equal to 1"),
    ],
)
def test_wrong_words_give_one_clear_line(words: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        load_config(None, words.split())
    assert len(str(error.value).splitlines()) == 1
