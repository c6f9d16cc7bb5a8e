"""AP of every class at every IoU threshold, and tables of it.  Source: spec 8.1, 8.2."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from evalR.scoring.average_precision import METRICS, Metric, average_precision, precision_recall
from evalR.scoring.columns import Bools, Found, Truth, shape_areas, to_found, to_truth
from evalR.scoring.matching import FALSE, NEITHER, TRUE, Matches, judge, match
from evalR.scoring.pairs import Pairs, find_pairs
from utils.arrays import F64, I64
from utils.quads.geometry import self_crossing
from utils.quads.parts import to_boxes
from utils.records import Annotation, Detections

logger = logging.getLogger(__name__)
COCO_THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
QUAD_IOU = "IoU = intersection / union of the quads (self-crossing ones by signed area, as in DOTA_devkit)"
BOX_IOU = "IoU = intersection / union of horizontal boxes in whole pixels (width + 1, as in DOTA_devkit)"
PROTOCOL = (
    "strictly above the threshold; "
    "difficult ground truth neither true nor false; classes without ground truth (n/a) left out of the mean"
)


class EvalResult(NamedTuple):
    """Average precision of an evaluation; C classes, T thresholds."""

    classes: tuple[str, ...]
    thresholds: tuple[float, ...]  # of the IoU, rising
    ap: dict[str, NDArray[np.float64]]  # "voc07", "voc12" -> (C, T) in [0, 1], NaN without ground truth
    ground_truths: I64  # (C,) without the difficult ones
    detections: I64  # (C,)
    max_area_ratio: float | None  # ground truth that fills more of its horizontal box counted as difficult


class Scored(NamedTuple):
    """One task, matched: what every figure is made from."""

    classes: tuple[str, ...]
    found: Found
    truth: Truth
    pairs: Pairs
    matches: Matches
    result: EvalResult


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
    return score_all(detections, annotations, classes, thresholds, max_area_ratio).result


def score_all(
    detections: Sequence[Detections],
    annotations: Sequence[Annotation],
    classes: Sequence[str],
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_area_ratio: float | None = None,
    boxes: bool = False,
) -> Scored:
    """Evaluate and return the matches that the AP is made from, too; see `evaluate`.

    Args:
        boxes: whether the horizontal boxes around both are matched, as for task 2 of DOTA.
    """
    check_labels(detections, annotations, len(classes))
    found, truth = to_found(detections), to_truth(annotations)
    if boxes:
        found = found._replace(shapes=to_boxes(found.shapes))
        truth = truth._replace(shapes=to_boxes(truth.shapes))
    return score(found, truth, classes, thresholds, max_area_ratio)


def score(
    found: Found,
    truth: Truth,
    classes: Sequence[str],
    thresholds: Sequence[float] = COCO_THRESHOLDS,
    max_area_ratio: float | None = None,
) -> Scored:
    """Match detections and ground truths and compute the AP; see `evaluate`."""
    _count_self_crossing(truth)
    pairs = find_pairs(found, truth)
    matches = match(found, only_slanted(truth, max_area_ratio), pairs, len(classes))
    result = _to_result(matches, classes, thresholds, max_area_ratio)
    return Scored(tuple(classes), found, truth, pairs, matches, result)


def score_slanted(scored: Scored, max_area_ratio: float) -> EvalResult:
    """Return the AP over slanted objects, from matches that were found before; see `evaluate`."""
    truth = only_slanted(scored.truth, max_area_ratio)
    (result,) = score_cuts(scored, [~truth.difficult])
    return result._replace(max_area_ratio=max_area_ratio)


def score_cuts(scored: Scored, cuts: Sequence[Bools]) -> list[EvalResult]:
    """Return the AP over some of the objects, from matches that were found before.

    The others count as difficult: neither to be found nor wrong to find.  Which detection is the first on a
    ground truth does not depend on the others, so one judgement serves all cuts.

    Args:
        cuts: (G,) each, the ground truths that count, unless they are difficult anyway.
    """
    matches, thresholds = scored.matches, scored.result.thresholds
    narrowed = [_narrow(matches, scored.truth, inside) for inside in cuts]
    results = [_empty_result(own, scored.classes, thresholds) for own in narrowed]
    for column, threshold in enumerate(thresholds):
        verdicts, hit = judge(matches, threshold), matches.best_iou > threshold
        for own, result in zip(narrowed, results, strict=True):
            left_out = hit & own.difficult[own.best_truth] if len(own.difficult) else hit
            _fill_ap(result.ap, column, own, np.where(left_out, NEITHER, verdicts))
    return results


def _narrow(matches: Matches, truth: Truth, inside: Bools) -> Matches:
    """Return the matches with the ground truths outside a cut counted as difficult."""
    difficult = truth.difficult | ~inside
    counted = np.bincount(truth.labels[~difficult], minlength=len(matches.counted))
    return matches._replace(difficult=difficult, counted=counted)


def only_slanted(truth: Truth, max_area_ratio: float | None) -> Truth:
    """Return the ground truths, those that fill more of their horizontal box counted as difficult."""
    if max_area_ratio is None:
        return truth
    full = shape_areas(truth.shapes) > max_area_ratio * shape_areas(to_boxes(truth.shapes))
    return truth._replace(difficult=truth.difficult | full)


def class_curve(matches: Matches, verdicts: NDArray[np.int8], label: int) -> tuple[F64, F64]:
    """Return precision and recall of a class after each detection, highest score first; see `judge`."""
    rows = matches.order[matches.starts[label] : matches.starts[label + 1]]
    own = verdicts[rows]
    return precision_recall(own == TRUE, own == FALSE, max(int(matches.counted[label]), 1))


def _to_result(
    matches: Matches, classes: Sequence[str], thresholds: Sequence[float], max_area_ratio: float | None
) -> EvalResult:
    result = _empty_result(matches, classes, thresholds)
    for column, threshold in enumerate(thresholds):
        _fill_ap(result.ap, column, matches, judge(matches, threshold))
    return result._replace(max_area_ratio=max_area_ratio)


def _empty_result(matches: Matches, classes: Sequence[str], thresholds: Sequence[float]) -> EvalResult:
    ap: dict[str, F64] = {metric: np.full((len(classes), len(thresholds)), np.nan) for metric in METRICS}
    found = np.diff(matches.starts)
    return EvalResult(tuple(classes), tuple(thresholds), ap, matches.counted, found, None)


def _fill_ap(ap: dict[str, F64], column: int, matches: Matches, verdicts: NDArray[np.int8]) -> None:
    """Write the AP of each class with ground truth at one threshold."""
    for label in np.flatnonzero(matches.counted).tolist():
        precision, recall = class_curve(matches, verdicts, label)
        for metric in METRICS:
            ap[metric][label, column] = average_precision(recall, precision, metric)


def _count_self_crossing(truth: Truth) -> None:
    if truth.shapes.ndim == 3:
        count = int(self_crossing(torch.from_numpy(truth.shapes)).sum())
        if count:
            logger.warning("%d ground truths cross themselves and count by their signed area", count)


def check_labels(detections: Sequence[Detections], annotations: Sequence[Annotation], classes: int) -> None:
    """Raise a ValueError where numbers of images differ, or a label is not one of so many classes."""
    if len(detections) != len(annotations):
        raise ValueError(f"expected detections for {len(annotations)} images, got {len(detections)}")
    sources = [(f"detections of image {k}", d.labels.cpu().numpy()) for k, d in enumerate(detections)]
    sources += [(f"annotation {a.image_path}", a.labels) for a in annotations]
    for place, labels in sources:
        wrong = labels[(labels < 0) | (labels >= classes)]
        if len(wrong):
            raise ValueError(f"{place}: expected labels from 0 to {classes - 1}, got {int(wrong[0])}")


def mean_ap(result: EvalResult, metric: Metric, threshold: float | None = None) -> float:
    """Return the mean AP of the classes with ground truth, at one threshold or (None) over all; else NaN.

    Raises:
        ValueError: the threshold was not evaluated.
    """
    columns = list(range(len(result.thresholds))) if threshold is None else [_column(result, threshold)]
    return known_mean(result.ap[metric][:, columns])


def mean_aps(result: EvalResult, metric: Metric) -> dict[str, float]:
    """Return the means by name: AP50, AP75 and AP50:95, as far as their thresholds were evaluated."""
    return {name: known_mean(result.ap[metric][:, columns]) for name, columns in _columns(result).items()}


def class_summary(result: EvalResult, metric: Metric) -> dict[str, float]:
    """Return what `mean_aps` does for each class with ground truth, as `AP50/CLASS`."""
    return {
        f"{name}/{label}": float(result.ap[metric][row, columns].mean())
        for name, columns in _columns(result).items()
        for row, label in enumerate(result.classes)
        if result.ground_truths[row]
    }


def ap_table(result: EvalResult, metric: Metric, boxes: bool = False) -> str:
    """Return a text table in percent: a line per class, then the mean; the protocol stands in the head."""
    columns = _columns(result)
    wide = max([len("class"), *map(len, result.classes)])
    slanted = result.max_area_ratio
    note = "" if slanted is None else f"; slanted objects only: area ratio above {slanted:g} is difficult"
    points = {"voc07": "11-point", "voc12": "all-point"}[metric]
    lines = [f"{metric} ({points} AP); {BOX_IOU if boxes else QUAD_IOU}, {PROTOCOL}{note}"]
    lines.append(f"{'class':<{wide}} {'truths':>8} {'found':>8}" + "".join(f" {name:>8}" for name in columns))
    for row, name in enumerate(result.classes):
        values = [known_mean(result.ap[metric][row, picked]) for picked in columns.values()]
        lines.append(_line(f"{name:<{wide}}", result.ground_truths[row], result.detections[row], values))
    means = list(mean_aps(result, metric).values())
    lines.append(_line(f"{'mean':<{wide}}", result.ground_truths.sum(), result.detections.sum(), means))
    return "\n".join(lines)


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


def known_mean(values: F64) -> float:
    """Return the mean of the values that are not NaN, NaN where there is none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _line(head: str, truths: int, found: int, values: list[float]) -> str:
    cells = "".join(f" {'n/a' if np.isnan(value) else format(100 * value, '.2f'):>8}" for value in values)
    return f"{head} {truths:>8} {found:>8}{cells}"
