"""Evaluation against the numbers of DOTA_devkit, read through our own reader."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from evalR.scoring.average_precision import METRICS
from evalR.scoring.dota_results import read_task1
from evalR.scoring.evaluate import EvalResult, ap_table, evaluate, mean_ap, mean_aps
from tests.paths import GOLDEN
from utils.records import Annotation, Detections

TRUTH = GOLDEN / "dota_eval"
golden = pytest.mark.skipif(not TRUTH.exists(), reason=f"no {TRUTH}")
SQUARE = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]]
DIAMOND = [[5.0, 0.0], [10.0, 5.0], [5.0, 10.0], [0.0, 5.0]]


def read_dota_labels(path: Path, classes: list[str]) -> Annotation:
    rows = [line.split() for line in path.read_text().splitlines()]
    return Annotation(
        path.name,
        np.array([row[:8] for row in rows], dtype=np.float32).reshape(-1, 4, 2),
        np.array([classes.index(row[8]) for row in rows], dtype=np.int64),
        np.array([row[9] for row in rows], dtype=np.int8),
    )


@pytest.fixture(scope="module")
def expected() -> dict[str, dict]:
    return json.loads((TRUTH / "expected.json").read_text())


@pytest.fixture(scope="module")
def result(expected: dict[str, dict]) -> EvalResult:
    classes = list(expected["classes"])
    images = (TRUTH / "images.txt").read_text().split()
    truths = [read_dota_labels(TRUTH / "labelTxt" / f"{image}.txt", classes) for image in images]
    return evaluate(read_task1(TRUTH / "Task1", classes, images), truths, classes)


@golden
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_agrees_with_the_devkit(expected: dict, result: EvalResult, metric: str, threshold: float) -> None:
    key = f"task1_iou{100 * threshold:.0f}_{metric}"
    devkit = [expected["ap"][name][key] for name in result.classes]
    ours = result.ap[metric][:, result.thresholds.index(threshold)]
    np.testing.assert_allclose(ours, [np.nan if v is None else v for v in devkit], atol=1e-6, rtol=0)
    assert mean_ap(result, metric, threshold) == pytest.approx(expected["mean"][key], abs=1e-6)
    assert ours[result.classes.index(expected["without_detections"])] == 0.0


def annotation(quads: list, labels: list[int]) -> Annotation:
    flags = np.zeros(len(labels), dtype=np.int8)
    array = np.array(quads, dtype=np.float32).reshape(-1, 4, 2)
    return Annotation("P1.png", array, np.array(labels, dtype=np.int64), flags)


def detections(quads: list, labels: list[int]) -> Detections:
    shaped = torch.tensor(quads).reshape(-1, 4, 2)
    return Detections(shaped, torch.linspace(0.9, 0.5, len(labels)), torch.tensor(labels, dtype=torch.int64))


def small_result() -> EvalResult:
    """One class found, one missed, one without ground truth."""
    truth, found = annotation([SQUARE, SQUARE], [0, 1]), detections([SQUARE, SQUARE], [0, 2])
    return evaluate([found], [truth], ["found", "missed", "absent"])


def test_only_classes_without_ground_truth_leave_the_mean() -> None:
    result = small_result()
    np.testing.assert_allclose(result.ap["voc12"].mean(axis=1), [1.0, 0.0, np.nan])
    assert mean_aps(result, "voc12") == {"AP50": 0.5, "AP75": 0.5, "AP50:95": 0.5}
    assert mean_ap(result, "voc07") == pytest.approx(0.5)
    assert result.ground_truths.tolist() == [1, 1, 0]
    assert result.detections.tolist() == [1, 0, 1]


def test_table_shows_the_protocol_and_every_class() -> None:
    head, names, *rows = ap_table(small_result(), "voc12").splitlines()
    assert head.startswith("voc12 (all-point AP); IoU = intersection / union of the quads")
    assert "difficult" in head
    assert names.split() == ["class", "truths", "found", "AP50", "AP75", "AP50:95"]
    assert [row.split() for row in rows] == [
        ["found", "1", "1", "100.00", "100.00", "100.00"],
        ["missed", "1", "0", "0.00", "0.00", "0.00"],
        ["absent", "0", "1", "n/a", "n/a", "n/a"],
        ["mean", "2", "2", "50.00", "50.00", "50.00"],
    ]


def test_slanted_objects_only() -> None:
    truth, found = annotation([SQUARE, DIAMOND], [0, 0]), detections([SQUARE], [0])
    assert evaluate([found], [truth], ["a"], [0.6], max_area_ratio=0.9).ap["voc12"].tolist() == [[0.0]]
    result = evaluate([detections([DIAMOND], [0])], [truth], ["a"], [0.6], max_area_ratio=0.9)
    assert result.ap["voc12"].tolist() == [[1.0]]
    assert "slanted objects only: area ratio above 0.9" in ap_table(result, "voc07")


@pytest.mark.parametrize("images", [0, 2])
def test_nothing_found_nothing_there(images: int) -> None:
    result = evaluate([detections([], [])] * images, [annotation([], [])] * images, ["a", "b"])
    assert np.isnan(mean_ap(result, "voc12", 0.5))
    assert ap_table(result, "voc12").splitlines()[-1].split()[:4] == ["mean", "0", "0", "n/a"]
    assert np.isnan(evaluate([], [], []).ap["voc07"]).all()


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"detections of image 0: expected labels from 0 to 0, got 1"):
        evaluate([detections([SQUARE], [1])], [annotation([], [])], ["a"])
    with pytest.raises(ValueError, match=r"annotation P1.png: expected labels from 0 to 0, got 1"):
        evaluate([detections([], [])], [annotation([SQUARE], [1])], ["a"])
    with pytest.raises(ValueError, match="expected detections for 1 images, got 0"):
        evaluate([], [annotation([], [])], ["a"])
    with pytest.raises(ValueError, match=r"threshold: expected one of .*, got 0.51"):
        mean_ap(small_result(), "voc12", 0.51)
