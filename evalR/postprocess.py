"""From raw predictions to detections in the pixels of the source images (spec 7).

Quads are built before anything else happens to the boxes, and nothing is clipped.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cfg.schema import EvalConfig
from modelR.heads.decode import decode_level
from utils.glides import glides_to_quads, mask_glides, settle_glides
from utils.quad_nms import batched_quad_nms
from utils.quads import invert_affine, transform_points
from utils.records import Detections, Frame, LevelPrediction


def postprocess(
    predictions: Sequence[LevelPrediction], frames: Sequence[Frame], config: EvalConfig
) -> list[Detections]:
    """Return the detections of each image, on the CPU, highest score first.

    Score = objectness^(1 - w) * class score^w with w of `eval.class_weight`, of the best class of a cell or
    of each (`eval.multi_label`); quads that are not finite are dropped.
    """
    device = predictions[0].objectness_logit.device
    with torch.autocast(device.type, enabled=False):  # half precision steps by pixels
        return _detections(predictions, frames, config)


def _detections(
    predictions: Sequence[LevelPrediction], frames: Sequence[Frame], config: EvalConfig
) -> list[Detections]:
    levels = [_candidates(prediction, config) for prediction in predictions]
    quads, scores = (torch.cat(parts, dim=1) for parts in zip(*levels, strict=True))
    images, cells, labels = _best(quads, scores, config)
    quads, scores = quads[images, cells], scores[images, cells, labels]
    if len(frames):
        inverses = torch.stack([invert_affine(torch.from_numpy(frame.matrix).to(quads)) for frame in frames])
        quads = transform_points(quads, inverses[images])
    kept = batched_quad_nms(quads, scores, labels, images, config.nms_iou, config.max_detections)
    counts = torch.bincount(images[kept], minlength=len(frames)).tolist()
    fields = (torch.split(values[kept].cpu(), counts) for values in (quads, scores, labels))
    return [Detections(*found) for found in zip(*fields, strict=True)]


def _candidates(prediction: LevelPrediction, config: EvalConfig) -> tuple[Tensor, Tensor]:
    """Return every cell of a level as quads (B, H * W, 4, 2) and scores of its classes (B, H * W, C)."""
    decoded = decode_level(prediction)
    weight = config.class_weight
    scores = decoded.objectness.unsqueeze(-1) ** (1 - weight) * decoded.class_scores**weight
    if not config.multi_label:
        best = decoded.class_scores.argmax(dim=-1, keepdim=True)
        scores = torch.zeros_like(scores).scatter(-1, best, scores.gather(-1, best))
    read = settle_glides if config.ratio_check else mask_glides
    quads = glides_to_quads(decoded.hboxes, read(decoded.glides, decoded.area_ratio))
    return quads.flatten(1, 2), scores.flatten(1, 2)


def _best(quads: Tensor, scores: Tensor, config: EvalConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, cell and class of the candidates that suppression sees, (K,) each, in their order."""
    usable = quads.isfinite().flatten(2).all(dim=2, keepdim=True) & (scores > config.score_threshold)
    scores = torch.where(usable, scores, 0.0).flatten(1)
    places = scores.topk(min(config.pre_nms, scores.shape[1]), dim=1).indices.sort(dim=1).values
    images, column = (scores.gather(1, places) > 0).nonzero().unbind(-1)
    classes = usable.shape[-1]
    places = places[images, column]
    return images, places // classes, places % classes
