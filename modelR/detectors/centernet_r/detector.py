"""CenterNet-R: peaks of a class heat at stride 4 are objects; box, glides and area ratio are read there.

Source: CenterNet (arXiv:1904.07850), rotated as spec 10.4 has it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from cfg.schema import CenternetConfig, EvalConfig
from dataloadR.assign.center import center_targets
from modelR.detectors.centernet_r.head import CenterHead, CenterPrediction, decode_centers
from modelR.detectors.centernet_r.loss import TERMS, CenterLoss, center_count
from modelR.method import Method, Predictions
from modelR.necks.center import CenterNeck
from utils.errors import UserError
from utils.quads.glides import glides_to_quads, mask_glides, settle_glides

STRIDES = (4,)


def centernet_r(config: CenternetConfig, classes: int, strides: tuple[int, ...] | None) -> Method:
    """Return the method.

    Raises:
        UserError: strides other than its one.
    """
    if strides not in (None, STRIDES):
        raise UserError("model.strides: expected none, centernet_r has one level at stride 4")
    return Method(
        name="centernet_r",
        strides=STRIDES,
        terms=TERMS,
        head=CenterHead,
        targets=lambda objects, pyramid, _: center_targets(objects, pyramid, classes, config.min_side),
        count=center_count,
        loss=CenterLoss(config),
        candidates=lambda predictions, settings: peaks(predictions, settings, config.top_k),
        neck=CenterNeck,
    )


def peaks(predictions: Predictions, config: EvalConfig, top_k: int) -> tuple[Tensor, Tensor]:
    """Return the highest peaks of any class: quads (B, K, 4, 2) px, scores (B, K, C), 0 of other classes.

    A peak is as high as any of its eight neighbours; K is at most `top_k`.
    """
    prediction: CenterPrediction
    (prediction,) = predictions
    decoded = decode_centers(prediction)
    heat = decoded.class_scores.permute(0, 3, 1, 2)  # (B, C, H, W)
    heat = torch.where(F.max_pool2d(heat, 3, stride=1, padding=1) == heat, heat, 0.0)
    classes, width = heat.shape[1], heat.shape[3]
    flat = heat.permute(0, 2, 3, 1).flatten(1)
    scores, places = flat.topk(torch.sym_min(top_k, flat.shape[1]), dim=1)
    cells, labels = places // classes, places % classes
    images = torch.arange(flat.shape[0], device=flat.device).unsqueeze(-1)
    rows = cells // width
    at = (images, rows, cells - rows * width)  # exported graphs have no remainder by a free width
    read = settle_glides if config.ratio_check else mask_glides
    quads = glides_to_quads(decoded.hboxes[at], read(decoded.glides[at], decoded.area_ratio[at]))
    of_class = scores.new_zeros(*scores.shape, classes).scatter(
        -1, labels.unsqueeze(-1), scores.unsqueeze(-1)
    )
    return quads, of_class
