"""Gradient harmonising against golden numbers and a slow loop."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from modelR.losses.ghm import (
    MAX_WEIGHT,
    GradientDensity,
    classification_norms,
    regression_norms,
    smooth_gap,
    take_shared,
)
from modelR.losses.quality import cross_entropy

LOGITS = torch.tensor([[-3.0, -1, 0, 2], [-2.5, 1.5, -0.2, 3]], dtype=torch.float64)
TARGETS = torch.tensor([[0.0, 0, 1, 1], [0, 0, 0, 1]], dtype=torch.float64)
VALID = torch.tensor([[True] * 4, [True, True, False, True]])
GAPS = torch.tensor([[0.001, -0.01, 0.05, 0.3], [0, 0.02, -1.5, 0.004]], dtype=torch.float64)
MU = 0.02


def harmonise(density: GradientDensity, norms: Tensor, errors: Tensor, valid: Tensor | None = None) -> float:
    """Count, and return the weighted mean of the errors of what counts: the loss of the paper."""
    take_shared([density], [density.count(norms, valid)], torch.zeros(()))
    weights = density.weights(norms) if valid is None else density.weights(norms) * valid
    return float((weights * errors).sum() / density.counts.sum().clamp(min=1))


def classify(density: GradientDensity) -> float:
    return harmonise(density, classification_norms(LOGITS, TARGETS), cross_entropy(LOGITS, TARGETS), VALID)


def regress(density: GradientDensity) -> float:
    return harmonise(density, regression_norms(GAPS, MU), smooth_gap(GAPS, MU))


def test_golden_norms() -> None:
    expected = (0.047426, 0.268941, 0.5, 0.119203, 0.075858, 0.817574, 0.450166, 0.047426)
    assert classification_norms(LOGITS, TARGETS).flatten().tolist() == pytest.approx(expected, abs=1e-6)
    expected = (0.049938, 0.447214, 0.928477, 0.997785, 0, 0.707107, 0.999911, 0.196116)
    assert regression_norms(GAPS, MU).flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_golden_weights_and_losses() -> None:
    density = GradientDensity(5, 0.0)
    assert classify(density) == pytest.approx(0.6958925645, abs=1e-10)
    weights = density.weights(classification_norms(LOGITS, TARGETS)) * VALID
    assert weights.flatten().tolist() == pytest.approx((0.4375, 1.75, 1.75, 0.4375, 0.4375, 1.75, 0, 0.4375))
    density = GradientDensity(5, 0.0)
    assert regress(density) == pytest.approx(0.1522505682, abs=1e-10)
    weights = density.weights(regression_norms(GAPS, MU)).flatten()
    assert weights.tolist() == pytest.approx([2 / 3, 2, 2 / 3, 2 / 3, 2 / 3, 2, 2 / 3, 2 / 3])


CLASS_LOSSES = (2.7835702582, 1.5906115761, 1.2037060576)
CLASS_AVERAGES = (
    (1, 0.25, 0.25, 0, 0.25),
    (1.75, 0.4375, 0.4375, 0, 0.4375),
    (2.3125, 0.578125, 0.578125, 0, 0.578125),
)
BOX_LOSSES = (0.5075018940, 0.2985305259)


@pytest.mark.parametrize(
    ("step", "momentum", "expected"), [(classify, 0.75, CLASS_LOSSES), (regress, 0.7, BOX_LOSSES)]
)
def test_golden_momentum(
    step: Callable[[GradientDensity], float], momentum: float, expected: tuple[float, ...]
) -> None:
    """The published average begins at 0: too small by 1 - momentum^t, its losses too large by as much."""
    density = GradientDensity(5, momentum)
    plain = step(GradientDensity(5, 0.0))
    for t, loss in enumerate(expected, start=1):
        found = step(density)
        assert found / (1 - momentum**t) == pytest.approx(loss, abs=1e-9)
        assert found == pytest.approx(plain, abs=1e-12), "the same examples again change nothing"
        if step is classify:
            assert density.average.tolist() == pytest.approx(CLASS_AVERAGES[t - 1], abs=1e-12)


def slow_weights(history: list[list[float]], bins: int, momentum: float) -> list[float]:
    """Return the weights of the last norms, from the formulas, one after the other."""
    average = [0.0] * bins
    for norms in history:
        counts = [0] * bins
        for norm in norms:
            counts[min(int(norm * bins), bins - 1)] += 1
        average = [momentum * a + (1 - momentum) * c for a, c in zip(average, counts, strict=True)]
    share = 1 - momentum ** len(history)
    weights, full = [], sum(count > 0 for count in counts)
    for norm in history[-1]:
        weights.append(len(history[-1]) * share / average[min(int(norm * bins), bins - 1)] / full)
    return [min(weight, MAX_WEIGHT) for weight in weights]


@pytest.mark.parametrize("momentum", [0.0, 0.75])
@pytest.mark.parametrize("bins", [1, 10, 30])
def test_equals_the_slow_loop(bins: int, momentum: float) -> None:
    generator = torch.Generator().manual_seed(bins)
    density, history = GradientDensity(bins, momentum), []
    for count in (50, 400, 0, 7, 200):
        norms = torch.rand(count, generator=generator, dtype=torch.float64) ** 6
        history.append(norms.tolist())
        take_shared([density], [density.count(norms)], torch.zeros(()))
        assert density.weights(norms).tolist() == pytest.approx(
            slow_weights(history, bins, momentum), rel=1e-9
        )


def test_no_example_outweighs_ten() -> None:
    """One among many thousand; after a long time without one its bin is empty."""
    density = GradientDensity(10, 0.9)
    easy = torch.full((50_000,), 0.01)
    for _ in range(30):
        take_shared([density], [density.count(easy)], torch.zeros(()))
    norms = torch.cat([easy, torch.tensor([0.95])])
    take_shared([density], [density.count(norms)], torch.zeros(()))
    *others, rare = density.weights(norms).tolist()
    assert rare == MAX_WEIGHT == 10
    assert others[0] == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_largest_gradient_is_in_the_last_bin(dtype: torch.dtype) -> None:
    density = GradientDensity(10, 0.0)
    norms = classification_norms(torch.tensor([60.0, -60.0, 60.0]), torch.tensor([0.0, 0.0, 1.0])).to(dtype)
    assert density.count(norms).tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert GradientDensity(10, 0.0).count(torch.tensor([3.0])).tolist()[-1] == 1


def test_nothing_valid_weighs_nothing() -> None:
    density = GradientDensity(5, 0.75)
    assert harmonise(density, torch.rand(4), torch.rand(4), torch.zeros(4).bool()) == 0
    assert harmonise(density, torch.zeros(0), torch.zeros(0)) == 0
    assert density.average.isfinite().all()


def test_several_histograms_move_with_one_exchange() -> None:
    one, two = GradientDensity(3, 0.5), GradientDensity(5, 0.5)
    norms = torch.rand(20)
    rest = take_shared([one, two], [one.count(norms), two.count(norms)], torch.tensor(7))
    assert rest == 7
    assert one.counts.sum() == two.counts.sum() == 20
    assert torch.equal(one.counts, one.count(norms))
    assert set(one.state_dict()) == {"average", "steps", "counts"}
