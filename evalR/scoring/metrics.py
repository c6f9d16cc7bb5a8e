"""Metrics of an evaluation as plain values, for metrics.json and metrics.csv; n/a is None.

{"protocol": .., "task1": {"voc07": {"AP50": {"mean": .., "per_class": {NAME: ..}}, "AP55": ..,
"AP50:95": ..}, "voc12": .., "slanted": .., "sizes": .., "coco": .., "aspect": ..,
"angle_bins": .., "best_f1": .., "confusion": .., "errors": ..,
"angle": .., "calibration": ..}, "task2": ..}
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalR.scoring.angles import angle_errors
from evalR.scoring.average_precision import METRICS
from evalR.scoring.best_f1 import BestF1, best_f1
from evalR.scoring.calibration import calibrate
from evalR.scoring.coco import LIMITS, score_coco
from evalR.scoring.columns import Bools, Truth
from evalR.scoring.confusion import confusion_matrix
from evalR.scoring.errors import ERROR_KINDS, MISSED, error_costs, find_errors, kind_counts
from evalR.scoring.evaluate import EvalResult, Scored, known_mean, score, score_cuts, score_slanted
from evalR.scoring.matching import I8, RIGHT_IOU, judge
from evalR.scoring.result_sets import Results
from evalR.scoring.shapes_of_truth import ANGLE_RANGES, ASPECT_RANGES, angle_bins, aspect_bins
from evalR.scoring.sizes import (
    MAX_DETECTIONS,
    TABLES,
    WHOLE,
    Contenders,
    Range,
    SizeResult,
    find_contenders,
    score_sizes,
)
from utils.arrays import F64
from utils.files import write_json, write_text
from utils.quads.parts import to_boxes
from utils.tables import table_text

Values = dict[str, Any]
SLANTED = 0.9  # area ratio: objects above it are read as horizontal boxes, those below need their quad
COLUMNS = ("AP50", "AP75", "AP50:95")  # of metrics.csv
LRP_PARTS = {  # of `OptimalLrp`, as metrics.csv calls them
    "total": "oLRP",
    "localisation": "oLRP_localisation",
    "false_positives": "oLRP_false_positives",
    "false_negatives": "oLRP_false_negatives",
}


class Evaluation(NamedTuple):
    """Both tasks of DOTA, as far as there are results, and all figures."""

    task1: Scored | None
    task2: Scored | None
    metrics: Values


def measure(classes: Sequence[str], truth: Truth, results: Results, protocol: Values) -> Evaluation:
    """Return the figures of both tasks; without boxes, task 2 has those around the quads of task 1."""
    quads, boxes = results
    if boxes is None and quads is not None:
        boxes = quads._replace(shapes=to_boxes(quads.shapes))
    task1 = score(quads, truth, classes) if quads else None
    task2 = score(boxes, truth._replace(shapes=to_boxes(truth.shapes)), classes) if boxes else None
    metrics = {
        "protocol": protocol,
        "task1": task_metrics(task1) if task1 else None,
        "task2": task_metrics(task2) if task2 else None,
    }
    return Evaluation(task1, task2, metrics)


def task_metrics(scored: Scored) -> Values:
    """Return the figures of one task."""
    classes, result = scored.classes, scored.result
    verdicts = judge(scored.matches, RIGHT_IOU)
    best = best_f1(scored.found, scored.matches, verdicts)
    quads = scored.found.shapes.ndim == 3
    contenders = find_contenders(scored)
    return {
        "objects": _by_class(classes, result.ground_truths),
        "detections": _by_class(classes, result.detections),
        **_ap_tables(result),
        "slanted": _ap_tables(score_slanted(scored, SLANTED)) if quads else None,
        "sizes": _sizes(scored, contenders),
        "coco": _coco(scored, contenders),
        "aspect": _cuts(scored, ASPECT_RANGES, aspect_bins(scored.truth)) if quads else None,
        "angle_bins": _cuts(scored, ANGLE_RANGES, angle_bins(scored.truth)) if quads else None,
        "best_f1": _best_f1(classes, best),
        "confusion": _confusion(scored, verdicts, best.score),
        "errors": _errors(scored, verdicts),
        "angle": _angle(scored, verdicts) if quads else None,
        "calibration": _calibration(scored, verdicts),
    }


def _ap_tables(result: EvalResult) -> Values:
    return {metric: _ap_table(result.classes, result.thresholds, result.ap[metric]) for metric in METRICS}


def _ap_table(classes: Sequence[str], thresholds: Sequence[float], ap: F64) -> Values:
    """Return mean and classes of AP (C, T) at each threshold and over all."""
    percents = [round(100 * threshold) for threshold in thresholds]
    columns = {f"AP{percent}": ap[:, k] for k, percent in enumerate(percents)}
    columns[f"AP{percents[0]}:{percents[-1]}"] = ap.mean(axis=1)
    return {name: _mean_and_classes(classes, values) for name, values in columns.items()}


def _mean_and_classes(classes: Sequence[str], values: F64) -> Values:
    return {"mean": json_values(known_mean(values)), "per_class": _by_class(classes, values)}


def _by_class(classes: Sequence[str], values: NDArray[Any]) -> Values:
    return dict(zip(classes, json_values(values), strict=True))


def json_values(values: Any) -> Any:
    """Return numbers of numpy as those of JSON; NaN becomes None, for JSON knows no NaN."""
    if isinstance(values, np.ndarray):
        return [json_values(value) for value in values.tolist()]
    return None if isinstance(values, float) and np.isnan(values) else values


def _sizes(scored: Scored, contenders: Contenders) -> Values:
    ranges = list(dict.fromkeys(area for table in TABLES.values() for area in table.values()))
    results = dict(zip(ranges, score_sizes(scored, contenders, ranges), strict=True))
    tables = {
        name: {size: _size(scored, area, results[area]) for size, area in table.items()}
        for name, table in TABLES.items()
    }
    return {"max_detections": MAX_DETECTIONS, **tables}


def _size(scored: Scored, area: Range, result: SizeResult) -> Values:
    table = _ap_table(scored.classes, scored.result.thresholds, result.ap)
    return {
        "square_pixels": list(area),
        "objects": _by_class(scored.classes, result.objects),
        **{name: values for name, values in table.items() if name in COLUMNS or area == WHOLE},
        "AR": _mean_and_classes(scored.classes, result.recall.mean(axis=1)),
    }


def _coco(scored: Scored, contenders: Contenders) -> Values:
    """Return AP25, AR at most so many detections, and optimal LRP."""
    figures, classes = score_coco(scored, contenders), scored.classes
    lrp = figures.lrp._asdict()
    return {
        "AP25": _mean_and_classes(classes, figures.ap25),
        "AR": {
            str(limit): _mean_and_classes(classes, row)
            for limit, row in zip(LIMITS, figures.recalls, strict=True)
        },
        "lrp": {
            "iou": RIGHT_IOU,
            **{part: _mean_and_classes(classes, lrp[part]) for part in LRP_PARTS},
            "score": _by_class(classes, figures.lrp.score),
        },
    }


def _cuts(scored: Scored, bins: dict[str, tuple[float, float]], cuts: Sequence[Bools]) -> Values:
    """Return the figures over the ground truths of each bin alone."""
    results = dict(zip(bins, score_cuts(scored, cuts), strict=True))
    return {name: _cut(scored, bins[name], result) for name, result in results.items()}


def _cut(scored: Scored, ends: tuple[float, float], result: EvalResult) -> Values:
    return {
        "from": ends[0],
        "to": ends[1] if np.isfinite(ends[1]) else None,
        "objects": _by_class(scored.classes, result.ground_truths),
        **{metric: {name: table[name] for name in COLUMNS} for metric, table in _ap_tables(result).items()},
    }


def _best_f1(classes: Sequence[str], best: BestF1) -> Values:
    columns = best._asdict()
    return {name: _mean_and_classes(classes, columns[name]) for name in ("f1", "precision", "recall")} | {
        "score": _by_class(classes, best.score)
    }


def _confusion(scored: Scored, verdicts: I8, least: F64) -> Values:
    """Return the table, a row for each true class; the least scores are those of the best F1."""
    return {
        "iou": RIGHT_IOU,
        "names": [*scored.classes, "background"],
        "rows": json_values(confusion_matrix(scored, verdicts, RIGHT_IOU, least)),
    }


def _errors(scored: Scored, verdicts: I8) -> Values:
    errors = find_errors(scored, verdicts, RIGHT_IOU)
    costs = error_costs(scored, verdicts, errors)
    counts = dict(zip((*ERROR_KINDS, MISSED), kind_counts(scored, errors), strict=True))
    return {
        kind: {
            "count": int(row.sum()),
            "cost": json_values(costs[kind]),
            "per_class": _by_class(scored.classes, row),
        }
        for kind, row in counts.items()
    }


def _angle(scored: Scored, verdicts: I8) -> Values:
    degrees, true = angle_errors(scored, verdicts)
    labels = scored.found.labels[true]
    means = np.array([known_mean(degrees[labels == label]) for label in range(len(scored.classes))])
    shares = {"median": 50, "percentile_90": 90}
    return {
        "unit": "degrees",
        "mean": json_values(known_mean(degrees)),
        **{name: float(np.percentile(degrees, q)) if len(degrees) else None for name, q in shares.items()},
        "per_class": _by_class(scored.classes, means),
    }


def _calibration(scored: Scored, verdicts: I8) -> Values | None:
    """Return how scores and precision agree; None where scores are not between 0 and 1."""
    scores = scored.found.scores
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        return None
    found = calibrate(scores, verdicts)
    return {
        "expected_error": json_values(found.error),
        "bins": {
            "counts": json_values(found.counts),
            "scores": json_values(found.scores),
            "precision": json_values(found.precision),
        },
    }


def write_metrics(folder: Path, metrics: Values) -> None:
    """Write metrics.json and metrics.csv."""
    write_json(folder / "metrics.json", metrics, indent=1)
    write_text(folder / "metrics.csv", metrics_csv(metrics))


def metrics_csv(metrics: Values) -> str:
    """Return a table with a row for each task and class, and one for their mean; n/a is empty."""
    tasks = {task: metrics[task] for task in ("task1", "task2") if metrics[task]}
    heads = ["task", "class", "objects", "detections", *(_csv_columns(next(iter(tasks.values()))))]
    rows = [[task, *row] for task, values in tasks.items() for row in _csv_rows(values)]
    return table_text(heads, rows)


def _csv_columns(values: Values) -> dict[str, Values]:
    """Return the columns behind the counts by their heads: values by class and their mean."""
    columns = {f"{metric}_{column}": values[metric][column] for metric in METRICS for column in COLUMNS}
    best, coco, lrp = values["best_f1"], values["coco"], values["coco"]["lrp"]
    columns |= {head: best[name] for head, name in (("best_f1", "f1"), ("precision",) * 2, ("recall",) * 2)}
    columns["score"] = {"mean": None, "per_class": best["score"]}
    columns["coco_AP25"] = coco["AP25"]
    columns |= {f"coco_{column}": values["sizes"]["coco"]["all"][column] for column in COLUMNS}
    for table, ranges in TABLES.items():
        columns |= {f"{table}_{size}": values["sizes"][table][size][COLUMNS[-1]] for size in ranges}
    del columns["coco_all"]  # which is coco_AP50:95
    columns |= {f"AR{limit}": part for limit, part in coco["AR"].items()}
    columns |= {head: lrp[part] for part, head in LRP_PARTS.items()}
    return columns | {"oLRP_score": {"mean": None, "per_class": lrp["score"]}}


def _csv_rows(values: Values) -> list[list[Any]]:
    columns, counts = _csv_columns(values).values(), (values["objects"], values["detections"])
    rows = [
        [name, *(count[name] for count in counts), *(column["per_class"][name] for column in columns)]
        for name in values["objects"]
    ]
    sums = [sum(count.values()) for count in counts]
    return [*rows, ["mean", *sums, *(column["mean"] for column in columns)]]
