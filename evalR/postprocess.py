"""Post-processing: from raw predictions to detections in the pixels of the source images (spec 7).

Quads are built before anything else happens to the boxes, and nothing is clipped.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cfg.schema import EvalConfig
from modelR.heads.decode import decode_level
from utils.glides import glides_to_quads, mask_glides, settle_glides
from utils.quad_fusion import vote_quads
from utils.quad_nms import batched_quad_groups
from utils.quads import invert_affine, transform_points
from utils.records import Detections, Frame, LevelPrediction
from utils.selection import to_host


def postprocess(
    predictions: Sequence[LevelPrediction], frames: Sequence[Frame], config: EvalConfig
) -> list[Detections]:
    """Return the detections of each image, on the CPU, highest score first.

    Score = objectness^(1 - w) * class score^w with w of `eval.class_weight`, of the best class of a cell or
    of each (`eval.multi_label`); quads that are not finite are dropped.  What suppression removes votes on
    the quad that stays (`eval.vote_iou`) and may raise its score (`eval.support`).
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
        # inverted by the host, which need not wait for the result
        matrices = [torch.from_numpy(frame.matrix).to(quads.dtype) for frame in frames]
        inverses = torch.stack([invert_affine(matrix) for matrix in matrices])
        quads = transform_points(quads, inverses.to(quads.device, non_blocking=True)[images])
    groups = batched_quad_groups(quads, scores, labels, images, config.nms_iou, config.max_detections)
    kept = groups.kept
    voted = vote_quads(quads, scores, groups, config.vote_iou)
    everything = Detections(voted.quads, _raised(scores[kept], config.support * voted.support), labels[kept])
    order = everything.scores.argsort(descending=True, stable=True)
    order = order[images[kept][order].argsort(stable=True)]
    of_image, *fields = to_host([values[order] for values in (images[kept], *everything)])
    counts = torch.bincount(of_image, minlength=len(frames)).tolist()
    parts = (torch.split(values, counts) for values in fields)
    return [Detections(*found) for found in zip(*parts, strict=True)]


def highest_score(predictions: Sequence[LevelPrediction], config: EvalConfig) -> float:
    """Return the highest score of any cell of a batch, before suppression."""
    device = predictions[0].objectness_logit.device
    with torch.autocast(device.type, enabled=False):
        scores = [_candidates(prediction, config)[1].flatten() for prediction in predictions]
    return float(torch.cat([*scores, scores[0].new_zeros(1)]).nan_to_num(0.0).max())


def _raised(scores: Tensor, votes: Tensor) -> Tensor:
    """Return 1 - (1 - score)^(1 + votes): as if so many more had looked; without votes exactly the score."""
    return torch.where(votes > 0, -torch.expm1(torch.log1p(-scores) * (1 + votes)), scores)


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
