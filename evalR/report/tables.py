"""Tables of a report: figures of metrics.json as rows of cells."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from evalR.scoring.errors import MISSED
from evalR.scoring.metrics import Values

NOT_THERE = "n/a"
MOST_CLASSES = 40  # rows of the confusion matrix; the page would become too large
COLUMNS = ("AP50", "AP75", "AP50:95")
SIZE_TITLES = {"coco": "Size, as in COCO", "ai_tod": "Size, as in AI-TOD"}
KIND_WORDS = {
    "class": "well placed, but called another class",
    "localisation": "right class, badly placed (IoU 0.1 to 0.5)",
    "both": "another class, and badly placed",
    "duplicate": "an object that a higher score has found already",
    "background": "nothing there",
    MISSED: "objects that nothing has found or meant",
}


class Cell(NamedTuple):
    """One cell."""

    text: str
    share: float | None = None  # length of the bar behind the text, or depth of its colour; 0 to 1
    mark: str = ""  # "best" or "worst" of its column


class Table(NamedTuple):
    """Rows that begin with their name."""

    heads: Sequence[str]
    rows: list[tuple[str, list[Cell]]]


def percent(value: float | None) -> str:
    """Return a share as a percentage with one decimal."""
    return NOT_THERE if value is None else f"{100 * value:.1f}"


def class_table(values: Values) -> Table:
    """Return the figures of each class, and their mean in the last row."""
    best = values["best_f1"]
    parts = [values[metric][column] for metric in ("voc12", "voc07") for column in COLUMNS]
    parts += [best[name] for name in ("f1", "precision", "recall")]
    columns = [_marked(part["per_class"]) for part in parts]
    rows = []
    for name, objects in values["objects"].items():
        score = best["score"][name]
        cells = [Cell(f"{objects:,}"), Cell(f"{values['detections'][name]:,}")]
        cells += [column[name] for column in columns]
        rows.append((name, [*cells, Cell(NOT_THERE if score is None else f"{score:.3f}")]))
    sums = [Cell(f"{sum(values[key].values()):,}") for key in ("objects", "detections")]
    rows.append(("mean", [*sums, *(bar(part["mean"]) for part in parts), Cell("")]))
    aps = [f"{metric} {column}" for metric in ("VOC12", "VOC07") for column in COLUMNS]
    return Table(["class", "objects", "detections", *aps, "best F1", "precision", "recall", "score"], rows)


def _marked(
    per_class: Mapping[str, float | None], highest: str = "best", lowest: str = "worst"
) -> dict[str, Cell]:
    """Return the cells of a column, its highest and lowest marked where they differ."""
    known = [value for value in per_class.values() if value is not None]
    ends = {min(known): lowest, max(known): highest} if len(set(known)) > 1 else {}
    return {
        name: bar(value, "" if value is None else ends.get(value, "")) for name, value in per_class.items()
    }


def bar(value: float | None, mark: str = "") -> Cell:
    """Return a share with a bar of its length."""
    return Cell(percent(value), value, mark)


def size_table(sizes: Mapping[str, Values]) -> Table:
    """Return AP by area; the areas are told as sides of squares."""
    rows = []
    for name, values in sizes.items():
        least, most = (round(area**0.5) for area in values["square_pixels"])
        ends = f"{least} to {most}" if most < 1e4 else f"from {least}" if least else "any"
        means = [bar(values[column]["mean"]) for column in (*COLUMNS, "AR")]
        rows.append(
            (name.replace("_", " "), [Cell(ends), Cell(f"{sum(values['objects'].values()):,}"), *means])
        )
    return Table(["size", "side, px", "objects", *COLUMNS, "AR"], rows)


def iou_table(values: Values) -> Table:
    """Return the mean AP at each IoU threshold by each way to average."""
    tables = {"VOC12": values["voc12"], "VOC07": values["voc07"], "COCO": values["sizes"]["coco"]["all"]}
    names = [name for name in values["voc12"] if name.startswith("AP")]
    rows = [(head, [bar(table[name]["mean"]) for name in names]) for head, table in tables.items()]
    return Table(["mean of the classes", *names], rows)


def coco_table(values: Values) -> Table:
    """Return COCO's figures of each class, and their mean in the last row; LRP is an error."""
    coco, whole, lrp = values["coco"], values["sizes"]["coco"]["all"], values["coco"]["lrp"]
    gains = {"AP25": coco["AP25"], **{name: whole[name] for name in COLUMNS}}
    gains |= {f"AR@{limit}": part for limit, part in coco["AR"].items()}
    errors = {"oLRP": "total", "localisation": "localisation"}
    errors |= {"false positives": "false_positives", "false negatives": "false_negatives"}
    columns = [_marked(part["per_class"]) for part in gains.values()]
    columns += [_marked(lrp[part]["per_class"], "worst", "best") for part in errors.values()]
    rows = []
    for name, score in lrp["score"].items():
        cells = [column[name] for column in columns]
        rows.append((name, [*cells, Cell(NOT_THERE if score is None else f"{score:.3f}")]))
    means = [bar(part["mean"]) for part in (*gains.values(), *(lrp[part] for part in errors.values()))]
    rows.append(("mean", [*means, Cell("")]))
    return Table(["class", *gains, *errors, "score"], rows)


def bin_table(head: str, cuts: Mapping[str, Values], metric: str, unit: str = "") -> Table:
    """Return AP by bins of the truth."""
    rows = []
    for name, values in cuts.items():
        means = [bar(values[metric][column]["mean"]) for column in COLUMNS]
        rows.append((name + unit, [Cell(f"{sum(values['objects'].values()):,}"), *means]))
    return Table([head, "objects", *COLUMNS], rows)


def error_table(errors: Mapping[str, Values]) -> Table:
    """Return how many errors of each kind there are, and what they cost in mAP."""
    costs = [values["cost"] or 0.0 for values in errors.values()]
    most = max([*costs, 1e-9])
    rows = [
        (
            kind,
            [
                Cell(f"{v['count']:,}"),
                Cell(percent(v["cost"]), (v["cost"] or 0) / most),
                Cell(KIND_WORDS[kind]),
            ],
        )
        for kind, v in errors.items()
    ]
    return Table(["kind", "how many", "mAP lost", "what it is"], rows)


def angle_table(angle: Values) -> Table:
    """Return by how much directions are off, in degrees."""
    means = [value for value in angle["per_class"].values() if value is not None]
    most = max([*means, 1e-9])
    rows = [("all", [_degrees(angle["mean"], most)])]
    rows += [(name, [_degrees(value, most)]) for name, value in angle["per_class"].items()]
    return Table(["class", "mean error, degrees"], rows)


def _degrees(value: float | None, most: float) -> Cell:
    return Cell(NOT_THERE) if value is None else Cell(f"{value:.1f}", min(value / most, 1.0))


def confusion_table(confusion: Values) -> Table:
    """Return the matrix, shares of each row as depth; beyond 40 classes, those with the most objects."""
    names, rows = list(confusion["names"]), np.array(confusion["rows"])
    classes = np.argsort(-rows[:-1].sum(axis=1), kind="stable")[:MOST_CLASSES]
    shown = [*sorted(classes.tolist()), len(names) - 1]
    shares = rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)
    cells = [[Cell(f"{rows[i, j]}" if rows[i, j] else "", float(shares[i, j])) for j in shown] for i in shown]
    return Table(
        ["true class", *(names[k] for k in shown)],
        [(names[k], row) for k, row in zip(shown, cells, strict=True)],
    )


def protocol_table(protocol: Values) -> Table:
    """Return everything that is said about how the figures were made."""
    return Table(["what", "value"], [(key, [Cell(text)]) for key, text in _flat(protocol)])


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{before}{key}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            rows.append((before + key, ", ".join(map(str, value))))
        else:
            rows.append((before + key, NOT_THERE if value is None else str(value)))
    return rows
