"""Grid of pictures: predictions beside the truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from utils.arrays import U8
from utils.drawing import (
    LegendEntry,
    contact_sheet,
    draw_quads,
    rescale,
    save_image,
    side_by_side,
    with_legend,
)
from utils.images import read_image
from utils.palette import class_colour
from utils.records import Annotation, Detections
from utils.thresholds import Threshold, least_scores, reaches, threshold_text

MAX_ROWS = 12
LONG_SIDE = 512  # pixels of each picture on the sheet
COLUMNS = 2
GREY = (170, 170, 170)  # truth that is difficult and does not count

Prediction = tuple[Annotation, Detections]


class ShownPair(NamedTuple):
    """An image with its truth and those of its detections that are shown."""

    truth: Annotation
    quads: np.ndarray  # (K, 4, 2) pixels
    scores: np.ndarray  # (K,)
    labels: np.ndarray  # (K,)


def prediction_grid(
    rows: Sequence[Prediction], classes: Sequence[str], path: str | Path, score_threshold: Threshold = 0.3
) -> U8:
    """Save and return one sheet: truth on the left, predictions with their scores on the right.

    At most 12 images, spread evenly over the list, are read and shown; difficult truth is grey,
    predictions below the threshold are left out.  Below stand the threshold and the colours of the classes.
    The suffix of `path` chooses JPEG or PNG.
    """
    least = least_scores(score_threshold, classes)
    pairs = [_shown(rows[n], least) for n in spread(len(rows), MAX_ROWS)]
    sheet = contact_sheet([_draw(pair, classes) for pair in pairs], COLUMNS, [_title(pair) for pair in pairs])
    sheet = with_legend(sheet, _legend(pairs, classes, score_threshold))
    save_image(path, sheet)
    return sheet


def spread(count: int, limit: int) -> list[int]:
    """Return at most `limit` of the numbers below `count`, evenly spread, with the first and the last."""
    return [round(n) for n in np.linspace(0, count - 1, min(count, limit)).tolist()]


def _shown(row: Prediction, least: np.ndarray) -> ShownPair:
    truth, found = row
    quads, scores, labels = (field.detach().cpu().numpy() for field in found)
    keep = reaches(scores, labels, least)
    return ShownPair(truth, quads[keep], scores[keep], labels[keep])


def _title(pair: ShownPair) -> str:
    name = Path(pair.truth.image_path).name
    return f"{name}   truth {len(pair.truth.labels)}   found {len(pair.labels)}"


def _legend(pairs: Sequence[ShownPair], classes: Sequence[str], threshold: Threshold) -> list[LegendEntry]:
    """Return what the sides are, and the classes that occur."""
    known = {int(k) for pair in pairs for k in (*pair.labels, *pair.truth.labels[pair.truth.difficult == 0])}
    hard: list[LegendEntry] = (
        [(GREY, "difficult")] if any(pair.truth.difficult.any() for pair in pairs) else []
    )
    note = f"left: truth; right: predictions, {threshold_text(threshold)}"
    return [(None, note), *((class_colour(k), classes[k]) for k in sorted(known)), *hard]


def _draw(pair: ShownPair, classes: Sequence[str]) -> U8:
    truth = pair.truth
    image = read_image(truth.image_path)
    scale = min(1.0, LONG_SIDE / max(image.shape[:2]))
    image = rescale(image, scale)
    hard = truth.difficult != 0
    left = draw_quads(image, truth.quads[hard] * scale, truth.labels[hard], (), None, [GREY] * len(classes))
    left = draw_quads(left, truth.quads[~hard] * scale, truth.labels[~hard], classes)
    return side_by_side(left, draw_quads(image, pair.quads * scale, pair.labels, classes, pair.scores))
