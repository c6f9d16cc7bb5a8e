"""COCO JSON written: the quad as `segmentation`, and a horizontal or a rotated box beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dataloadR.formats.angles import ANGLES
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.rectangles import Rectangles, count_other_quads, enclosing_rectangles
from evalR.outputs.coco import coco_document, horizontal_boxes, image_row, object_rows
from utils.arrays import F64
from utils.errors import UserError
from utils.files import write_json


def write_coco(
    images: Sequence[LabelledImage],
    target: Path,
    notes: Notes,
    classes: Sequence[str],
    rotated: str = "",
) -> None:
    """Write annotations/instances_SPLIT.json, `all` for images without a split; ids count from 1.

    Other tools look for files that are called so.
    `iscrowd` and `ignore` are 1 for every difficult object, `difficult` keeps the flag itself.

    Args:
        rotated: a key of ANGLES: `bbox` is a rotated box of five numbers; empty: the horizontal one of four.

    Raises:
        UserError: an image of unknown size.
    """
    splits = sorted({image.split for image in images}) or [""]
    for split in splits:
        chosen = [image for image in images if image.split == split]
        images_of_split = [_image_row(number, image) for number, image in enumerate(chosen, 1)]
        rows = [
            row for number, image in enumerate(chosen, 1) for row in _rows(number, image, classes, rotated)
        ]
        document = coco_document(images_of_split, rows, classes)
        write_json(target / "annotations" / f"instances_{split or 'all'}.json", document)
        if rotated:
            others = sum(count_other_quads(i.quads, enclosing_rectangles(i.quads)) for i in chosen)
            notes.add("quads are rectangles in `bbox`; `segmentation` keeps them", others)


def _image_row(number: int, image: LabelledImage) -> dict[str, Any]:
    if image.size is None:
        raise UserError(f"{image.name}: COCO needs the size of the image")
    return image_row(number, image.name, image.size)


def _rows(number: int, image: LabelledImage, classes: Sequence[str], rotated: str) -> list[dict[str, Any]]:
    rectangles = enclosing_rectangles(image.quads)
    boxes = _rotated_boxes(rectangles, rotated) if rotated else horizontal_boxes(image.quads)
    labels = [classes.index(name) for name in image.classes]
    rows = object_rows(number, labels, image.quads, boxes)
    scores = [{}] * len(rows) if image.scores is None else [{"score": s} for s in image.scores.tolist()]
    return [
        {**row, "iscrowd": int(flag > 0), "ignore": int(flag > 0), "difficult": flag, **score}
        for row, flag, score in zip(rows, image.difficult.tolist(), scores, strict=True)
    ]


def _rotated_boxes(rectangles: Rectangles, angle: str) -> F64:
    angles = rectangles.radians / ANGLES[angle]
    return np.concatenate([rectangles.centres, rectangles.sizes, angles[:, None]], axis=1)
