"""Post-processing: from the candidates of a detector to detections in source pixels (spec 7).

Nothing is clipped.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cfg.schema import EvalConfig
from modelR.method import Method, Predictions
from utils.quads.fusion import vote_quads
from utils.quads.geometry import invert_affine, transform_points
from utils.quads.nms import batched_quad_groups
from utils.records import Detections, Frame
from utils.selection import to_host


def candidates_of(
    method: Method, predictions: Predictions, config: EvalConfig, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return every candidate of a batch: quads (B, K, 4, 2) px of the input and scores (B, K, C)."""
    with torch.autocast(device.type, enabled=False):  # half precision steps by pixels
        return method.candidates(predictions, config)


def postprocess(
    quads: Tensor, scores: Tensor, frames: Sequence[Frame], config: EvalConfig
) -> list[Detections]:
    """Return the detections of each image, on the CPU, highest score first.

    Quads that are not finite are dropped.  What suppression removes votes on the quad that stays
    (`eval.vote_iou`) and may raise its score (`eval.support`).

    Args:
        quads: every candidate of a detector, (B, K, 4, 2) pixels of the network input.
        scores: (B, K, C).
        frames: how each image became the network input.
        config: thresholds.
    """
    with torch.autocast(quads.device.type, enabled=False):
        return _detections(quads, scores, frames, config)


def _detections(
    quads: Tensor, scores: Tensor, frames: Sequence[Frame], config: EvalConfig
) -> list[Detections]:
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


def highest_score(scores: Tensor) -> float:
    """Return the highest score of any candidate of a batch, before suppression; 0 where there is none."""
    return float(torch.cat([scores.flatten(), scores.new_zeros(1)]).nan_to_num(0.0).max())


def _raised(scores: Tensor, votes: Tensor) -> Tensor:
    """Return 1 - (1 - score)^(1 + votes): as if so many more had looked; without votes exactly the score."""
    return torch.where(votes > 0, -torch.expm1(torch.log1p(-scores) * (1 + votes)), scores)


def _best(quads: Tensor, scores: Tensor, config: EvalConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, cell and class of the candidates that suppression sees, (K,) each, in their order."""
    usable = quads.isfinite().flatten(2).all(dim=2, keepdim=True) & (scores > config.score_threshold)
    scores = torch.where(usable, scores, 0.0).flatten(1)
    places = scores.topk(min(config.pre_nms, scores.shape[1]), dim=1).indices.sort(dim=1).values
    images, column = (scores.gather(1, places) > 0).nonzero().unbind(-1)
    classes = usable.shape[-1]
    places = places[images, column]
    return images, places // classes, places % classes
