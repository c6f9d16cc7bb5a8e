"""Matching and AP against what DOTA_devkit says about the same overlaps (tests/golden/README.md)."""

import json
from typing import NamedTuple

import numpy as np
import pytest

from evalR.scoring.average_precision import average_precision
from evalR.scoring.columns import Found, Truth
from evalR.scoring.evaluate import class_curve
from evalR.scoring.matching import judge, match
from evalR.scoring.pairs import Pairs
from tests.paths import OWN_GOLDEN

STEP = 10_000  # of a score


class Case(NamedTuple):
    found: Found
    truth: Truth
    pairs: Pairs


def read_case(task: str) -> Case:
    table = {name: values.astype(np.int64) for name, values in np.load(OWN_GOLDEN / "devkit.npz").items()}
    iou = np.load(OWN_GOLDEN / "devkit.npz")[f"{task}_iou"]
    detections, truths = len(table[f"{task}_scores"]), len(table["truth_labels"])
    found = Found(
        table[f"{task}_images"],
        table[f"{task}_labels"],
        table[f"{task}_scores"] / STEP,
        np.zeros((detections, 4)),
    )
    difficult = table["truth_difficult"] != 0
    truth = Truth(table["truth_images"], table["truth_labels"], difficult, np.zeros((truths, 4)))
    return Case(found, truth, Pairs(table[f"{task}_found"], table[f"{task}_truth"], iou))


@pytest.mark.parametrize("metric", ["voc07", "voc12"])
@pytest.mark.parametrize("percent", [50, 75])
@pytest.mark.parametrize("task", ["task1", "task2"])
def test_agrees_with_the_devkit(task: str, percent: int, metric: str) -> None:
    expected = json.loads((OWN_GOLDEN / "devkit.json").read_text())
    case, key = read_case(task), f"{task}_iou{percent}_{metric}"
    matches = match(*case, len(expected["classes"]))
    verdicts = judge(matches, percent / 100)
    ours = {}
    for label, name in enumerate(expected["classes"]):
        precision, recall = class_curve(matches, verdicts, label)
        ours[name] = average_precision(recall, precision, metric)
    assert ours == pytest.approx({name: ap[key] for name, ap in expected["ap"].items()}, abs=1e-6)
    assert np.mean(list(ours.values())) == pytest.approx(expected["mean"][key], abs=1e-6)
    assert ours[expected["without_detections"]] == 0.0


def test_the_case_has_what_decides() -> None:
    """Difficult ground truth, duplicates, overlaps of other classes, detections with several candidates."""
    found, truth, pairs = read_case("task1")
    same = found.labels[pairs.found] == truth.labels[pairs.truth]
    assert truth.difficult.sum() == 328
    assert (~same).sum() > 50
    assert (np.bincount(pairs.found[same & (pairs.iou > 0.1)]) > 1).sum() > 10
    best = pairs.take(same & (pairs.iou > 0.5))
    assert (np.bincount(best.truth) > 1).sum() > 50
