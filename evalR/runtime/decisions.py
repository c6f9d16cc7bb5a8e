"""Detections from the outputs of a graph: thresholds, suppression, voting, and the way back to the image."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from evalR.runtime.engines import Outputs
from evalR.runtime.metadata import Contract
from evalR.runtime.suppression import suppress_quads
from evalR.runtime.voting import vote
from utils.arrays import F32, F64, I64
from utils.images import Matrix, invert, transform_quads
from utils.thresholds import least_scores, reaches, thresholds_by_class

DEFAULT = 0.3  # threshold where a file knows none, that of cfg.predict
MANY = 3000  # candidates of an image where a file knows no number, that of cfg.eval


class FoundQuads(NamedTuple):
    """Objects of one image, highest score first."""

    quads: F32  # (K, 4, 2) pixels of the image, x right, y down, clockwise from the top vertex of the input
    scores: F32  # (K,) in [0, 1]
    labels: I64  # (K,) index into `classes`
    classes: tuple[str, ...]  # all that the model knows

    @property
    def names(self) -> list[str]:
        """The class name of each object."""
        return [self.classes[label] for label in self.labels]


class Rules(NamedTuple):
    """What makes detections of candidates."""

    least: F64  # (C,) score of what is shown
    candidate_score: float  # above which candidates suppress and vote
    pre_nms: int
    nms_iou: float
    vote_iou: float
    support: float
    max_detections: int


def rules_of(contract: Contract, threshold: float | Mapping[str, float] | None) -> Rules:
    """Return the rules of a file: those of its training.

    Args:
        threshold: of the scores that are shown, one or by class; None: the thresholds of the training.

    Raises:
        UserError: a threshold of no class.
    """
    say, nms = contract.setting, contract.values["nms"]
    said = say("predict.score_threshold", None) if threshold is None else threshold
    least = least_scores(
        thresholds_by_class(said, contract.thresholds, contract.classes, DEFAULT), contract.classes
    )
    return Rules(
        least,
        float(say("eval.score_threshold", contract.values["score"]["threshold"])),
        int(say("eval.pre_nms", nms.get("candidates", MANY))),
        float(nms["iou"]),
        float(nms.get("vote_iou", say("eval.vote_iou", 1.0))),
        float(nms.get("support", say("eval.support", 0.0))),
        int(nms["max_detections"]),
    )


def detections_of(
    outputs: Outputs, row: int, matrix: Matrix, rules: Rules, classes: tuple[str, ...]
) -> FoundQuads:
    """Return what is shown of one image of a batch.

    Args:
        outputs: of a graph, by name.
        row: of the image in the batch.
        matrix: from image to input.
    """
    quads, scores, labels = _candidates(outputs, row, rules)
    quads = transform_quads(quads, invert(matrix))
    if "count" not in outputs:
        quads, scores, labels = _suppressed(quads, scores, labels, rules)
    shown = reaches(scores, labels, rules.least)
    return FoundQuads(quads[shown], scores[shown], labels[shown], classes)


def _candidates(outputs: Outputs, row: int, rules: Rules) -> tuple[F32, F32, I64]:
    """Return the candidates of an image that matter: quads (K, 4, 2) px of the input, scores, labels."""
    quads, scores = outputs["quads"][row].reshape(-1, 4, 2), outputs["scores"][row]
    labels = (outputs["labels"][row] if scores.ndim == 1 else scores.argmax(axis=1)).astype(np.int64)
    scores = scores if scores.ndim == 1 else scores.max(axis=1)  # people want one answer
    if "count" in outputs:
        rows = np.arange(int(outputs["count"][row]))
    else:
        rows = np.flatnonzero(scores > rules.candidate_score)
    chosen, values, labels = quads[rows].astype(np.float32), scores[rows].astype(np.float32), labels[rows]
    finite = np.isfinite(chosen).all(axis=(1, 2))
    if len(values) > rules.pre_nms or not finite.all():
        values = np.where(finite, values, -np.inf)
        best = np.sort(np.argsort(-values, kind="stable")[: min(rules.pre_nms, int(finite.sum()))])
        chosen, values, labels = chosen[best], values[best], labels[best]
    return chosen, values, labels


def _suppressed(quads: F32, scores: F32, labels: I64, rules: Rules) -> tuple[F32, F32, I64]:
    exact, values = quads.astype(np.float64), scores.astype(np.float64)
    if rules.vote_iou >= 1:  # what is not shown changes nothing then
        shown = reaches(scores, labels, rules.least)
        quads, exact, scores, labels = quads[shown], exact[shown], scores[shown], labels[shown]
        kept = suppress_quads(exact, scores, labels, rules.nms_iou, rules.max_detections).kept
        return quads[kept], scores[kept], labels[kept]
    groups = suppress_quads(exact, scores, labels, rules.nms_iou, rules.max_detections)
    voted, support = vote(exact, values, groups, rules.vote_iou)
    kept, votes = groups.kept, rules.support * support
    raised = np.where(votes > 0, -np.expm1(np.log1p(-values[kept]) * (1 + votes)), values[kept])
    order = np.argsort(-raised, kind="stable")
    return voted[order].astype(np.float32), raised[order].astype(np.float32), labels[kept][order]
