"""COCO JSON of oriented objects: the quad as `segmentation`, the horizontal box around it as `bbox`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evalR.outputs.measures import quads_of
from utils.arrays import F64
from utils.decimals import rounded
from utils.files import write_json
from utils.quads.geometry import quad_areas
from utils.records import SceneDetections


def image_row(number: int, name: str, size: tuple[int, int]) -> dict[str, Any]:
    """Return the entry of an image; its size is height and width."""
    return {"id": number, "file_name": name, "width": size[1], "height": size[0]}


def horizontal_boxes(quads: F64) -> F64:
    """Return the boxes around quads (N, 4, 2) as COCO has them, (N, 4): x_min, y_min, width, height."""
    return np.concatenate([quads.min(axis=1), np.ptp(quads, axis=1)], axis=1)


def object_rows(image: int, labels: Sequence[int], quads: F64, boxes: F64) -> list[dict[str, Any]]:
    """Return the entries of the objects of an image, whose own `id` is still 0.

    Args:
        labels: (N,) from 0; categories count from 1.
        boxes: (N, 4), or (N, 5) where they are rotated.
    """
    areas = quad_areas(torch.from_numpy(np.ascontiguousarray(quads))).numpy()
    return [
        {
            "id": 0,
            "image_id": image,
            "category_id": label + 1,
            "segmentation": [rounded(quad.ravel())],
            "bbox": rounded(box),
            "area": rounded(area),
        }
        for label, quad, box, area in zip(labels, quads, boxes, areas, strict=True)
    ]


def coco_document(
    images: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], classes: Sequence[str]
) -> dict[str, Any]:
    """Return the whole document; objects are numbered from 1."""
    return {
        "images": list(images),
        "annotations": [{**row, "id": number} for number, row in enumerate(rows, 1)],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }


def write_coco_results(path: Path, everything: Sequence[SceneDetections], classes: Sequence[str]) -> None:
    """Write all images as one file; `file_name` is the path as given, and each object has its `score`."""
    images, rows = [], []
    for number, found in enumerate(everything, 1):
        images.append(image_row(number, Path(found.source).as_posix(), found.size))
        quads = quads_of(found)
        objects = object_rows(number, found.detections.labels.tolist(), quads, horizontal_boxes(quads))
        scores = found.detections.scores.tolist()
        rows += [
            {**row, "iscrowd": 0, "score": round(score, 4)}
            for row, score in zip(objects, scores, strict=True)
        ]
    write_json(path, coco_document(images, rows, classes))
