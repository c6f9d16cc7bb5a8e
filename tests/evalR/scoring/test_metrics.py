"""All figures together: the numbers of DOTA_devkit, a plain evaluator, and nothing at all."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from dataloadR.annotations import read_named
from evalR.scoring.columns import to_truth
from evalR.scoring.evaluate import COCO_THRESHOLDS, score
from evalR.scoring.metrics import measure, metrics_csv, write_metrics
from evalR.scoring.result_sets import Results, image_names, read_results
from tests.evalR.cases import empty_case, random_case
from tests.evalR.slow_evaluator import average_precision
from tests.paths import GOLDEN
from utils.quads.parts import to_boxes

DEVKIT = GOLDEN / "dota_eval"
golden = pytest.mark.skipif(not DEVKIT.exists(), reason=f"no {DEVKIT}")
SIZES = {"coco": ["all", "small", "medium", "large"], "ai_tod": ["very_tiny", "tiny", "small", "medium"]}


@pytest.fixture(scope="module")
def devkit_metrics() -> dict:
    names = image_names(DEVKIT / "images.txt")
    annotations, classes = read_named(DEVKIT, names, "val")
    results = [read_results(DEVKIT / folder, classes, names) for folder in ("Task1", "Task2")]
    results = Results(results[0].quads, results[1].boxes)
    return measure(classes, to_truth(annotations), results, {}).metrics


@golden
@pytest.mark.parametrize("task", ["task1", "task2"])
def test_everything_the_devkit_says(devkit_metrics: dict, task: str) -> None:
    expected = json.loads((DEVKIT / "expected.json").read_text())
    for metric in ("voc07", "voc12"):
        for percent in (50, 75):
            ours, key = devkit_metrics[task][metric][f"AP{percent}"], f"{task}_iou{percent}_{metric}"
            assert ours["mean"] == pytest.approx(expected["mean"][key], abs=1e-6)
            assert set(ours["per_class"]) == set(expected["classes"])
            for name, value in expected["ap"].items():
                assert ours["per_class"][name] == pytest.approx(value[key], abs=1e-6), name


@golden
def test_figures_agree_with_one_another(devkit_metrics: dict) -> None:
    for task in ("task1", "task2"):
        values = devkit_metrics[task]
        table, errors = np.array(values["confusion"]["rows"]), values["errors"]
        assert table[:-1].sum() == sum(values["objects"].values())
        spans = [values["voc12"][f"AP{percent}"]["mean"] for percent in range(50, 100, 5)]
        assert values["voc12"]["AP50:95"]["mean"] == pytest.approx(np.mean(spans))
        assert all(error["count"] == sum(error["per_class"].values()) for error in errors.values())
        assert all(error["cost"] >= 0 for error in errors.values())
        assert sum(values["calibration"]["bins"]["counts"]) <= sum(values["detections"].values())
        rows = list(csv.DictReader(io.StringIO(metrics_csv(devkit_metrics))))
        mean = next(row for row in rows if (row["task"], row["class"]) == (task, "mean"))
        assert float(mean["voc07_AP75"]) == values["voc07"]["AP75"]["mean"]
        assert float(mean["best_f1"]) == values["best_f1"]["f1"]["mean"]
        assert float(mean["coco_AP50:95"]) == values["sizes"]["coco"]["all"]["AP50:95"]["mean"]
        assert float(mean["ai_tod_medium"]) == values["sizes"]["ai_tod"]["medium"]["AP50:95"]["mean"]
        assert float(mean["AR100"]) == values["coco"]["AR"]["100"]["mean"]
        assert (mean["score"], mean["oLRP_score"]) == ("", "")
        for row in rows:
            if row["task"] == task and row["class"] != "mean" and row["oLRP_score"]:
                assert float(row["oLRP"]) == values["coco"]["lrp"]["total"]["per_class"][row["class"]]
                assert float(row["oLRP_score"]) == values["coco"]["lrp"]["score"][row["class"]]


@pytest.mark.parametrize("seed", range(50))
def test_agrees_with_the_plain_evaluator(seed: int) -> None:
    found, truth = random_case(seed)
    if seed % 2:
        found, truth = (c._replace(shapes=to_boxes(c.shapes)) for c in (found, truth))
    result = score(found, truth, ["a", "b"]).result
    for label in (0, 1):
        detections = [
            (int(image), float(value), shape.tolist())
            for image, own, value, shape in zip(*found, strict=True)
            if own == label
        ]
        objects = [
            (int(image), bool(difficult), shape.tolist())
            for image, own, difficult, shape in zip(*truth, strict=True)
            if own == label
        ]
        for column in (0, 4, 8):
            for metric in ("voc07", "voc12"):
                slow = average_precision(detections, objects, COCO_THRESHOLDS[column], metric)
                assert result.ap[metric][label, column] == pytest.approx(slow, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("what", ["images", "truths", "detections", "classes"])
def test_nothing_gives_null_and_is_json(what: str, tmp_path: Path) -> None:
    found, truth = random_case(3)
    found = empty_case()[0] if what != "truths" else found
    truth = empty_case()[1] if what != "detections" else truth
    classes = [] if what == "classes" else ["a", "b"]
    evaluation = measure(classes, truth, Results(found, None), {"split": "val"})
    write_metrics(tmp_path, evaluation.metrics)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    values = metrics["task2"]["voc12"]["AP50"]
    assert values["mean"] == (0.0 if what == "detections" else None)
    assert values["per_class"] == dict.fromkeys(classes, values["mean"])
    assert metrics["task1"]["errors"]["missed"]["cost"] == (1.0 if what == "detections" else None)
    assert {name: list(metrics["task1"]["sizes"][name]) for name in SIZES} == SIZES
    assert (tmp_path / "metrics.csv").read_text().startswith("task,class,objects,detections,voc07_AP50,")


def test_without_a_task() -> None:
    found, truth = random_case(5)
    boxes = found._replace(shapes=to_boxes(found.shapes))
    metrics = measure(["a", "b"], truth, Results(None, boxes), {}).metrics
    assert metrics["task1"] is None
    assert metrics["task2"]["angle"] is None
    assert metrics["task2"] == measure(["a", "b"], truth, Results(found, None), {}).metrics["task2"]
