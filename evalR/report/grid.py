"""Pictures of predictions beside the truth."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evalR.thresholds import DEFAULT
from utils.drawing import Image, contact_sheet, draw_quads, rescale, save_image, side_by_side
from utils.images import read_image
from utils.records import Annotation, Detections

MAX_ROWS = 12
LONG_SIDE = 512  # pixels of each picture on the sheet
COLUMNS = 2
GREY = (170, 170, 170)  # truth that is difficult and does not count

Row = tuple[Annotation, Detections]


def prediction_grid(
    rows: Sequence[Row], classes: Sequence[str], path: str | Path, thresholds: Sequence[float] = ()
) -> Image:
    """Save and return one sheet: truth on the left, predictions with their scores on the right.

    At most 12 images, spread evenly over the list, are read and shown; difficult truth is grey,
    predictions below the threshold of their class are left out.  The suffix of `path` chooses JPEG or PNG.
    """
    chosen = spread(len(rows), MAX_ROWS)
    least = torch.tensor(list(thresholds) or [DEFAULT] * len(classes))
    shown = [(truth, above(found, least)) for truth, found in (rows[n] for n in chosen)]
    pairs = [_pair(row, classes) for row in shown]
    titles = [_title(row) for row in shown]
    sheet = contact_sheet(pairs, COLUMNS, titles)
    save_image(path, sheet)
    return sheet


def spread(count: int, limit: int) -> list[int]:
    """Return at most `limit` of the numbers below `count`, evenly spread, with the first and the last."""
    return [round(n) for n in np.linspace(0, count - 1, min(count, limit)).tolist()]


def above(found: Detections, thresholds: Tensor) -> Detections:
    """Return the detections with at least the threshold (C,) of their class."""
    keep = found.scores.cpu() >= thresholds[found.labels.cpu()]
    return Detections(*(field.cpu()[keep] for field in found))


def _title(row: Row) -> str:
    truth, found = row
    return f"{Path(truth.image_path).name}   truth {len(truth.labels)}   found {len(found.labels)}"


def _pair(row: Row, classes: Sequence[str]) -> Image:
    truth, found = row
    image = read_image(truth.image_path)
    scale = min(1.0, LONG_SIDE / max(image.shape[:2]))
    image = rescale(image, scale)
    hard = truth.difficult != 0
    left = draw_quads(image, truth.quads[hard] * scale, truth.labels[hard], (), None, [GREY] * len(classes))
    left = draw_quads(left, truth.quads[~hard] * scale, truth.labels[~hard], classes)
    quads, scores, labels = (t.detach().cpu().numpy() for t in found)
    return side_by_side(left, draw_quads(image, quads * scale, labels, classes, scores))
