"""Report page of an evaluation: one HTML file that needs no network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evalR.report import galleries, tables
from evalR.report.curves import class_curves, reliability_chart
from evalR.scoring.average_precision import Metric
from evalR.scoring.errors import find_errors
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import RIGHT_IOU, judge
from evalR.scoring.metrics import Evaluation, Values
from utils.pages import write_page
from utils.palette import class_colour, hex_colour
from utils.records import Annotation

TEMPLATE = Path(__file__).with_name("page.html")
PAGE = "report/index.html"  # in the folder of an evaluation


def write_report(
    folder: Path,
    evaluation: Evaluation,
    annotations: Sequence[Annotation],
    metric: Metric,
    speed: Mapping[str, Any] | None = None,
) -> Path:
    """Write report/index.html about task 1, or about task 2 where there is nothing else; return its path.

    Args:
        annotations: of all images of the evaluation; images that cannot be read have no pictures.
        metric: of the figures at the top and of those by shape.
        speed: what speed.json holds; None: nothing was predicted.
    """
    name = "task1" if evaluation.task1 else "task2"
    scored = evaluation.task1 or evaluation.task2
    assert scored  # an evaluation has one of the two
    values = evaluation.metrics[name]
    page = {
        "protocol": evaluation.metrics["protocol"],
        "task": name,
        "metric": metric,
        "swatches": {name: hex_colour(class_colour(k)) for k, name in enumerate(scored.classes)},
        "headline": _headline(evaluation.metrics, name, metric, speed),
        "speed": speed,
        "values": values,
        **_tables(values, evaluation.metrics["protocol"], metric),
        **_curves(scored, values),
        **_galleries(scored, values, [annotation.image_path for annotation in annotations]),
    }
    path = folder / PAGE
    write_page(path, TEMPLATE, page)
    return path


def _headline(
    metrics: Values, name: str, metric: Metric, speed: Mapping[str, Any] | None
) -> list[tuple[str, str]]:
    """Return the figures at the top with their names."""
    values, boxes = metrics[name], metrics["task2"]
    slanted = values["slanted"]
    return [
        *((f"m{column}", tables.percent(values[metric][column]["mean"])) for column in tables.COLUMNS),
        ("AP50 of slanted objects", tables.percent(slanted[metric]["AP50"]["mean"] if slanted else None)),
        ("AP50 of horizontal boxes", tables.percent(boxes[metric]["AP50"]["mean"] if boxes else None)),
        ("images/s", f"{speed['images_per_second']:.3g}" if speed else tables.NOT_THERE),
    ]


def _tables(values: Values, protocol: Values, metric: Metric) -> dict[str, Any]:
    sizes = {title: tables.size_table(values["sizes"][name]) for name, title in tables.SIZE_TITLES.items()}
    aspect, angles = values["aspect"], values["angle_bins"]
    return {
        "classes": tables.class_table(values),
        "ious": tables.iou_table(values),
        "coco": tables.coco_table(values),
        "confusion": tables.confusion_table(values["confusion"]),
        "sizes": sizes,
        "aspect": tables.bin_table("long : short", aspect, metric) if aspect else None,
        "angle_bins": tables.bin_table("angle", angles, metric, "°\u00a0±\u00a015°") if angles else None,
        "errors": tables.error_table(values["errors"]),
        "angle": tables.angle_table(values["angle"]) if values["angle"] else None,
        "protocol_rows": tables.protocol_table(protocol),
    }


def _curves(scored: Scored, values: Values) -> dict[str, Any]:
    """Return the charts; of many classes, those with the most objects."""
    counted = scored.matches.counted
    known = np.flatnonzero(counted)
    most = known[np.argsort(-counted[known], kind="stable")][: tables.MOST_CLASSES]
    calibration = values["calibration"]
    return {
        "curves": class_curves(scored, sorted(most.tolist())),
        "left_out": len(known) - len(most),
        "reliability": reliability_chart(calibration) if calibration else None,
    }


def _galleries(scored: Scored, values: Values, image_paths: Sequence[str]) -> dict[str, Any]:
    verdicts = judge(scored.matches, RIGHT_IOU)
    scores = values["best_f1"]["score"].values()
    least = np.array([np.nan if score is None else score for score in scores], np.float64)
    shown = scored.found.scores >= least[scored.found.labels]
    errors = find_errors(scored, verdicts, RIGHT_IOU)
    wrong = galleries.false_positives(scored, verdicts, errors)
    missed, misses = galleries.misses(scored, verdicts, least)
    pictures = galleries.show([*wrong, *missed], scored, image_paths, shown)
    totals = {"false_positives": int((errors.kinds >= 0).sum()), "misses": misses}
    parts = (pictures[: len(wrong)], pictures[len(wrong) :])
    return {
        "galleries": {
            name: galleries.Gallery([p for p in part if p], total, sum(p is None for p in part))
            for (name, total), part in zip(totals.items(), parts, strict=True)
        }
    }
