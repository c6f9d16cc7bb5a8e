"""What is printed about an evaluation."""

from pathlib import Path

import numpy as np
import pytest

from evalR.report.console import write_metrics_text
from evalR.scoring.columns import to_truth
from evalR.scoring.metrics import measure
from evalR.scoring.result_sets import Results, read_results
from utils.records import Annotation

QUAD = "0 0 9 0 9 9 0 9"


@pytest.mark.parametrize(("task", "shape"), [(1, QUAD), (2, "0 0 9 9")])
def test_table_and_means(task: int, shape: str, tmp_path: Path) -> None:
    (tmp_path / f"Task{task}_ship.txt").write_text(f"P1 0.9 {shape}\n")
    quads = np.array(QUAD.split(), np.float32).reshape(1, 4, 2)
    truth = to_truth([Annotation("P1.png", quads, np.array([0]), np.array([0], np.int8))])
    evaluation = measure(("ship",), truth, read_results(tmp_path, ("ship",), ["P1"]), {})
    text = write_metrics_text(tmp_path / "out", evaluation, "voc12")
    assert (tmp_path / "out/metrics.txt").read_text() == text
    lines = text.splitlines()
    assert ("quads" in lines[0]) == (task == 1)
    assert lines[2].split() == ["ship", "1", "1", "100.00", "100.00", "100.00"]
    assert lines[-3:] == ["mAP50:95 1.000", "mAP50 1.000", "mAP75 1.000"]
    assert ("slanted objects (area ratio <= 0.9): AP50 n/a" in lines) == (task == 1)


def test_nothing_at_all(tmp_path: Path) -> None:
    truth = to_truth([])
    (tmp_path / "Task1_ship.txt").write_text("")
    found: Results = read_results(tmp_path, ("ship",), [])
    text = write_metrics_text(tmp_path, measure(("ship",), truth, found, {}), "voc07")
    assert text.endswith("mAP50:95 n/a\nmAP50 n/a\nmAP75 n/a\n")
