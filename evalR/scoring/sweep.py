"""Sweeps over score thresholds and over thresholds of NMS: where a detector is best cut.

A table over scores costs nothing but counting, for a cut of the scores changes no match.  All cuts are said
at an IoU of 0.5.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from evalR.scoring.average_precision import Metric
from evalR.scoring.columns import to_found
from evalR.scoring.evaluate import Scored, mean_aps, score
from evalR.scoring.matching import FALSE, RIGHT_IOU, TRUE, judge
from utils.arrays import F64
from utils.errors import UserError
from utils.files import write_text
from utils.plots import class_line, panels, put_legend, put_wide_legend, save_figure
from utils.records import Detections
from utils.tables import table_text

SCORES = tuple(percent / 100 for percent in range(5, 100, 5))
SCORE_ALONE = "score"
POOLED = "all"  # all classes counted as they come, large ones more
HEADS = ("precision", "recall", "f1")
AP_HEADS = ("AP50", "AP75", "AP50:95")


class Swept(NamedTuple):
    """One threshold of NMS, scored."""

    nms_iou: float | None  # None: of result files, which were suppressed before
    scored: Scored


def parse_sweep(text: str) -> tuple[float, ...]:
    """Return the NMS IoUs of `0.1,0.3`, each once; none for `score`, which asks for the table alone.

    Raises:
        UserError: neither.
    """
    if text == SCORE_ALONE:
        return ()
    ious = []
    for word in text.removeprefix("[").removesuffix("]").split(","):
        try:
            iou = float(word)
        except ValueError:
            iou = float("nan")
        if not 0 <= iou <= 1:
            raise UserError(
                f"sweep={text}: expected `score`, or NMS IoUs from 0 to 1 as in sweep=0.2,0.45; got {word!r}"
            )
        ious.append(iou)
    return tuple(dict.fromkeys(ious))


def score_curve(scored: Scored, scores: Sequence[float] = SCORES) -> F64:
    """Return precision, recall and F1, (C + 1, S, 3), of detections with at least each score.

    The last row is that of all classes together.  NaN: precision without detections; recall and F1 without
    ground truth.
    """
    verdicts, classes = judge(scored.matches, RIGHT_IOU), len(scored.classes)
    counts = np.zeros((2, classes + 1, len(scores)))
    for kind, verdict in enumerate((TRUE, FALSE)):
        rows = verdicts == verdict
        labels, own = scored.found.labels[rows], scored.found.scores[rows]
        for column, least in enumerate(scores):
            counts[kind, :-1, column] = np.bincount(labels[own >= least], minlength=classes)
    counts[:, -1] = counts[:, :-1].sum(axis=1)
    true, false = counts
    objects = np.append(scored.matches.counted, scored.matches.counted.sum())[:, None]
    with np.errstate(invalid="ignore"):
        precision, recall = true / (true + false), true / objects
        f1 = np.where(objects > 0, 2 * true / (true + false + objects), np.nan)
    return np.stack([precision, np.where(objects > 0, recall, np.nan), f1], axis=-1)


def score_sweep(own: Swept, others: dict[float, Sequence[Detections]]) -> list[Swept]:
    """Return one threshold of NMS that is scored, and others on the same truth, rising."""
    truth, classes = own.scored.truth, own.scored.classes
    more = [Swept(iou, score(to_found(found), truth, classes)) for iou, found in others.items()]
    return sorted([own, *more], key=lambda swept: swept.nms_iou or 0.0)


def write_sweep(folder: Path, swept: Sequence[Swept], metric: Metric) -> str:
    """Write sweep.csv and sweep.png, and return a text table; of equals the first is best."""
    means = np.array([list(mean_aps(s.scored.result, metric).values()) for s in swept])
    best = _best(means[:, 0])
    write_text(folder / "sweep.csv", sweep_csv(swept, metric))
    save_sweep(folder / "sweep.png", swept, means, best)
    return _text(swept, means, best)


def _text(swept: Sequence[Swept], means: F64, best: int) -> str:
    lines = []
    if len(swept) > 1:
        lines.append(f"{'NMS IoU':>10}" + "".join(f" {name:>9}" for name in AP_HEADS))
        lines += [_line(s.nms_iou or 0.0, means[k].tolist(), k == best) for k, s in enumerate(swept)]
    note = "" if swept[best].nms_iou is None else f", NMS IoU {swept[best].nms_iou:g}"
    lines.append(f"all classes together, IoU {RIGHT_IOU:g}{note}")
    lines.append(f"{'score from':>10}" + "".join(f" {name:>9}" for name in HEADS))
    table = score_curve(swept[best].scored)[-1]
    top = _best(table[:, -1])
    lines += [_line(value, table[k].tolist(), k == top) for k, value in enumerate(SCORES)]
    return "\n".join(lines) + "\n"


def _best(values: F64) -> int:
    """Return the place of the highest value, of equals the first; NaN is lowest."""
    return int(np.nan_to_num(values, nan=-1.0).argmax())


def _line(head: float, values: Sequence[float], is_best: bool) -> str:
    cells = "".join(f" {'n/a' if np.isnan(value) else format(100 * value, '.2f'):>9}" for value in values)
    return f"{head:>10g}{cells}{'  <- best' if is_best else ''}"


def sweep_csv(swept: Sequence[Swept], metric: Metric) -> str:
    """Return the table: for each NMS IoU and class a row with its AP, then one for each score; n/a is empty.

    The AP is that of all detections, hence its row has no score.  The class `all` has the mean AP, and its
    cuts are those of all classes together.
    """
    heads = ["nms_iou", "class", "score", *HEADS, *AP_HEADS]
    return table_text(heads, (_cells(row) for one in swept for row in _csv_rows(one, metric)))


def _csv_rows(swept: Swept, metric: Metric) -> Iterator[list[Any]]:
    """Yield the values of the rows of one threshold of NMS."""
    nms_iou, scored = swept
    table, ap = score_curve(scored), scored.result.ap[metric]
    fifty, seventy_five = (scored.result.thresholds.index(value) for value in (0.5, 0.75))
    means = [[row[fifty], row[seventy_five], row.mean()] for row in ap]
    means.append(list(mean_aps(scored.result, metric).values()))
    for name, cuts, precisions in zip((*scored.classes, POOLED), table, means, strict=True):
        yield [nms_iou, name, None, *[None] * len(HEADS), *precisions]
        for least, cut in zip(SCORES, cuts, strict=True):
            yield [nms_iou, name, least, *cut, *[None] * len(AP_HEADS)]


def _cells(values: Sequence[Any]) -> list[str]:
    return ["" if value is None or value != value else _word(value) for value in values]  # NaN


def _word(value: float | str) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def save_sweep(path: Path, swept: Sequence[Swept], means: F64, best: int) -> None:
    """Draw figures over the scores at the best NMS IoU, and AP over the NMS IoUs.

    Args:
        means: (len(swept), 3) AP50, AP75 and AP50:95.
    """
    save_figure(path, sweep_figure(swept, means, best))


def sweep_figure(swept: Sequence[Swept], means: F64, best: int) -> Figure:
    """Return the figure that `save_sweep` saves."""
    scored, iou = swept[best].scored, swept[best].nms_iou
    figure, (cuts, classes, suppression) = panels(3, [HEADS, AP_HEADS], scored.classes)
    table = score_curve(scored)
    for k, name in enumerate(HEADS):
        cuts.plot(SCORES, table[-1, :, k], label=name)
    for k, (name, own) in enumerate(zip(scored.classes, table[:-1], strict=True)):
        classes.plot(SCORES, own[:, -1], label=name, lw=1.4, **class_line(k))
    for k, name in enumerate(AP_HEADS):
        suppression.plot([s.nms_iou or 0.0 for s in swept], means[:, k], marker=".", label=name)
    note = "" if iou is None else f", NMS IoU {iou:g}"
    _finish(cuts, "all classes" + note, "kept from score")
    _finish(classes, "F1 by class" + note, "kept from score")
    _finish(suppression, "average precision", "NMS IoU")
    put_legend(cuts)
    put_legend(suppression)
    put_wide_legend(figure, classes)
    return figure


def _finish(axis: Axes, title: str, label: str) -> None:
    axis.set_title(title)
    axis.set_xlabel(label)
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)
