"""Which ground truth each detection means, once for all thresholds.  Source: spec/gghl.md 8.1 (FIX), 8.2."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from utils.quad_iou import pairwise_quad_iou
from utils.quads import quad_areas, self_crossing, uncrossed_quads
from utils.records import Annotation, Detections

logger = logging.getLogger(__name__)
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Matches(NamedTuple):
    """The detections of all images with their best ground truth, D and G rows in image order."""

    scores: F64  # (D,)
    labels: I64  # (D,)
    best_iou: F64  # (D,) with the best ground truth of the same image and class, 0 without
    best_truth: I64  # (D,) its row among the ground truths, -1 without
    truth_labels: I64  # (G,)
    difficult: Bools  # (G,)


def match(
    detections: Sequence[Detections], annotations: Sequence[Annotation], max_area_ratio: float | None = None
) -> Matches:
    """Return every detection with the ground truth of its image and class that it overlaps most.

    The best ground truth is chosen before anyone asks whether it is taken, so a detection never falls
    through to its second best; ties go to the first.  The devkit's horizontal pre-filter is left out: it
    only drops pairs that share nothing.  Self-crossing quads count by their signed area, as in the devkit.

    Args:
        max_area_ratio: ground truths that fill more of their horizontal box than this count as difficult.

    Raises:
        ValueError: the two sequences differ in length.
    """
    if len(detections) != len(annotations):
        raise ValueError(f"expected detections for {len(annotations)} images, got {len(detections)}")
    _count_self_crossing(annotations)
    best_iou, best_truth, first_truth = [np.zeros(0)], [np.zeros(0, dtype=np.int64)], 0
    for found, truth in zip(detections, annotations, strict=True):
        iou, row = _match_image(found, truth)
        best_iou.append(iou)
        best_truth.append(np.where(row >= 0, row + first_truth, -1))
        first_truth += len(truth.labels)
    return Matches(
        scores=np.concatenate([np.zeros(0)] + [d.scores.cpu().double().numpy() for d in detections]),
        labels=_join([d.labels.cpu().numpy() for d in detections]),
        best_iou=np.concatenate(best_iou),
        best_truth=np.concatenate(best_truth),
        truth_labels=_join([a.labels for a in annotations]),
        difficult=_join([_is_difficult(a, max_area_ratio) for a in annotations]).astype(np.bool_),
    )


def _count_self_crossing(annotations: Sequence[Annotation]) -> None:
    count = sum(int(self_crossing(torch.from_numpy(truth.quads)).sum()) for truth in annotations)
    if count:
        logger.warning("%d ground truths cross themselves and count by their signed area", count)


def true_and_false(matches: Matches, label: int, threshold: float) -> tuple[Bools, Bools]:
    """Return which detections of a class are true and which false positives, highest score first.

    A detection whose best IoU is strictly above the threshold is true when it is the first on its ground
    truth and false when a later one; on a difficult ground truth it is neither.  All others are false.
    Equal scores keep the order of the images.
    """
    rows = np.flatnonzero(matches.labels == label)
    rows = rows[np.argsort(-matches.scores[rows], kind="stable")]
    hit = matches.best_iou[rows] > threshold
    hits = np.flatnonzero(hit)
    on_difficult = matches.difficult[matches.best_truth[rows[hits]]]
    counted = hits[~on_difficult]
    _, first = np.unique(matches.best_truth[rows[counted]], return_index=True)
    true, false = np.zeros(len(rows), dtype=np.bool_), np.ones(len(rows), dtype=np.bool_)
    true[counted[first]] = True
    false[counted[first]] = False
    false[hits[on_difficult]] = False
    return true, false


def _match_image(found: Detections, truth: Annotation) -> tuple[F64, I64]:
    """Return the best IoU and the row in `truth` (-1 without one) of each detection of one image."""
    best_iou, best_row = np.zeros(len(found.labels)), np.full(len(found.labels), -1, dtype=np.int64)
    quads, labels = found.quads.cpu().double(), found.labels.cpu().numpy()
    for label in np.intersect1d(labels, truth.labels):
        rows, truth_rows = np.flatnonzero(labels == label), np.flatnonzero(truth.labels == label)
        truths = torch.from_numpy(truth.quads[truth_rows]).double()
        iou = pairwise_quad_iou(quads[torch.from_numpy(rows)], truths, crossing="signed").numpy()
        best_iou[rows] = iou.max(axis=1)
        best_row[rows] = truth_rows[iou.argmax(axis=1)]
    return best_iou, best_row


def _is_difficult(truth: Annotation, max_area_ratio: float | None) -> Bools:
    """Return which ground truths are flagged, or fill more of their horizontal box than is counted."""
    difficult: Bools = truth.difficult != 0
    if max_area_ratio is None:
        return difficult
    quads = torch.from_numpy(truth.quads).double()
    areas = quad_areas(uncrossed_quads(quads)).numpy()
    box_areas = (quads.amax(dim=1) - quads.amin(dim=1)).prod(dim=-1).numpy()
    return difficult | (areas > max_area_ratio * box_areas)


def _join(arrays: list[NDArray[np.int64]] | list[Bools]) -> I64:
    return np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
