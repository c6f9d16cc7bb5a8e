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

    Score = objectness^(1 - w) * class score^w with w of `eval.class_weight`, of the best class of a cell or
    of each (`eval.multi_label`); quads that are not finite are dropped.
    """
    levels = [_candidates(prediction, config) for prediction in predictions]
    quads, scores = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
    return [
        _select(quads[i], scores[i], frame, config)  # one image; NMS works on few rows
        for i, frame in enumerate(frames)
    ]


def _candidates(prediction: LevelPrediction, config: EvalConfig) -> tuple[Tensor, Tensor]:
    """Return every cell of a level as quads (B, H * W, 4, 2) and scores of its classes (B, H * W, C)."""
    decoded = decode_level(prediction)
    weight = config.class_weight
    scores = decoded.objectness.unsqueeze(-1) ** (1 - weight) * decoded.class_scores**weight
    if not config.multi_label:
        best = decoded.class_scores.argmax(dim=-1, keepdim=True)
        scores = torch.zeros_like(scores).scatter(-1, best, scores.gather(-1, best))
    quads = glides_to_quads(decoded.hboxes, mask_glides(decoded.glides, decoded.area_ratio))
    return quads.flatten(1, 2), scores.flatten(1, 2)


def _select(quads: Tensor, scores: Tensor, frame: Frame, config: EvalConfig) -> Detections:
    usable = (scores > config.score_threshold) & quads.isfinite().flatten(1).all(dim=1, keepdim=True)
    cells, labels = usable.nonzero().T
    scores = scores[cells, labels]
    if len(scores) > config.pre_nms:
        scores, best = scores.topk(config.pre_nms)
        cells, labels = cells[best], labels[best]
    quads, scores, labels = quads[cells].cpu(), scores.cpu(), labels.cpu()
    matrix = invert_affine(torch.from_numpy(frame.matrix).to(quads.dtype))
    quads = transform_points(quads, matrix)
    kept = quad_nms(quads, scores, labels, config.nms_iou, config.max_detections)
    return Detections(quads[kept], scores[kept], labels[kept])
