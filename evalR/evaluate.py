"""AP of every class at every IoU threshold, and tables of it.  Source: spec/gghl.md 8.1 (FIX), 8.2."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalR.average_precision import METRICS, Metric, average_precision, precision_recall
from evalR.matching import I64, Matches, match, true_and_false
from utils.records import Annotation, Detections

COCO_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
PROTOCOL = (
    "IoU = intersection / union of the quads (self-crossing ones by signed area, as in DOTA_devkit), "
    "strictly above the threshold; "
    "difficult ground truth neither true nor false; classes without ground truth (n/a) left out of the mean"
)


class EvalResult(NamedTuple):
    """What `evaluate` found; C classes, T thresholds."""

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]  # of the IoU, rising
    ap: dict[str, NDArray[np.float64]]  # "voc07", "voc12" -> (C, T) in [0, 1], NaN without ground truth
    ground_truths: I64  # (C,) without the difficult ones
    detections: I64  # (C,)
    max_area_ratio: float | None  # ground truth that fills more of its horizontal box counted as difficult


def evaluate(
    detections: Sequence[Detections],
    annotations: Sequence[Annotation],
    classes: Sequence[str],
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_area_ratio: float | None = None,
) -> EvalResult:
    """Return the AP per class and threshold; both sequences hold one entry per image, in the same order.

    A class with ground truth and no detections has AP 0; one without (non-difficult) ground truth has NaN.

    Args:
        max_area_ratio: count ground truth with area(quad) / area(horizontal box) above it as difficult:
            AP over slanted objects.  None: all objects.

    Raises:
        ValueError: numbers of images differ, or a label is not an index into `classes`.
    """
    _check_labels(detections, annotations, len(classes))
    matches = match(detections, annotations, max_area_ratio)
    counted = np.bincount(matches.truth_labels[~matches.difficult], minlength=len(classes))
    ap: dict[str, NDArray[np.float64]] = {
        metric: np.full((len(classes), len(thresholds)), np.nan) for metric in METRICS
    }
    for label in np.flatnonzero(counted):
        for column, threshold in enumerate(thresholds):
            values = _class_ap(matches, int(label), threshold, int(counted[label]))
            for metric, value in values.items():
                ap[metric][label, column] = value
    found = np.bincount(matches.labels, minlength=len(classes))
    return EvalResult(tuple(classes), tuple(thresholds), ap, counted, found, max_area_ratio)


def mean_ap(result: EvalResult, metric: Metric, threshold: float | None = None) -> float:
    """Return the mean AP of the classes with ground truth, at one threshold or (None) over all; else NaN.

    Raises:
        ValueError: the threshold was not evaluated.
    """
    columns = list(range(len(result.thresholds))) if threshold is None else [_column(result, threshold)]
    return _mean(result.ap[metric][:, columns])


def summary(result: EvalResult, metric: Metric) -> dict[str, float]:
    """Return the means by name: AP50, AP75 and AP50:95, as far as their thresholds were evaluated."""
    return {name: _mean(result.ap[metric][:, columns]) for name, columns in _columns(result).items()}


def format_table(result: EvalResult, metric: Metric) -> str:
    """Return a text table in percent: a line per class, then the mean; the protocol stands in the head."""
    columns = _columns(result)
    wide = max([len("class"), *map(len, result.classes)])
    slanted = result.max_area_ratio
    note = "" if slanted is None else f"; slanted objects only: area ratio above {slanted:g} is difficult"
    points = {"voc07": "11-point", "voc12": "all-point"}[metric]
    lines = [f"{metric} ({points} AP); {PROTOCOL}{note}"]
    lines.append(f"{'class':<{wide}} {'truths':>8} {'found':>8}" + "".join(f" {name:>8}" for name in columns))
    for row, name in enumerate(result.classes):
        values = [_mean(result.ap[metric][row, picked]) for picked in columns.values()]
        lines.append(_line(f"{name:<{wide}}", result.ground_truths[row], result.detections[row], values))
    means = list(summary(result, metric).values())
    lines.append(_line(f"{'mean':<{wide}}", result.ground_truths.sum(), result.detections.sum(), means))
    return "\n".join(lines)


def to_dict(result: EvalResult) -> dict[str, Any]:
    """Return everything as plain values for metrics.json; NaN becomes None, for JSON knows no NaN."""
    per_class = [
        {
            "class": name,
            "ground_truths": int(result.ground_truths[row]),
            "detections": int(result.detections[row]),
            "ap": {metric: [_or_none(value) for value in result.ap[metric][row]] for metric in METRICS},
        }
        for row, name in enumerate(result.classes)
    ]
    means = {m: {name: _or_none(value) for name, value in summary(result, m).items()} for m in METRICS}
    return {
        "protocol": PROTOCOL,
        "max_area_ratio": result.max_area_ratio,
        "thresholds": list(result.thresholds),
        "mean": means,
        "classes": per_class,
    }


def _class_ap(matches: Matches, label: int, threshold: float, ground_truths: int) -> dict[str, float]:
    true, false = true_and_false(matches, label, threshold)
    precision, recall = precision_recall(true, false, ground_truths)
    return {metric: average_precision(recall, precision, metric) for metric in METRICS}


def _check_labels(detections: Sequence[Detections], annotations: Sequence[Annotation], count: int) -> None:
    sources = [("detections", d.labels.cpu().numpy()) for d in detections]
    sources += [(f"annotation {a.image_path}", a.labels) for a in annotations]
    for place, (name, labels) in enumerate(sources):
        wrong = labels[(labels < 0) | (labels >= count)]
        if len(wrong):
            where = f"{name} of image {place}" if place < len(detections) else name
            raise ValueError(f"{where}: expected labels from 0 to {count - 1}, got {int(wrong[0])}")


def _column(result: EvalResult, threshold: float) -> int:
    close = np.flatnonzero(np.isclose(result.thresholds, threshold))
    if not len(close):
        raise ValueError(f"threshold: expected one of {result.thresholds}, got {threshold}")
    return int(close[0])


def _columns(result: EvalResult) -> dict[str, list[int]]:
    """Return the columns of the tables: AP50 and AP75 if evaluated, and the mean over all thresholds."""
    percents = [round(100 * threshold) for threshold in result.thresholds]
    columns = {f"AP{percent}": [percents.index(percent)] for percent in (50, 75) if percent in percents}
    if len(percents) > 1:
        columns[f"AP{percents[0]}:{percents[-1]}"] = list(range(len(percents)))
    return columns


def _mean(ap: NDArray[np.float64]) -> float:
    known = ap[~np.isnan(ap)]
    return float(known.mean()) if known.size else float("nan")


def _line(head: str, truths: int, found: int, values: list[float]) -> str:
    cells = "".join(f" {'n/a' if np.isnan(value) else format(100 * value, '.2f'):>8}" for value in values)
    return f"{head} {truths:>8} {found:>8}{cells}"


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
