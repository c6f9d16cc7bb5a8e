"""Non-maximum suppression (NMS) of quads by their exact IoU."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from utils.quad_iou import convex_parts
from utils.quad_kernels import greedy_keep


def quad_nms(
    quads: Tensor,
    scores: Tensor,
    labels: Tensor | None,
    iou_threshold: float,
    max_detections: int | None = None,
) -> Tensor:
    """Return the indices that stay, (K,) int64, highest score first, equal scores by index.

    Greedy and class by class: the best remaining quad stays and removes the others of its class whose IoU
    with it is above the threshold.  Labels None: all are one class.  No coordinate is offset, so classes
    never meet, whatever the size of the image.  Source: spec/gghl.md 7.7 (FIX).

    Args:
        quads: (N, 4, 2) pixels, any vertex direction.
        scores: (N,).
        labels: (N,) integers.
        max_detections: at most so many are returned, over all classes; None: all.

    Raises:
        ValueError: lengths differ, a score is NaN, or a coordinate is not finite.
    """
    _check_lengths(quads, scores, labels)
    values = scores.detach().cpu().double().numpy()
    if np.isnan(values).any():
        raise ValueError(f"scores[{int(np.isnan(values).argmax())}]: expected a number, got NaN")
    order = np.argsort(-values, kind="stable")
    parts = convex_parts(quads)
    classes = np.zeros(len(order), dtype=np.int64) if labels is None else labels.detach().cpu().numpy()
    keep = np.zeros(len(order), dtype=np.bool_)
    for label in np.unique(classes):
        rows = order[classes[order] == label]
        own = type(parts)(*(field[rows] for field in parts))
        by_left = np.argsort(own.boxes[:, 0], kind="stable")
        keep[rows] = greedy_keep(own, by_left, float(iou_threshold))
    kept: NDArray[np.int64] = order[keep[order]][:max_detections]
    return torch.from_numpy(kept).to(quads.device)


def _check_lengths(quads: Tensor, scores: Tensor, labels: Tensor | None) -> None:
    lengths = {"scores": scores.shape} if labels is None else {"scores": scores.shape, "labels": labels.shape}
    for name, shape in lengths.items():
        if tuple(shape) != (len(quads),):
            raise ValueError(f"{name}: expected shape ({len(quads)},) as there are quads, got {tuple(shape)}")
