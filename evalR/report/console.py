"""Text report: the table and the means, for the screen and for metrics.txt."""

from pathlib import Path

from evalR.scoring.average_precision import Metric
from evalR.scoring.evaluate import ap_table
from evalR.scoring.metrics import SLANTED, Evaluation
from utils.files import write_text


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
    """Return the table of the classes in percent, then the means from 0 to 1."""
    name, scored = "task1", evaluation.task1
    if scored is None or (is_horizontal and evaluation.task2):
        name, scored = "task2", evaluation.task2
    assert scored  # an evaluation has one of the two
    values = evaluation.metrics[name]
    lines = [ap_table(scored.result, metric, boxes=name == "task2")]
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
