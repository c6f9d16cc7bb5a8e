"""The joint loss against the golden numbers of spec 4.7, and against a loop over cells."""

import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch

from cfg.schema import AssignConfig, LossConfig
from modelR.detectors.gghl.loss import JointLoss, positive_count
from tests.methods import gaussian_targets
from tests.modelR.detectors.levels import golden_level, split
from tests.modelR.detectors.slow_loss import TERMS, random_case, slow_losses
from utils.records import LevelPrediction, LevelTargets, Objects

OURS = {  # spec 4.7, the normaliser of 4.5
    "foreground": 0.097758,
    "background": 230.280641,
    "positive": 2.881161,
    "negative": 1.878693,
    "iou": 0.922009,
    "glide": 0.381192,
    "ratio": 1.843437,
    "distance": 0.296381,
    "total": 238.581274,
}
REFERENCE = {  # spec 4.7
    "foreground": 0.048879027,
    "background": 57.172400587,
    "positive": 1.440580696,
    "negative": 0.939346615,
    "iou": 0.461004601,
    "glide": 0.190596240,
    "ratio": 0.921718397,
    "distance": 0.148190608,
    "total": 61.322716772,
}
REFERENCE_BACKGROUND_OF_BOTH, REFERENCE_TOTAL_OF_BOTH = 289.044081129, 293.194397314
PAPER = LossConfig(preset="paper")


def judge(
    predictions: Sequence[LevelPrediction],
    targets: Sequence[LevelTargets],
    normalizer: torch.Tensor | None = None,
    config: LossConfig = PAPER,
) -> SimpleNamespace:
    """Return the terms by name and their `total`; by default with the normaliser of this batch alone."""
    if normalizer is None:
        normalizer = positive_count(targets).clamp(min=1)
    terms = JointLoss(config)(predictions, targets, normalizer)
    return SimpleNamespace(total=torch.stack(list(terms.values())).sum(), **terms)


def values(losses: SimpleNamespace) -> torch.Tensor:
    return torch.stack(list(vars(losses).values()))


def golden_targets(angle: float | None = 40.0) -> LevelTargets:
    """Level 0 of the objects of spec 4.7; A's angle in the reference is 40 degrees, None: exact."""
    quads = [[60, 40, 72, 50, 66, 58, 54, 48], [100, 100, 120, 100, 120, 112, 100, 112]]
    rows = torch.tensor(quads, dtype=torch.float64).reshape(2, 4, 2)
    ones, false, first = torch.ones(2).double(), torch.zeros(2).bool(), torch.zeros(2).long()
    objects = Objects(rows, torch.tensor([1, 2]), ones, false, first)
    fine, *coarse = gaussian_targets(objects, (2, 256, 256), AssignConfig())
    assert [int((level.owner >= 0).sum()) for level in coarse] == [0, 0]
    assert (fine.owner >= 0).nonzero().tolist() == [[0, 6, 7], [0, 6, 8], [0, 13, 13], [0, 13, 14]]
    if angle is not None:
        long, short = (side / 16 for side in (math.hypot(12, 10), math.hypot(6, 8)))
        u, v = math.cos(math.radians(angle)), -math.sin(math.radians(angle))
        fine.heat[0, 6, 8] = math.exp(-2 * ((u / long**0.7) ** 2 + (v / short**0.7) ** 2))
    return fine


def image(level: LevelPrediction | LevelTargets, row: int) -> LevelPrediction | LevelTargets:
    return type(level)(*(f[row : row + 1] if isinstance(f, torch.Tensor) else f for f in level))


def test_golden_heats() -> None:
    heat = golden_targets().heat
    assert heat[0, 6, 8].item() == pytest.approx(0.060242, abs=1e-6)
    assert heat[0, 13, 14].item() == pytest.approx(0.231454, abs=1e-6)


@pytest.mark.parametrize("term", OURS)
def test_golden_with_our_normaliser(term: str) -> None:
    losses = judge([golden_level()], [golden_targets()])
    assert getattr(losses, term).item() == pytest.approx(OURS[term], abs=1e-5)


def test_the_exact_angle_hardly_differs() -> None:
    losses = judge([golden_level()], [golden_targets(angle=None)])
    assert losses.total.item() == pytest.approx(OURS["total"], abs=2e-3)


@pytest.mark.parametrize("term", REFERENCE)
def test_golden_of_the_reference(term: str) -> None:
    """It divides by positives of the image and by the batch; image 1 counts where m = 1 everywhere."""
    level, target, positives, batch = golden_level(), golden_targets(), 4, 2
    one = torch.ones((), dtype=torch.float64)
    first, second = (judge([image(level, i)], [image(target, i)], one) for i in range(2))
    assert getattr(first, term).item() / positives / batch == pytest.approx(REFERENCE[term], abs=1e-7)
    both = {name: (getattr(first, name) / positives + getattr(second, name)) / batch for name in REFERENCE}
    assert both["background"].item() == pytest.approx(REFERENCE_BACKGROUND_OF_BOTH, abs=1e-7)
    assert both["total"].item() == pytest.approx(REFERENCE_TOTAL_OF_BOTH, abs=1e-7)


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_slow_loop(seed: int) -> None:
    predictions, targets = random_case(seed)
    losses, expected = judge(predictions, targets), slow_losses(predictions, targets)
    for name in (*TERMS, "total"):
        assert getattr(losses, name).item() == pytest.approx(expected[name], rel=1e-9), name


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_smoothed_classes_equal_the_slow_loop(seed: int, smoothing: float) -> None:
    predictions, targets = random_case(seed)
    smooth = judge(predictions, targets, config=LossConfig(preset="paper", label_smoothing=smoothing))
    expected = slow_losses(predictions, targets, smoothing)
    for name in (*TERMS, "total"):
        assert getattr(smooth, name).item() == pytest.approx(expected[name], rel=1e-9), name


def test_no_smoothing_changes_no_bit() -> None:
    """The targets of the class term were 0.01 / C and 1 - 0.01 + 0.01 / C before there was a setting."""
    predictions, targets = random_case(4)
    assert JointLoss(LossConfig(preset="paper", label_smoothing=0.0)).class_soft == 0.01
    smoothed = judge(predictions, targets, config=LossConfig(preset="paper", label_smoothing=0.1))
    for name, plain in vars(judge(predictions, targets)).items():
        assert torch.equal(plain, getattr(smoothed, name)) == (
            name not in ("total", "positive", "negative")
        ), name


def test_the_random_cases_hold_every_kind_of_cell() -> None:
    cases = [random_case(seed) for seed in range(8)]
    owned = [(p, t, t.owner >= 0) for case in cases for p, t in zip(*case, strict=True)]
    horizontal = torch.cat([(t.area_ratio > 0.9)[own] for _, t, own in owned])
    found = torch.cat([(p.ratio_logit > 2.4)[own] for p, _, own in owned])
    assert len(set(zip(horizontal.tolist(), found.tolist(), strict=True))) == 4
    assert any(t.ignore.any() for _, t, _ in owned)
    assert any(((t.objectness > 0) & (t.objectness < 1)).any() for _, t, _ in owned)
    assert any((t.hboxes < 0).any() for _, t, _ in owned)


def test_ignored_cells_cost_nothing() -> None:
    predictions, targets = random_case(0)
    before = judge(predictions, targets)
    changed = [
        p._replace(
            objectness_logit=torch.where(t.ignore, 9.0, p.objectness_logit),
            class_logits=torch.where(t.ignore.unsqueeze(-1), 9.0, p.class_logits),
        )
        for p, t in zip(predictions, targets, strict=True)
    ]
    assert judge(changed, targets) == before


def test_gains_and_normaliser_scale_the_terms() -> None:
    predictions, targets = random_case(1)
    one = judge(predictions, targets)
    gains = LossConfig(objectness=4, classes=2, iou=2, glide=2, ratio=32, distance=0.4)
    half = judge(predictions, targets, 2 * positive_count(targets))
    torch.testing.assert_close(values(judge(predictions, targets, config=gains)), 2 * values(one))
    torch.testing.assert_close(values(half), values(one) / 2)


def no_objects(dtype: torch.dtype = torch.float32) -> LevelTargets:
    empty = torch.zeros(0, dtype=torch.long)
    objects = Objects(torch.zeros(0, 4, 2, dtype=dtype), empty, torch.zeros(0), empty.bool(), empty)
    return gaussian_targets(objects, (2, 64, 96), AssignConfig(), (8,))[0]


def test_without_objects_there_is_only_background() -> None:
    target = no_objects()
    raw = torch.zeros(*target.owner.shape, 13, requires_grad=True)
    losses = judge([split(raw, 8)], [target])
    focal = math.log(2) * (0.005 - 0.5) ** 2  # of the target 0.005 at logit 0, per cell
    assert losses.background.item() == pytest.approx(2 * focal * target.owner.numel(), rel=1e-5)
    assert losses.total == losses.background
    losses.total.backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("size", [1e4, -1e4, 30.0, -30.0])
def test_gradients_stay_finite_at_extreme_logits(size: float) -> None:
    target = LevelTargets(
        *(f.float() if f.is_floating_point() else f for f in golden_targets()[:-1]), stride=8
    )
    raw = torch.full((2, 32, 32, 13), size, requires_grad=True)
    losses = judge([split(raw, 8)], [target])
    losses.total.backward()
    assert losses.total.isfinite()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


def perfect(target: LevelTargets, classes: int) -> LevelPrediction:
    """Invert the decoding of spec 3.2; classes and objectness are as sure as float32 allows."""
    edges = (target.edge_dists / target.stride).clamp(min=1e-3).log()
    glides = torch.logit(target.glides * 0.99 + 0.01)
    hot = torch.nn.functional.one_hot(target.labels, classes)
    objectness = torch.where(target.owner >= 0, 40.0, -40.0)
    return LevelPrediction(
        edges, glides, 6 * target.area_ratio - 3, objectness, 80.0 * hot - 40, target.stride
    )


def test_a_perfect_prediction_costs_little_and_has_finite_gradients() -> None:
    target = LevelTargets(
        *(f.float() if f.is_floating_point() else f for f in golden_targets()[:-1]), stride=8
    )
    prediction = perfect(target, 3)
    fields = [f.requires_grad_() for f in prediction if isinstance(f, torch.Tensor)]
    losses = judge([prediction], [target])
    for name in ("iou", "glide", "ratio", "distance"):
        assert getattr(losses, name).item() == pytest.approx(0, abs=1e-5), name
    assert losses.positive.item() < 0.1  # the soft target keeps it off zero
    losses.total.backward()
    assert all(f.grad is not None and f.grad.isfinite().all() for f in fields)


def test_half_precision_logits_give_float32_losses() -> None:
    predictions, targets = random_case(2)
    halves = [
        split(raw, level.stride) for level, raw in zip(targets, map(channels, predictions), strict=True)
    ]
    narrow = [
        LevelTargets(*(f.float() if f.is_floating_point() else f for f in t[:-1]), stride=t.stride)
        for t in targets
    ]
    with torch.autocast("cpu", torch.bfloat16):
        found = judge([cast(p, torch.bfloat16) for p in halves], narrow)
    same = judge([cast(cast(p, torch.bfloat16), torch.float64) for p in halves], targets)
    assert all(term.dtype == torch.float32 for term in vars(found).values())
    torch.testing.assert_close(values(found).double(), values(same), rtol=1e-4, atol=1e-5)


def channels(level: LevelPrediction) -> torch.Tensor:
    edges, glides, ratio, objectness, classes, _ = level
    return torch.cat([edges, glides, ratio.unsqueeze(-1), objectness.unsqueeze(-1), classes], dim=-1)


def cast(level: LevelPrediction, dtype: torch.dtype) -> LevelPrediction:
    return LevelPrediction(*(f.to(dtype) for f in level[:-1]), stride=level.stride)


def gradient(term: str, field: str, seed: int = 3) -> torch.Tensor:
    """Return how a term of the finest level of a random case depends on one field of its logits."""
    (fine, _), (target, _) = random_case(seed)
    getattr(fine, field).requires_grad_()
    losses = judge([fine], [target])
    (found,) = torch.autograd.grad(getattr(losses, term), getattr(fine, field))
    return found[target.owner >= 0]


@pytest.mark.parametrize("term", ["iou", "glide", "ratio", "distance"])
def test_regression_does_not_pull_at_the_class_scores(term: str) -> None:
    assert not gradient(term, "class_logits").any()


def test_what_is_joint() -> None:
    assert gradient("positive", "edge_logits").all(), "the class term teaches the location"
    assert not gradient("negative", "edge_logits").any()
    assert not gradient("foreground", "edge_logits").any(), "the quality in the credit is a constant"


def test_glides_are_masked_only_where_the_truth_is_horizontal() -> None:
    for seed in range(8):
        (fine, _), (target, _) = random_case(seed)
        owned = target.owner >= 0
        horizontal, found = (target.area_ratio > 0.9)[owned], (fine.ratio_logit > 2.4)[owned]
        learns = gradient("glide", "glide_logits", seed).any(dim=-1)
        assert torch.equal(learns, ~(horizontal & found))
