"""Error galleries: false detections of the highest scores, and objects that were not found."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from evalR.scoring.columns import Bools, shape_areas
from evalR.scoring.errors import BOTH, CLASS, DUPLICATE, LOCALISATION, Errors
from evalR.scoring.evaluate import Scored
from evalR.scoring.matching import FALSE, I8, TRUE
from utils.arrays import F64, U8
from utils.images import ImageError, Matrix, read_image
from utils.outlines import draw_outlines
from utils.pages import Picture, close_up, encode, source_range
from utils.palette import Colour, class_colour, hex_colour
from utils.quads.geometry import hboxes_to_quads

logger = logging.getLogger(__name__)
MOST = 24  # pictures of a gallery
SIDE = 200  # px of a picture
GREEN, ORANGE = (0, 200, 120), (255, 120, 0)  # truth, detections; told apart in grey pictures, too


class Case(NamedTuple):
    """One error."""

    image: int  # row of the image
    caption: str
    found: int = -1  # row of the detection that is wrong
    truth: int = -1  # row of the ground truth that was not found


class Gallery(NamedTuple):
    """The pictures of some errors."""

    pictures: list[Picture]
    total: int  # errors of which these are the worst
    unread: int  # errors that cannot be shown


def false_positives(scored: Scored, verdicts: I8, errors: Errors) -> list[Case]:
    """Return the false detections of the highest scores."""
    found = scored.found
    wrong = np.flatnonzero(verdicts == FALSE)
    worst = wrong[np.argsort(-found.scores[wrong], kind="stable")][:MOST]
    return [
        Case(int(found.images[row]), f"{_called(scored, row)}: {_fault(scored, errors, row)}", found=int(row))
        for row in worst
    ]


def _called(scored: Scored, row: int) -> str:
    return f"{scored.classes[scored.found.labels[row]]} {scored.found.scores[row]:.2f}"


def _fault(scored: Scored, errors: Errors, row: int) -> str:
    kind = errors.kinds[row]
    if kind == CLASS:
        return f"is {scored.classes[scored.truth.labels[errors.meant[row]]]}"
    if kind == LOCALISATION:
        return f"badly placed, IoU {scored.matches.best_iou[row]:.2f}"
    return {BOTH: "another class, badly placed", DUPLICATE: "found twice"}.get(int(kind), "nothing there")


def best_scores(scored: Scored, verdicts: I8) -> F64:
    """Return the score of the true detection of each ground truth, (G,), NaN where there is none."""
    scores = np.full(len(scored.truth.labels), np.nan)
    true = verdicts == TRUE
    scores[scored.matches.best_truth[true]] = scored.found.scores[true]
    return scores


def misses(scored: Scored, verdicts: I8, least: F64) -> tuple[list[Case], int]:
    """Return ground truths not found from the least score of their class on, and how many there are.

    The largest of each class first, the classes in turn.
    """
    truth = scored.truth
    scores = best_scores(scored, verdicts)
    missed = np.flatnonzero(~truth.difficult & ~(scores >= least[truth.labels]))
    missed = missed[np.lexsort((-shape_areas(truth.shapes[missed]), truth.labels[missed]))]
    starts = np.searchsorted(truth.labels[missed], truth.labels[missed])
    turns = np.argsort(np.arange(len(missed)) - starts, kind="stable")[:MOST]
    cases = []
    for row in missed[turns].tolist():
        known = f"only at {scores[row]:.2f}" if scores[row] == scores[row] else "at no score"
        name = scored.classes[truth.labels[row]]
        cases.append(Case(int(truth.images[row]), f"{name}: found {known}", truth=row))
    return cases, len(missed)


def show(cases: Sequence[Case], scored: Scored, paths: Sequence[str], shown: Bools) -> list[Picture | None]:
    """Return a picture of each case, None where its image cannot be read; each image is read once.

    Args:
        paths: of all images.
        shown: (D,) the detections that are drawn beside the one in question.
    """
    pictures: list[Picture | None] = [None] * len(cases)
    for image in dict.fromkeys(case.image for case in cases):
        pixels = _read(paths[image])
        if pixels is None:
            continue
        for place, case in enumerate(cases):
            if case.image == image:
                picture, matrix = _draw(pixels, case, scored, shown)
                caption = f"{case.caption} ({Path(paths[image]).name}, {source_range(matrix, SIDE)})"
                pictures[place] = encode(picture, caption, _class_patch(case, scored))
    return pictures


def _read(path: str) -> U8 | None:
    try:
        return read_image(path)
    except ImageError as error:
        logger.debug("not in the report: %s", error)
        return None


def _class_patch(case: Case, scored: Scored) -> str:
    """Return the colour of the class that a case is about."""
    label = scored.found.labels[case.found] if case.found >= 0 else scored.truth.labels[case.truth]
    return hex_colour(class_colour(int(label)))


def _draw(image: U8, case: Case, scored: Scored, shown: Bools) -> tuple[U8, Matrix]:
    """Return the surroundings of a case, and the matrix that leads there from the image.

    Truth is green, difficult truth dashed, detections are orange.
    """
    found, truth = scored.found, scored.truth
    own_truth = _rows(truth.images, case.image)
    own_found = _rows(found.images, case.image)
    own_found = own_found[shown[own_found] | (own_found == case.found)]
    subject = found.shapes[case.found] if case.found >= 0 else truth.shapes[case.truth]
    canvas, matrix = close_up(image, _as_quads(subject[np.newaxis])[0], SIDE)
    layers: list[tuple[F64, Colour, list[bool]]] = [
        (truth.shapes[own_truth], GREEN, truth.difficult[own_truth].tolist()),
        (found.shapes[own_found], ORANGE, []),
    ]
    for shapes, colour, dashed in layers:
        quads = _as_quads(shapes) @ matrix[:, :2].T + matrix[:, 2]
        draw_outlines(canvas, quads, [colour] * len(quads), 1, dashed, shaded=False)
    quad = _as_quads(subject[np.newaxis]) @ matrix[:, :2].T + matrix[:, 2]
    draw_outlines(canvas, quad, [ORANGE if case.found >= 0 else GREEN], 2, shaded=False)
    return canvas, matrix


def _rows(images: np.ndarray, image: int) -> np.ndarray:
    return np.arange(*np.searchsorted(images, [image, image + 1]))


def _as_quads(shapes: F64) -> F64:
    return shapes if shapes.ndim == 3 else np.asarray(hboxes_to_quads(torch.from_numpy(shapes)).numpy())
