"""From raw predictions to detections in the pixels of the source images (spec 7).

Quads are built before anything else happens to the boxes, and nothing is clipped.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cfg.schema import EvalConfig
from modelR.heads.decode import decode_level
from utils.quad_nms import quad_nms
from utils.quads import glides_to_quads, invert_affine, mask_glides, transform_points
from utils.records import Detections, Frame, LevelPrediction


def postprocess(
    predictions: Sequence[LevelPrediction], frames: Sequence[Frame], config: EvalConfig
) -> list[Detections]:
    """Return the detections of each image, on the CPU, highest score first.

    One label per cell, score = sqrt(objectness * class score); quads that are not finite are dropped.
    """
    quads, scores, labels = (
        torch.cat(parts, dim=1) for parts in zip(*map(_candidates, predictions), strict=True)
    )
    return [
        _select(quads[i], scores[i], labels[i], frame, config)  # one image; NMS works on few rows
        for i, frame in enumerate(frames)
    ]


def _candidates(prediction: LevelPrediction) -> tuple[Tensor, Tensor, Tensor]:
    """Return every cell of a level as quads (B, H * W, 4, 2), scores and labels (B, H * W)."""
    decoded = decode_level(prediction)
    class_score, labels = decoded.class_scores.max(dim=-1)
    scores = (decoded.objectness * class_score).sqrt()
    quads = glides_to_quads(decoded.hboxes, mask_glides(decoded.glides, decoded.area_ratio))
    return quads.flatten(1, 2), scores.flatten(1), labels.flatten(1)


def _select(quads: Tensor, scores: Tensor, labels: Tensor, frame: Frame, config: EvalConfig) -> Detections:
    usable = (scores > config.score_threshold) & quads.isfinite().flatten(1).all(dim=1)
    rows = usable.nonzero().squeeze(-1)
    if len(rows) > config.pre_nms:
        rows = rows[scores[rows].topk(config.pre_nms).indices]
    quads, scores, labels = quads[rows].cpu(), scores[rows].cpu(), labels[rows].cpu()
    matrix = invert_affine(torch.from_numpy(frame.matrix).to(quads.dtype))
    quads = transform_points(quads, matrix)
    kept = quad_nms(quads, scores, labels, config.nms_iou, config.max_detections)
    return Detections(quads[kept], scores[kept], labels[kept])
