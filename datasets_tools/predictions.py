"""Predictions to be drawn: from result files, or from a checkpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalR.inference.load import Trained
from evalR.inference.splits import predict_any
from evalR.scoring.dota_results import read_task1
from utils.arrays import F32
from utils.errors import UserError
from utils.images import read_image
from utils.progress import bar_over
from utils.records import Annotation, Detections
from utils.thresholds import reaches


class Drawn(NamedTuple):
    """Predictions of one image, those that are drawn."""

    objects: Annotation
    scores: F32  # (K,)


def result_classes(folder: Path) -> list[str]:
    """Return the classes that a folder has result files of, sorted.

    Raises:
        UserError: it has none.
    """
    names = sorted(path.stem.removeprefix("Task1_") for path in folder.glob("Task1_*.txt"))
    if not names:
        raise UserError(f"{folder}: expected result files Task1_CLASS.txt, found none")
    return names


def read_predictions(folder: Path, image_names: Sequence[str], classes: Sequence[str]) -> list[Detections]:
    """Return the detections of each image, from result files that hold no other images.

    Raises:
        UserError: a line that cannot be read, or of an image that is not asked for; names file and line.
    """
    try:
        return read_task1(folder, classes, image_names)
    except (ValueError, OSError) as error:
        raise UserError(str(error)) from None


def predict_files(detector: Trained, paths: Sequence[str]) -> list[Detections]:
    """Return the detections of each image file, under a progress bar."""
    model, config, device = detector.model, detector.config, detector.device
    progress = bar_over(paths, "predict", "image", hidden=config.predict.quiet)
    return [predict_any(model, read_image(path), config, device) for path in progress]


def to_drawn(detections: Detections, least: NDArray[np.float64]) -> Drawn:
    """Return the detections with at least the score (C,) of their class, as they are drawn."""
    quads, scores, labels = (field.cpu().numpy() for field in detections)
    keep = reaches(scores, labels, least)
    quads, scores, labels = quads[keep], scores[keep], labels[keep]
    objects = Annotation("", quads.astype(np.float32), labels, np.zeros(len(labels), np.int8))
    return Drawn(objects, scores.astype(np.float32))
