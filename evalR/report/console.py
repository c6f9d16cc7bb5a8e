"""Text report: the table and the means, for the screen and for metrics.txt."""

from pathlib import Path

from evalR.scoring.average_precision import Metric
from evalR.scoring.evaluate import BOX_IOU, QUAD_IOU, ap_table
from evalR.scoring.metrics import SLANTED, Evaluation
from utils.files import write_text


def write_metrics_text(folder: Path, evaluation: Evaluation, metric: Metric) -> str:
    """Write metrics.txt and return what is in it: task 1, or task 2 where there is nothing else."""
    text = metrics_text(evaluation, metric)
    write_text(folder / "metrics.txt", text)
    return text


def metrics_text(evaluation: Evaluation, metric: Metric) -> str:
    """Return the table of the classes in percent, then the means from 0 to 1."""
    name, scored, overlap = "task1", evaluation.task1, QUAD_IOU
    if scored is None:
        name, scored, overlap = "task2", evaluation.task2, BOX_IOU
    assert scored  # an evaluation has one of the two
    values = evaluation.metrics[name]
    lines = [ap_table(scored.result, metric, overlap)]
    if values["slanted"]:
        slanted = values["slanted"][metric]["AP50"]["mean"]
        lines.append(f"slanted objects (area ratio <= {SLANTED}): AP50 {_number(slanted)}")
    lines += [
        f"m{column} {_number(values[metric][column]['mean'])}" for column in ("AP50:95", "AP50", "AP75")
    ]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    """Return a share with three decimals."""
    return "n/a" if value is None else f"{value:.3f}"
