"""Curves of a report, as charts: precision over recall, F1 over score, precision beside score."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from evalR.scoring.average_precision import precision_at_101
from evalR.scoring.evaluate import Scored, class_curve
from evalR.scoring.matching import I8, judge
from utils.arrays import F64
from utils.charts import Bar, Chart, Line, Word

SIDE = (260.0, 170.0)  # width, height of the plotted area
LEFT, TOP, RIGHT, FOOT = 34.0, 24.0, 12.0, 32.0
GRID, BLUE, ORANGE, GREEN, GREY = "#dfe3e8", "#0072b2", "#d55e00", "#009e73", "#8a9199"
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
STEPS = 101  # points of a curve
CUTS = (0.5, 0.75)  # IoU of the curves
DASHES = "5 3"


class ClassCurves(NamedTuple):
    """The charts of one class."""

    name: str
    pr: Chart
    f1: Chart


def class_curves(scored: Scored, labels: Sequence[int]) -> list[ClassCurves]:
    """Return the charts of some classes, those with ground truth."""
    verdicts = [judge(scored.matches, cut) for cut in CUTS]
    scores = scored.found.scores
    ends = (min(0.0, scores.min(initial=0.0)), max(1.0, scores.max(initial=1.0)))
    return [
        ClassCurves(
            scored.classes[k], _pr_chart(scored, verdicts, k), _f1_chart(scored, verdicts[0], k, ends)
        )
        for k in labels
    ]


def _pr_chart(scored: Scored, verdicts: Sequence[I8], label: int) -> Chart:
    """Return precision over recall, made monotone from the right, as VOC's all-point AP takes it."""
    places = np.linspace(0, 1, STEPS)
    lines = []
    for own, colour, dashes in zip(verdicts, (BLUE, ORANGE), ("", DASHES), strict=True):
        precision, recall = class_curve(scored.matches, own, label)
        heights = precision_at_101(recall, precision)
        reached = min(np.count_nonzero(heights) + 1, STEPS)  # the line ends where it meets 0
        lines.append(_line(places[:reached], heights[:reached], colour, dashes))
    return _plot("precision over recall", "recall", lines)


def _f1_chart(scored: Scored, verdicts: I8, label: int, ends: tuple[float, float]) -> Chart:
    """Return F1, precision and recall of the detections from each score on."""
    matches = scored.matches
    precision, recall = class_curve(matches, verdicts, label)
    rows = matches.order[matches.starts[label] : matches.starts[label + 1]]
    steps = np.linspace(*ends, STEPS)
    kept = np.searchsorted(-scored.found.scores[rows], -steps, side="right")  # detections at each step
    precision, recall = (np.append(0.0, values)[kept] for values in (precision, recall))
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-16)
    places, some = (steps - ends[0]) / (ends[1] - ends[0]), kept > 0
    lines = [
        _line(places[some], precision[some], BLUE, "2 2"),
        _line(places, recall, GREEN, DASHES),
        _line(places, f1, ORANGE),
    ]
    return _plot("F1, precision, recall over score", "score", lines, ends=ends)


def reliability_chart(calibration: dict[str, Any]) -> Chart:
    """Return the precision of the detections in bins of their score, beside the diagonal."""
    bins = calibration["bins"]
    step = SIDE[0] / len(bins["counts"])
    bars = []
    for n, (count, score, precision) in enumerate(
        zip(bins["counts"], bins["scores"], bins["precision"], strict=True)
    ):
        if count:
            height = round(precision * SIDE[1], 1)
            title = f"{count} detections, mean score {score:.2f}, precision {precision:.2f}"
            x, y = round(LEFT + n * step + 1, 1), round(TOP + SIDE[1] - height, 1)
            bars.append(Bar(x, y, round(step - 2, 1), height, "#7fb8d9", title))
    diagonal = _line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), GREY, DASHES)
    return _plot("precision over score", "score", [diagonal], bars)


def _line(x: F64, y: F64, colour: str, dashes: str = "") -> Line:
    """Return a line through points in [0, 1]."""
    across, up = np.round(LEFT + x * SIDE[0], 1), np.round(TOP + (1 - y) * SIDE[1], 1)
    return Line(list(zip(across.tolist(), up.tolist(), strict=True)), colour, 1.8, dashes)


def _plot(
    title: str,
    x_name: str,
    lines: Sequence[Line],
    bars: Sequence[Bar] = (),
    ends: tuple[float, float] = (0.0, 1.0),
) -> Chart:
    """Return lines and bars above a grid; the y axis goes from 0 to 1, the x axis between its ends."""
    words = [
        Word(0, 11, title, "start"),
        Word(LEFT + SIDE[0] / 2, TOP + SIDE[1] + 28, x_name),
    ]
    grid = []
    for tick in TICKS:
        x, y = LEFT + tick * SIDE[0], TOP + (1 - tick) * SIDE[1]
        grid += [
            Line([(x, TOP), (x, TOP + SIDE[1])], GRID, 1),
            Line([(LEFT, y), (LEFT + SIDE[0], y)], GRID, 1),
        ]
        words.append(Word(x, TOP + SIDE[1] + 14, f"{ends[0] + tick * (ends[1] - ends[0]):g}"))
        words.append(Word(LEFT - 5, y + 4, f"{tick:g}", "end"))
    return Chart(title, LEFT + SIDE[0] + RIGHT, TOP + SIDE[1] + FOOT, bars, words, [*grid, *lines])
