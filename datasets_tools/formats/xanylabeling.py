"""X-AnyLabeling: labelme's JSON with `difficult`, and rotated rectangles with their `direction`."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from datasets_tools.formats.labelme import count_cut, read_labelme, write_document
from utils.arrays import F64
from utils.decimals import rounded

read_xanylabeling = read_labelme
VERSION = "4.0.0"  # of the program whose files these are
SQUARE = 1e-3  # of the sides: how far the corners of a rectangle may be from right angles and one another


def write_xanylabeling(images: Sequence[LabelledImage], target: Path, notes: Notes) -> None:
    """Write SPLIT/NAME.json beside the image: rectangles as `rotation`, others as `quadrilateral`."""
    for image in images:
        rows = zip(image.classes, image.quads, image.difficult.tolist(), strict=True)
        shapes = [_shape_row(*row) for row in rows]
        if image.scores is not None:
            shapes = [row | {"score": s} for row, s in zip(shapes, image.scores.tolist(), strict=True)]
        write_document(image, shapes, VERSION, target)
        count_cut(image, notes)
    target.mkdir(parents=True, exist_ok=True)


def _shape_row(name: str, quad: F64, flag: int) -> dict[str, Any]:
    row: dict[str, Any] = {"label": name, "score": None, "points": rounded(quad), "group_id": None}
    row |= {"description": "", "difficult": flag > 0}
    if _is_rectangle(quad):
        along = quad[1] - quad[0]
        direction = math.atan2(along[1], along[0]) % (2 * math.pi)
        row |= {"shape_type": "rotation", "flags": {}, "attributes": {}, "direction": round(direction, 6)}
    else:
        row |= {"shape_type": "quadrilateral", "flags": {}, "attributes": {}}
    return row | {"kie_linking": []}


def _is_rectangle(quad: F64) -> bool:
    """Say whether the diagonals halve one another and are of one length."""
    first, second = quad[2] - quad[0], quad[3] - quad[1]
    lengths = np.hypot(*first), np.hypot(*second)
    apart = np.hypot(*(quad[0] + quad[2] - quad[1] - quad[3])) / 2
    return bool(max(apart, abs(lengths[0] - lengths[1])) <= SQUARE * max(lengths))
