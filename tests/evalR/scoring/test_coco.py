"""AP25, AR by the number of detections, and optimal LRP: by hand, against plain loops, and pycocotools."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest

from evalR.report.console import metrics_text
from evalR.scoring.coco import LIMITS, least_lrp, score_coco
from evalR.scoring.columns import Found, Truth
from evalR.scoring.evaluate import COCO_THRESHOLDS, score
from evalR.scoring.metrics import measure
from evalR.scoring.result_sets import Results
from evalR.scoring.sizes import AI_TOD, COCO, WHOLE, find_contenders, score_sizes

Case = tuple[Found, Truth]
CLASSES = ["a", "b", "c"]
FIELDS = ("total", "localisation", "false_positives", "false_negatives", "score")


def to_quads(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def random_case(seed: int) -> Case:
    """Return upright quads of 3 classes in 4 images; every other case has ties, some have nothing."""
    rng = np.random.default_rng(seed)
    objects, detections = (0 if seed % 10 == k else n for k, n in ((7, 25), (8, 90)))
    corners, sides = rng.uniform(0, 60, (objects, 2)), 2 ** rng.uniform(1, 6, (objects, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1)
    labels, images = rng.integers(0, 3 - (seed % 5 == 0), objects), np.sort(rng.integers(0, 4, objects))
    truth = Truth(images, labels, rng.uniform(size=objects) < 0.15 * (seed % 3), to_quads(boxes))
    picked = rng.integers(0, max(objects, 1), detections)
    near = boxes[picked] if objects else np.tile([[0.0, 0, 9, 9]], (detections, 1))
    near = near + rng.normal(0, 1.5, (detections, 4)) * rng.integers(0, 2, (detections, 1))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
    own = images[picked] if objects else rng.integers(0, 4, detections)
    kind = labels[picked] if objects else rng.integers(0, 3, detections)
    kind = np.where(rng.uniform(size=detections) < 0.2, rng.integers(0, 3, detections), kind)
    scores = np.round(rng.uniform(size=detections), 1 if seed % 2 else 6)
    order = np.argsort(own, kind="stable")
    return Found(own[order], kind[order], scores[order], to_quads(near[order])), truth


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    (ax, ay), (au, av), (bx, by), (bu, bv) = a[0], a[2], b[0], b[2]
    shared = max(min(au, bu) - max(ax, bx), 0) * max(min(av, bv) - max(ay, by), 0)
    return shared / ((au - ax) * (av - ay) + (bu - bx) * (bv - by) - shared)


def slow_matches(case: Case, label: int, threshold: float, most: int) -> tuple[list[Any], int]:
    """Return (score, "true", IoU), (score, "false", 0) of the detections that count, and the objects."""
    found, truth = case
    results = []
    for image in range(4):
        mine = [k for k in range(len(truth.labels)) if (truth.images[k], truth.labels[k]) == (image, label)]
        rows = [k for k in range(len(found.labels)) if (found.images[k], found.labels[k]) == (image, label)]
        rows.sort(key=lambda row: -found.scores[row])
        taken = set()
        for row in rows[:most]:
            best = None
            for k in mine:
                value = overlap(found.shapes[row], truth.shapes[k])
                if value < min(threshold, 1 - 1e-10) or (k in taken and not truth.difficult[k]):
                    continue
                if best is None or (not truth.difficult[k], value) >= best[:2]:
                    best = (not truth.difficult[k], value, k)
            if best is None:
                results.append((found.scores[row], "false", 0.0))
            else:
                taken.add(best[2])
                if best[0]:
                    results.append((found.scores[row], "true", best[1]))
    objects = sum(not d for d, own in zip(truth.difficult, truth.labels, strict=True) if own == label)
    return sorted(results, key=lambda result: -result[0]), objects


def slow_ap(case: Case, label: int, threshold: float) -> float:
    results, objects = slow_matches(case, label, threshold, 1500)
    if not objects:
        return float("nan")
    curve = []
    for k in range(1, len(results) + 1):
        hits = sum(kind == "true" for _, kind, _ in results[:k])
        curve.append((hits / objects, hits / k))
    points = np.linspace(0, 1, 101)
    return float(np.mean([max((p for r, p in curve if r >= point), default=0.0) for point in points]))


def slow_recall(case: Case, label: int, most: int) -> float:
    shares = []
    for threshold in COCO_THRESHOLDS:
        results, objects = slow_matches(case, label, threshold, most)
        shares.append(sum(r[1] == "true" for r in results) / objects if objects else float("nan"))
    return float(np.mean(shares))


def slow_lrp(case: Case, label: int) -> tuple[float, ...]:
    """Return the least LRP over all cuts: the definition of the paper, one cut after the other."""
    results, objects = slow_matches(case, label, 0.5, 1500)
    nan = float("nan")
    if not objects:
        return (nan,) * 5
    best = (1.0, nan, nan, 1.0, nan)  # nothing is kept
    for cut in sorted({result[0] for result in results}, reverse=True):
        kept = [result for result in results if result[0] >= cut]
        hits = [value for _, kind, value in kept if kind == "true"]
        false, missed = len(kept) - len(hits), objects - len(hits)
        lrp = (sum((1 - v) / 0.5 for v in hits) + false + missed) / (len(hits) + false + missed)
        if lrp < best[0] - 1e-12 and hits:
            loss = float(np.mean([1 - v for v in hits]))
            best = (lrp, loss, false / len(kept), missed / objects, cut)
    return best


@pytest.mark.parametrize("seed", range(60))
def test_agrees_with_plain_loops(seed: int) -> None:
    case = random_case(seed)
    scored = score(*case, CLASSES)
    figures = score_coco(scored, find_contenders(scored))
    for label in range(3):
        assert figures.ap25[label] == pytest.approx(slow_ap(case, label, 0.25), abs=1e-9, nan_ok=True)
        for row, limit in enumerate(LIMITS):
            slow = slow_recall(case, label, limit)
            assert figures.recalls[row, label] == pytest.approx(slow, abs=1e-9, nan_ok=True)
        found = [column[label] for column in figures.lrp]
        assert found == pytest.approx(list(slow_lrp(case, label)), abs=1e-9, nan_ok=True)


def test_lrp_by_hand() -> None:
    """Two objects; a true detection of IoU 0.8, a false one, a true one of 0.6."""
    ranking = (np.array([0.9, 0.8, 0.7]), np.array([1, 0, 1], bool), np.array([0, 1, 0], bool))
    overlaps = np.array([0.8, 0.0, 0.6])
    # cut at 0.9: (0.4 + 1 missed) / 2 = 0.7; at 0.8: 2.4 / 3 = 0.8; at 0.7: (0.4 + 0.8 + 1) / 3 = 0.7333
    assert least_lrp(ranking, overlaps, 2) == pytest.approx((0.7, 0.2, 0, 0.5, 0.9))
    tied = (np.array([0.9, 0.9, 0.7]), *ranking[1:])  # cannot be cut after the first
    assert least_lrp(tied, overlaps, 2) == pytest.approx((2.2 / 3, 0.3, 1 / 3, 0, 0.7))


def test_nothing_true_leaves_an_error_of_one() -> None:
    nothing = np.zeros(0)
    none = (1.0, float("nan"), float("nan"), 1.0, float("nan"))
    no = nothing.astype(bool)
    assert least_lrp((nothing, no, no), nothing, 3) == pytest.approx(none, nan_ok=True)
    wrong = (np.array([0.9]), np.array([False]), np.array([True]))
    assert least_lrp(wrong, np.zeros(1), 3) == pytest.approx(none, nan_ok=True)


def test_limits_and_ranges_are_those_of_ai_tod() -> None:
    """One detection of an image finds one object, a hundred find a hundred, 1500 all."""
    assert LIMITS == (1, 100, 1500)
    assert {name: tuple(area) for name, area in AI_TOD.items()} == {
        "very_tiny": (0, 64),
        "tiny": (64, 256),
        "small": (256, 1024),
        "medium": (1024, 1e10),
    }
    corners = np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 2)[:1600] * 20.0
    quads, zeros = to_quads(np.concatenate([corners, corners + 8], axis=1)), np.zeros(1600, np.int64)
    found = Found(zeros, zeros, np.linspace(1, 0.1, 1600), quads)
    scored = score(found, Truth(zeros, zeros, np.zeros(1600, bool), quads), ["a"])
    candidates = find_contenders(scored)
    assert score_coco(scored, candidates).recalls[:, 0].tolist() == [1 / 1600, 100 / 1600, 1500 / 1600]
    sizes = dict(zip(AI_TOD, score_sizes(scored, candidates, list(AI_TOD.values())), strict=True))
    counts = {name: int(result.objects[0]) for name, result in sizes.items()}
    assert counts == {"very_tiny": 1600, "tiny": 1600, "small": 0, "medium": 0}  # exactly 64 px: in both


def test_printed_in_percent() -> None:
    evaluation = measure(CLASSES, random_case(2)[1], Results(random_case(2)[0], None), {})
    values, lines = evaluation.metrics["task1"], metrics_text(evaluation, "voc12").splitlines()
    heads = next(line for line in lines if line.startswith("mean AP at IoU")).split()[4:]
    assert heads == [f"0.{percent}" for percent in range(50, 100, 5)]
    row = next(line for line in lines if line.startswith("mvoc12")).split()[1:]
    assert row == [f"{100 * values['voc12'][f'AP{p}']['mean']:.2f}" for p in range(50, 100, 5)]
    place = next(k for k, line in enumerate(lines) if "AR@1500" in line)
    assert lines[place].split() == ["mean", "AP25", "AP50", "AP75", "AP50:95", "AR@1", "AR@100", "AR@1500"]
    expected = [
        values["coco"]["AP25"],
        *(values["sizes"]["coco"]["all"][n] for n in lines[place].split()[2:5]),
    ]
    expected += values["coco"]["AR"].values()
    assert lines[place + 1].split() == [f"{100 * part['mean']:.2f}" for part in expected]
    expected = [values["coco"]["lrp"][part]["mean"] for part in FIELDS[:-1]]
    assert lines[place + 3].split()[-4:] == [f"{100 * value:.2f}" for value in expected]


@pytest.mark.parametrize("seed", [0, 1, 3, 4, 6, 9, 10, 12])
def test_agrees_with_pycocotools(seed: int) -> None:
    """Where it is installed, on cases without crowds, which it compares by another overlap."""
    tools = pytest.importorskip("pycocotools.cocoeval", reason="needs pycocotools")
    found, truth = random_case(seed)
    truth = truth._replace(difficult=np.zeros_like(truth.difficult))
    scored = score(found, truth, CLASSES)
    candidates = find_contenders(scored)
    figures = score_coco(scored, candidates)
    ranges = {"all": WHOLE, **COCO, **AI_TOD}
    evaluator = tools.COCOeval(*coco_tables(found, truth), "bbox")
    evaluator.params.maxDets = list(LIMITS)
    evaluator.params.iouThrs = np.array([0.25, *COCO_THRESHOLDS])
    evaluator.params.areaRng = [list(area) for area in ranges.values()]
    evaluator.params.areaRngLbl = list(map(str, range(len(ranges))))
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recall = (np.where(a < 0, np.nan, a) for a in map(evaluator.eval.get, ("precision", "recall")))
    assert figures.ap25 == pytest.approx(precision[0, :, :, 0, -1].mean(axis=0), abs=1e-9, nan_ok=True)
    assert figures.recalls == pytest.approx(recall[1:, :, 0].mean(axis=0).T, abs=1e-9, nan_ok=True)
    for place, result in enumerate(score_sizes(scored, candidates, list(ranges.values()))):
        theirs = precision[1:, :, :, place, -1].mean(axis=1).T
        assert result.ap == pytest.approx(theirs, abs=1e-9, nan_ok=True)
        assert result.recall == pytest.approx(recall[1:, :, place, -1].T, abs=1e-9, nan_ok=True)


def coco_tables(found: Found, truth: Truth) -> tuple[Any, Any]:
    """Return truth and detections as pycocotools reads them."""
    coco = pytest.importorskip("pycocotools.coco")

    def node(k: int, columns: Found | Truth) -> dict[str, Any]:
        (x, y), (u, v) = columns.shapes[k][0].tolist(), columns.shapes[k][2].tolist()
        box = {"bbox": [x, y, u - x, v - y], "area": (u - x) * (v - y), "id": k + 1}
        return box | {"image_id": int(columns.images[k]), "category_id": int(columns.labels[k])}

    head = {
        "images": [{"id": k} for k in range(4)],
        "categories": [{"id": k} for k in range(3)],
        "info": {},
    }
    tables = []
    for columns in (truth, found):
        nodes = [node(k, columns) for k in range(len(columns.labels))]
        if isinstance(columns, Found):
            nodes = [n | {"score": float(s)} for n, s in zip(nodes, columns.scores, strict=True)]
        table = coco.COCO()
        table.dataset = head | {"annotations": [{**n, "iscrowd": 0} for n in nodes]}
        with contextlib.redirect_stdout(io.StringIO()):
            table.createIndex()
        tables.append(table)
    return tables[0], tables[1]
