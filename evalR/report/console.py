"""Text report: the tables and the means, for the screen and for metrics.txt."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evalR.report.tables import SIZE_TITLES
from evalR.scoring.average_precision import Metric
from evalR.scoring.evaluate import ap_table
from evalR.scoring.metrics import LRP_PARTS, SLANTED, Evaluation, Values
from evalR.scoring.sizes import MAX_DETECTIONS
from utils.files import write_text

COCO_RULES = f"COCO's and AI-TOD's matching, 101-point AP, at most {MAX_DETECTIONS} of an image and class"
GridRow = tuple[str, Sequence[float | None]]  # its name, and shares


def write_metrics_text(
    folder: Path, evaluation: Evaluation, metric: Metric, is_horizontal: bool = False
) -> str:
    """Write metrics.txt and return what is in it.

    It is of task 1, or of task 2 where there is nothing else or the detector finds horizontal boxes.
    """
    text = metrics_text(evaluation, metric, is_horizontal)
    write_text(folder / "metrics.txt", text)
    return text


def metrics_text(evaluation: Evaluation, metric: Metric, is_horizontal: bool = False) -> str:
    """Return tables in percent, of the classes, of all IoUs and of COCO's figures, then means from 0 to 1."""
    name, scored = "task1", evaluation.task1
    if scored is None or (is_horizontal and evaluation.task2):
        name, scored = "task2", evaluation.task2
    assert scored  # an evaluation has one of the two
    values = evaluation.metrics[name]
    lines = [ap_table(scored.result, metric, boxes=name == "task2"), "", *_iou_lines(values, metric), ""]
    lines += [*_coco_lines(values), ""]
    if values["slanted"]:
        slanted = values["slanted"][metric]["AP50"]["mean"]
        lines.append(f"slanted objects (area ratio <= {SLANTED}): AP50 {_number(slanted)}")
    lines += [
        f"m{column} {_number(values[metric][column]['mean'])}" for column in ("AP50:95", "AP50", "AP75")
    ]
    return "\n".join(lines) + "\n"


def _iou_lines(values: Values, metric: Metric) -> list[str]:
    """Return the mean AP at each IoU threshold, by the metric and by COCO's rules."""
    names = [name for name in values[metric] if ":" not in name]
    heads = [f"0.{name.removeprefix('AP')}" for name in names]
    coco = values["sizes"]["coco"]["all"]
    rows = [(f"m{metric}", _means(values[metric], names)), ("mCOCO", _means(coco, names))]
    return _grid("mean AP at IoU", heads, rows)


def _coco_lines(values: Values) -> list[str]:
    """Return AP25 to AP50:95, average recall and optimal LRP, then AP and AR by size."""
    coco, whole = values["coco"], values["sizes"]["coco"]["all"]
    figures = {"AP25": coco["AP25"], **{name: whole[name] for name in ("AP50", "AP75", "AP50:95")}}
    figures |= {f"AR@{limit}": part for limit, part in coco["AR"].items()}
    lines = [COCO_RULES, *_grid("mean", list(figures), [("", _means(figures, list(figures)))])]
    words = ["oLRP", "localis.", "false +", "false -"]
    lines += _grid("optimal LRP", words, [("mean (an error)", _means(coco["lrp"], list(LRP_PARTS)))])
    for table, title in SIZE_TITLES.items():
        sizes = {size: row for size, row in values["sizes"][table].items() if size != "all"}
        rows = [(f"m{name}", [row[name]["mean"] for row in sizes.values()]) for name in ("AP50:95", "AR")]
        lines += _grid(title, [size.replace("_", " ") for size in sizes], rows)
    return lines


def _means(columns: Mapping[str, Values], names: Sequence[str]) -> list[float | None]:
    return [columns[name]["mean"] for name in names]


def _grid(title: str, heads: Sequence[str], rows: Sequence[GridRow]) -> list[str]:
    """Return a head and rows of shares in percent, in columns of one width."""
    wide = max(map(len, heads), default=0)
    wide = max(wide, len("100.00"))
    lines = [f"{title:<22}" + "".join(f" {head:>{wide}}" for head in heads)]
    for name, shares in rows:
        cells = ("n/a" if share is None else f"{100 * share:.2f}" for share in shares)
        lines.append(f"{name:<22}" + "".join(f" {cell:>{wide}}" for cell in cells))
    return lines


def _number(value: float | None) -> str:
    """Return a share with three decimals."""
    return "n/a" if value is None else f"{value:.3f}"
