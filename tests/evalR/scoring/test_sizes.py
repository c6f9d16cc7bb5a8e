"""AP by size: by hand, and against COCO's matching in plain loops."""

import numpy as np
import pytest

from evalR.scoring.columns import Found, Truth
from evalR.scoring.evaluate import COCO_THRESHOLDS, Scored, score
from evalR.scoring.sizes import (
    AI_TOD,
    COCO,
    WHOLE,
    Range,
    SizeResult,
    by_rank,
    find_contenders,
)
from evalR.scoring.sizes import score_sizes as score_contenders


def boxes(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


def found(rows: list[list[float]], scores: list[float]) -> Found:
    zeros = np.zeros(len(rows), np.int64)
    return Found(zeros, zeros, np.array(scores, float), boxes(rows))


def truth(rows: list[list[float]], difficult: list[bool]) -> Truth:
    zeros = np.zeros(len(rows), np.int64)
    return Truth(zeros, zeros, np.array(difficult, bool), boxes(rows))


def score_sizes(scored: Scored, ranges: list[Range]) -> list[SizeResult]:
    return score_contenders(scored, find_contenders(scored), ranges)


def ap50(detections: Found, objects: Truth, area: Range) -> float:
    (result,) = score_sizes(score(detections, objects, ["a"]), [area])
    return float(result.ap[0, 0])


def test_ranges_are_those_of_coco_and_ai_tod() -> None:
    assert [tuple(area) for area in AI_TOD.values()] == [(0, 64), (64, 256), (256, 1024), (1024, 1e10)]
    assert [tuple(area) for area in COCO.values()] == [(0, 1e10), (0, 1024), (1024, 9216), (9216, 1e10)]


def test_both_ends_belong_to_a_range() -> None:
    objects = truth([[0, 0, 8, 8]], [False])
    (tiny, very_tiny, small) = score_sizes(
        score(found([], []), objects, ["a"]), [AI_TOD["tiny"], AI_TOD["very_tiny"], AI_TOD["small"]]
    )
    assert (tiny.objects.tolist(), very_tiny.objects.tolist(), small.objects.tolist()) == ([1], [1], [0])
    assert tiny.ap[0, 0] == 0
    assert np.isnan(small.ap).all()


def test_other_sizes_are_ignored() -> None:
    objects = truth([[0, 0, 10, 10], [100, 100, 200, 200]], [False, False])
    rows = [[100, 100, 200, 200], [300, 300, 400, 400], [500, 500, 510, 510], [0, 0, 10, 10]]
    detections = found(rows, [0.9, 0.8, 0.7, 0.6])
    # small: the first lies on a large object, the second is large itself, the third counts against it
    assert ap50(detections, objects, COCO["small"]) == pytest.approx(0.5)
    assert ap50(detections, objects, COCO["large"]) == pytest.approx(1.0)
    assert ap50(detections, objects, WHOLE) == pytest.approx((51 * 1.0 + 50 * 0.5) / 101)


def test_difficult_ones_may_be_found_any_number_of_times() -> None:
    objects = truth([[0, 0, 10, 10], [50, 50, 60, 60]], [True, False])
    rows = [[0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60]]
    assert ap50(found(rows, [0.9, 0.8, 0.7]), objects, WHOLE) == pytest.approx(1.0)


def test_places_in_an_image_and_class() -> None:
    labels, images = np.array([0, 0, 0, 1, 0, 0]), np.array([0, 0, 0, 0, 1, 1])
    detections = Found(images, labels, np.array([0.5, 0.9, 0.7, 0.1, 0.2, 0.2]), np.zeros((6, 4)))
    order, places = by_rank(detections)
    assert order.tolist() == [1, 2, 0, 3, 4, 5]
    assert places.tolist() == [0, 1, 2, 0, 0, 1]
    assert [len(values) for values in by_rank(found([], []))] == [0, 0]


def slow_ap(detections: Found, objects: Truth, threshold: float, area: Range) -> float:
    """Return COCO's AP of one class in one image, as its protocol says it in words."""
    sizes = [(s[2] - s[0]) * (s[3] - s[1]) for s in objects.shapes]
    ignored = [
        bool(d) or not area.least <= s <= area.most for d, s in zip(objects.difficult, sizes, strict=True)
    ]
    taken, hits, misses, curve = set(), 0, 0, []
    for row in np.argsort(-detections.scores, kind="stable"):
        box, candidates = detections.shapes[row], []
        for k, other in enumerate(objects.shapes):
            width = min(box[2], other[2]) - max(box[0], other[0]) + 1
            height = min(box[3], other[3]) - max(box[1], other[1]) + 1
            shared = max(width, 0) * max(height, 0)
            both = sum((c[2] - c[0] + 1) * (c[3] - c[1] + 1) for c in (box, other))
            overlap = shared / (both - shared)
            if overlap >= threshold and (k not in taken or objects.difficult[k]):
                candidates.append((not ignored[k], overlap, k))
        own = (box[2] - box[0]) * (box[3] - box[1])
        if candidates:
            counts, _, k = max(candidates)
            taken.add(k)
            hits += counts
        else:
            misses += area.least <= own <= area.most
        curve.append((hits / max(sum(not i for i in ignored), 1), hits / max(hits + misses, 1)))
    if all(ignored):
        return float("nan")
    points = np.linspace(0, 1, 101)
    return float(np.mean([max((p for r, p in curve if r >= point), default=0.0) for point in points]))


@pytest.mark.parametrize("seed", range(12))
def test_agrees_with_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners, sides = rng.uniform(0, 50, (12, 2)), rng.uniform(3, 60, (12, 2))
    objects = truth(np.concatenate([corners, corners + sides], 1).tolist(), rng.uniform(size=12) < 0.2)
    rows = objects.shapes[rng.integers(0, 12, 40)] + rng.normal(0, 2, (40, 4))
    rows[:, 2:] = np.maximum(rows[:, 2:], rows[:, :2] + 1)
    detections = found(rows.tolist(), rng.permutation(40) / 40)
    ranges = [*COCO.values(), *AI_TOD.values()]
    results = score_sizes(score(detections, objects, ["a"]), ranges)
    for area, result in zip(ranges, results, strict=True):
        for column in (0, 5):
            slow = slow_ap(detections, objects, COCO_THRESHOLDS[column], area)
            assert result.ap[0, column] == pytest.approx(slow, abs=1e-9, nan_ok=True)
