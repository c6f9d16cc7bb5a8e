"""Comparison of two sets of results of the same images: how they differ, and whether by more than chance."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evalR.scoring.average_precision import Metric
from evalR.scoring.best_f1 import best_f1
from evalR.scoring.bootstrap import rank_detections, resample
from evalR.scoring.differences import Difference, differences
from evalR.scoring.evaluate import COCO_THRESHOLDS, Scored, known_mean, score
from evalR.scoring.folders import find_evaluations, find_record, read_protocol
from evalR.scoring.matching import FALSE, RIGHT_IOU, TRUE, judge
from evalR.scoring.protocol import results_hash
from evalR.scoring.result_sets import Labels, read_results
from utils.arrays import F64, I64
from utils.errors import UserError

logger = logging.getLogger(__name__)
FIRST, MIDDLE = (COCO_THRESHOLDS.index(threshold) for threshold in (0.5, 0.75))
MEANS = {"mAP50": [FIRST], "mAP75": [MIDDLE], "mAP50:95": list(range(len(COCO_THRESHOLDS)))}
INTERVAL = (2.5, 97.5)  # percentiles of the resampled differences


class Side(NamedTuple):
    """One of the two sets of results."""

    word: str  # as on the command line
    folder: Path  # of Task1_CLASS.txt
    metrics: dict[str, Any]  # metrics.json, or protocol.json, beside it; empty: there is none


class Row(NamedTuple):
    """One figure of both sides, 0 to 1; NaN without ground truth."""

    name: str
    objects: int  # ground truths that count
    a: float
    b: float
    difference: float  # B - A
    low: float  # 95 % percentile interval of the difference
    high: float
    b_better: float  # share of the resamples in which B is higher
    draws: int  # resamples with ground truth


class ImageRow(NamedTuple):
    """What both sides make of an image, each class cut off at its best F1, at an IoU of 0.5."""

    name: str
    objects: int
    a: tuple[int, int, int]  # found, missed, false detections
    b: tuple[int, int, int]

    @property
    def fewer_errors(self) -> int:
        """Return how many errors less B makes: missed objects and false detections."""
        return sum(self.a[1:]) - sum(self.b[1:])


class Comparison(NamedTuple):
    """All that is said about two sets of results."""

    sides: tuple[Side, Side]
    rows: list[Row]  # the means, then AP50 of each class
    images: list[ImageRow]  # those of other numbers of errors, the largest difference first
    differences: list[Difference]  # of the protocols


def find_sides(words: str, split: str) -> tuple[Side, Side]:
    """Return the two sides that `A,B` names; the split says which evaluation of a run is meant.

    Raises:
        UserError: not two, or there are no result files.
    """
    parts = words.split(",")
    if len(parts) != 2 or not all(parts):
        raise UserError(f"compare={words}: expected two folders with a comma between them")
    return _find_side(parts[0], split), _find_side(parts[1], split)


def _find_side(word: str, split: str) -> Side:
    place = Path(word)
    if not place.is_dir():
        raise UserError(f"compare: {place}: expected a folder, found none")
    evaluations = find_evaluations(place, split)
    places = (place, place / "Task1", *(one / "Task1" for one in evaluations[::-1]))
    folder = next((one for one in places if any(one.glob("Task1_*.txt"))), None) or _scored_folder(place)
    if folder is None:
        others = ", ".join(sorted(path.parent.name for path in place.glob("eval-*/Task1")))
        hint = f"; there is {others}, data.split=SPLIT chooses" if others else ""
        looked = ", ".join(
            str(one / "Task1_CLASS.txt") for one in (*places[:2], place / f"eval-{split}/Task1")
        )
        raise UserError(f"compare: {place}: expected one of {looked}, found none{hint}")
    newest = f", the newest of {', '.join(one.name for one in evaluations)}" if len(evaluations) > 1 else ""
    logger.info("%s: comparing %s%s", word, folder, newest if folder in places[2:] else "")
    record = find_record(place) or _record_of(folder, split)
    return Side(word, folder, _read_metrics(record) if record else {})


def _scored_folder(place: Path) -> Path | None:
    """Return the result files that an evaluation with an `out` of its own was made of; None: it is none.

    Raises:
        UserError: they are not there any more, or are others.
    """
    record = find_record(place)
    protocol = (read_protocol(record) or {}) if record else {}
    results = protocol.get("results")
    if not isinstance(results, str):
        return None
    if not any(Path(results).glob("Task1_*.txt")):
        raise UserError(f"{record}: made of {results}, where no Task1_CLASS.txt is found; give their folder")
    if results_hash(Path(results)) != protocol.get("results_sha256"):
        raise UserError(
            f"{record}: made of {results}, whose result files have changed since; score them again"
        )
    return Path(results)


def _record_of(folder: Path, split: str) -> Path | None:
    """Return what says how result files were made, or on what they were scored."""
    records = (find_record(one) for one in (folder, folder.parent, *find_evaluations(folder, split)[::-1]))
    return next((record for record in records if record), None)


def _read_metrics(path: Path) -> dict[str, Any]:
    """Return metrics.json; nothing where it is an older version's or another program's."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict) and _is_ours(values.get("protocol")) and _is_task(values.get("task1")):
        return values
    logger.warning("%s has no protocol as test.py writes it: how these results were made is not known", path)
    return {}


def _is_ours(protocol: Any) -> bool:
    """Say whether a protocol names its data as `named_data` does, or not at all."""
    if not isinstance(protocol, dict):
        return False
    data = protocol.get("data") or {}
    return isinstance(data, dict) and all(isinstance(word, str | None) for word in data.values())


def _is_task(values: Any) -> bool:
    """Say whether the figures of a task name their classes as `measure` does, or are not there."""
    return values is None or (isinstance(values, dict) and isinstance(values.get("objects", {}), dict))


def known_data(sides: Sequence[Side], words: Sequence[str]) -> tuple[list[str], str | None]:
    """Return what metrics.json of all sides says alike of the data: settings, and the list of images.

    Args:
        words: the settings that are given; the list is that of the split, which then must not be among them.

    Raises:
        UserError: nobody says where the labels are.
    """
    given = {word.partition("=")[0] for word in words}
    data = [side.metrics.get("protocol", {}).get("data") or {} for side in sides]
    same = data[0] if all(one == data[0] for one in data) else {}
    if not same.get("root") and "data.root" not in given:
        raise UserError(
            "compare: expected data.root=ROOT, for A and B do not both say which data they are of"
        )
    pairs = (("data.root", "root"), ("eval.split", "split"))
    known = [f"{key}={json.dumps(same[name])}" for key, name in pairs if name in same]
    classes = [list((side.metrics.get("task1") or {}).get("objects") or {}) for side in sides]
    if classes[0] and all(names == classes[0] for names in classes):
        known.append(f"data.classes={json.dumps(classes[0])}")
    return known, None if "eval.split" in given else same.get("images")


def protocol_differences(sides: Sequence[Side]) -> list[Difference]:
    """Return in what the sides were made differently; nothing where one does not say."""
    first, second = (_protocol(side.metrics) for side in sides)
    return differences(first, second) if first and second else []


def _protocol(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the protocol; older ones leave the classes to the figures."""
    protocol: dict[str, Any] = metrics.get("protocol", {})
    objects = (metrics.get("task1") or {}).get("objects")
    return {"classes": list(objects)} | protocol if protocol and objects else protocol


def warn_of(found: Sequence[Difference], sides: Sequence[Side]) -> None:
    """Say in what the sides were made differently, a line each, and in what that is not known."""
    for side in sides:
        if not side.metrics.get("protocol"):
            logger.warning("%s: not recorded how it was made", side.word)
    for difference in found:
        if difference.recorded:
            logger.warning("A and B were made differently: %s", difference)
    unknown = [difference.key for difference in found if not difference.recorded]
    if unknown:
        logger.warning("A and B may differ in what one did not record: %s", ", ".join(unknown))


def named_sides(sides: Sequence[Side]) -> dict[str, Any]:
    """Return which result files are compared, for the protocol of a comparison."""
    return {
        "sides": {
            name: {"folder": str(side.folder), "results_sha256": results_hash(side.folder)}
            for name, side in zip("ab", sides, strict=True)
        }
    }


def compare(sides: tuple[Side, Side], labels: Labels, metric: Metric, draws: int, seed: int) -> Comparison:
    """Return both sides scored on the same labels, and what resampling the images says of the difference."""
    found_differences = protocol_differences(sides)
    warn_of(found_differences, sides)
    found = [read_results(side.folder, labels.classes, labels.names).quads for side in sides]
    a, b = (score(one, labels.truth, labels.classes) for one in found if one)
    images = len(labels.names)
    ap = resample((rank_detections(a), rank_detections(b)), images, metric, draws, seed)
    rows = compare_ap(a.result.ap[metric], b.result.ap[metric], ap, labels.classes, a.matches.counted)
    counts = [image_counts(one, images) for one in (a, b)]
    return Comparison(sides, rows, _image_rows(labels, counts), found_differences)


def resampling(metric: Metric, draws: int, seed: int) -> dict[str, Any]:
    """Return how the figures of a comparison were made, for its protocol."""
    return {"metric": metric, "bootstrap": {"draws": draws, "seed": seed, "percentiles": list(INTERVAL)}}


def compare_ap(a: F64, b: F64, ap: F64, classes: Sequence[str], objects: I64) -> list[Row]:
    """Return the means and AP50 of the classes from AP (C, T) of both sides and of resamples (2, N, C, T).

    A class without ground truth in a resample leaves the mean of that resample on both sides.
    """
    rows = []
    for name, columns in MEANS.items():
        means = [np.array([known_mean(one[..., columns]) for one in side]) for side in ap]
        rows.append(
            _row(name, int(objects.sum()), known_mean(a[:, columns]), known_mean(b[:, columns]), means)
        )
    for label, name in enumerate(classes):
        rows.append(
            _row(
                name,
                int(objects[label]),
                float(a[label, FIRST]),
                float(b[label, FIRST]),
                list(ap[:, :, label, FIRST]),
            )
        )
    return rows


def _row(name: str, objects: int, a: float, b: float, resampled: Sequence[F64]) -> Row:
    differences = resampled[1] - resampled[0]
    differences = differences[~np.isnan(differences)]
    low, high, better = (float("nan"),) * 3
    if len(differences):
        low, high = (float(value) for value in np.percentile(differences, INTERVAL))
        better = float((differences > 0).mean())
    return Row(name, objects, a, b, b - a, low, high, better, len(differences))


def image_counts(scored: Scored, images: int) -> I64:
    """Return found objects, missed objects and false detections of each image, (I, 3); see `ImageRow`."""
    verdicts = judge(scored.matches, RIGHT_IOU)
    found, truth = scored.found, scored.truth
    kept = found.scores >= best_f1(found, scored.matches, verdicts).score[found.labels]  # not above NaN
    hits, false = (np.bincount(found.images[kept & (verdicts == v)], minlength=images) for v in (TRUE, FALSE))
    objects = np.bincount(truth.images[~truth.difficult], minlength=images)
    return np.stack([hits, objects - hits, false], axis=1)


def _image_rows(labels: Labels, counts: Sequence[I64]) -> list[ImageRow]:
    rows = [
        ImageRow(name, a[0] + a[1], (a[0], a[1], a[2]), (b[0], b[1], b[2]))
        for name, a, b in zip(labels.names, counts[0].tolist(), counts[1].tolist(), strict=True)
    ]
    differing = [row for row in rows if row.fewer_errors]
    return sorted(differing, key=lambda row: (-abs(row.fewer_errors), row.name))
