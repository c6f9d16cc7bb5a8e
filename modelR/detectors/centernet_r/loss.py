"""The loss of CenterNet-R: a focal class heat on all cells, box and quad at the centres (spec 10.4)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from cfg.schema import CenternetConfig
from dataloadR.assign.center import CenterTargets
from modelR.detectors.centernet_r.head import CenterPrediction, decode_centers, log_sizes, smooth_l1
from modelR.detectors.gghl.loss import at, sum_of_levels
from utils.hboxes import aligned_giou

TERMS = ("classes", "iou", "offset", "size", "glide", "ratio")
CLASS_SOFT = 0.01  # targets are 0.99 y + 0.01 / C
CENTER_WEIGHT = 5.0  # of the class heat at centres
BETA = 1 / 9  # of the smooth L1 of glides and area ratio


def center_count(targets: Sequence[CenterTargets]) -> Tensor:
    """Return the number of centres of all levels."""
    return torch.stack([(level.owner >= 0).sum() for level in targets]).sum().float()


class CenterLoss:
    """Compares predictions with targets; it holds no weights, only the gains of its terms."""

    def __init__(self, config: CenternetConfig) -> None:
        self.gains = config

    def __call__(
        self, predictions: Sequence[CenterPrediction], targets: Sequence[CenterTargets], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the terms by name, gains and normaliser included, in float32 or better."""
        terms = sum_of_levels(self._level, predictions, targets) / normalizer
        return dict(zip(TERMS, terms.unbind(), strict=True))

    def _level(self, prediction: CenterPrediction, target: CenterTargets, rows: Tensor) -> Tensor:
        """Return the sums of a level, (6,), in the order of `TERMS`; `rows` are its centres."""
        gain, decoded = self.gains, decode_centers(prediction)
        hboxes, mix = at(target.hboxes, rows), at(target.mix_weight, rows)
        _, height, width = target.owner.shape
        x_min, y_min, x_max, y_max = hboxes.unbind(-1)
        area = height * width * target.stride**2
        scale = 2 - ((x_max - x_min) * (y_max - y_min) / area).clamp(max=1)
        box = scale * (1 - aligned_giou(at(decoded.hboxes, rows), hboxes))
        offset = smooth_l1(at(decoded.offsets, rows), at(target.offsets, rows))
        sizes = at(prediction.size_logits, rows).to(hboxes.dtype)
        size = scale * smooth_l1(sizes, log_sizes(hboxes, target.stride))
        glide = smooth_l1(at(decoded.glides, rows), at(target.glides, rows), BETA)
        ratio = smooth_l1(
            at(decoded.area_ratio, rows).unsqueeze(-1), at(target.area_ratio, rows).unsqueeze(-1), BETA
        )
        sums = [
            gain.classes * class_heat_error(prediction, target).sum(),
            gain.iou * (box * mix).sum(),
            gain.offset * (offset * mix).sum(),
            gain.size * (size * mix).sum(),
            gain.glide * (glide * mix).sum(),
            gain.ratio * (ratio * mix).sum(),
        ]
        return torch.stack(sums)


def class_heat_error(prediction: CenterPrediction, target: CenterTargets) -> Tensor:
    """Return the focal errors of the class heat, (B, H, W, C): 0 in ignore regions, at centres by their mix.

    Other cells count the less the nearer they lie to a centre (CornerNet, arXiv:1808.01244, eq. 1).
    """
    heat = target.class_heat
    logits = prediction.class_logits.to(heat.dtype)
    soft = (1 - CLASS_SOFT) * heat + CLASS_SOFT / heat.shape[-1]
    found = logits.sigmoid()
    center = CENTER_WEIGHT * soft * (1 - found).square() * F.softplus(-logits)  # -log p
    other = (1 - soft) ** 4 * found.square() * F.softplus(logits)  # -log(1 - p)
    center = center * target.mix_weight.unsqueeze(-1)
    return torch.where(heat == 1, center, other) * ~target.ignore.unsqueeze(-1)
