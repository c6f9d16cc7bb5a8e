"""Resampled AP against the evaluator on images that are really repeated."""

import numpy as np
import pytest

from evalR.scoring.average_precision import METRICS
from evalR.scoring.bootstrap import rank_detections, resample, weighted_ap
from evalR.scoring.columns import Found, Truth
from evalR.scoring.evaluate import Scored, score
from tests.evalR.cases import empty_case, random_case
from utils.arrays import F64, I64

CLASSES = ["a", "b", "never there"]
IMAGES = 3


def repeated(scored: Scored, weights: I64) -> dict[str, F64]:
    """Return the AP where image k stands weights[k] times, by evaluating all copies."""
    columns: list[Found | Truth] = []
    for values in (scored.found, scored.truth):
        order = np.repeat(np.arange(len(weights)), weights)
        rows = [np.flatnonzero(values.images == image) for image in order]
        taken = np.concatenate([np.zeros(0, int), *rows])
        images = np.repeat(np.arange(len(order)), [len(row) for row in rows])
        columns.append(type(values)(*(field[taken] for field in values))._replace(images=images))
    return score(columns[0], columns[1], CLASSES).result.ap


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("metric", METRICS)
def test_equals_the_evaluation_of_repeated_images(seed: int, metric: str) -> None:
    found, truth = random_case(seed)
    rng = np.random.default_rng(seed)
    if seed % 2:  # many equal scores, also within an image
        found = found._replace(scores=rng.choice([0.3, 0.6, 0.9], len(found.scores)))
    scored = score(found, truth, CLASSES)
    ranking = rank_detections(scored)
    np.testing.assert_allclose(
        weighted_ap(ranking, np.ones(IMAGES, int), metric), scored.result.ap[metric], atol=1e-12
    )
    for _ in range(5):
        weights = np.bincount(rng.integers(0, IMAGES, IMAGES), minlength=IMAGES)
        expected = repeated(scored, weights)[metric]
        np.testing.assert_allclose(weighted_ap(ranking, weights, metric), expected, atol=1e-12)


def test_draws_are_seeded_and_shared() -> None:
    rankings = tuple(rank_detections(score(*random_case(seed), CLASSES)) for seed in (3, 3, 5))
    ap = resample(rankings, IMAGES, "voc12", 20, seed=1)
    assert ap.shape == (3, 20, 3, 10)
    np.testing.assert_array_equal(ap[0], ap[1])
    np.testing.assert_array_equal(ap, resample(rankings, IMAGES, "voc12", 20, seed=1))
    assert not np.array_equal(ap, resample(rankings, IMAGES, "voc12", 20, seed=2), equal_nan=True)
    assert np.isnan(ap[:, :, 2]).all(), "a class without ground truth"


@pytest.mark.parametrize("images", [0, 2])
def test_nothing(images: int) -> None:
    ranking = rank_detections(score(*empty_case(), CLASSES))
    assert np.isnan(resample((ranking,), images, "voc07", 2, seed=0)).all()
