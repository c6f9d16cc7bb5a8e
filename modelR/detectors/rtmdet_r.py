"""RTMDet-R on quads: soft dynamic assignment, a head in common, no objectness.

Source: RTMDet (arXiv:2212.07784), with the outputs of GGHL for the quad in place of distances and an angle;
spec 10.6.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cfg.schema import AssignConfig, EvalConfig, RtmdetConfig
from dataloadR.assign.shapes import Pyramid
from dataloadR.assign.soft import soft_targets
from modelR.detectors.gghl import detector as gghl
from modelR.detectors.gghl.assigning import guesses_of
from modelR.detectors.gghl.decode import decode_level
from modelR.detectors.gghl.head import last_of, start_evenly
from modelR.detectors.gghl.loss import at, positive_count, quad_pairs, sum_of_levels
from modelR.losses.quad_iou import differentiable_iou
from modelR.losses.quality import quality_focal_error
from modelR.method import Method, Predictions
from utils.records import LevelPrediction, LevelTargets, Objects

TERMS = ("classes", "quad_iou", "ratio")
LOCATION_CHANNELS = (4, 4, 1)  # edges, glides, area ratio
CLASS_PRIOR = 0.01  # score of every class in every cell, at the start of training
TOWER = 2  # convolutions of a branch


def rtmdet_r(
    config: RtmdetConfig,
    assign: AssignConfig,
    strides: tuple[int, ...] | None,
    neck: Callable[[Sequence[int], int, float], nn.Module],
) -> Method:
    """Return the method, on three levels unless told otherwise, with a neck of equal width on all of them."""

    def targets(objects: Objects, pyramid: Pyramid, predictions: Predictions | None) -> list[LevelTargets]:
        assert predictions is not None
        with torch.no_grad():
            return soft_targets(objects, pyramid, guesses_of(predictions), assign)

    return Method(
        name="rtmdet_r",
        strides=strides or gghl.STRIDES,
        terms=TERMS,
        head=SepBnHead,
        targets=targets,
        count=positive_count,
        loss=SoftLabelLoss(config),
        candidates=candidates,
        neck=neck,
        shared=("location_kernels", "class_kernels"),
        is_dynamic=True,
    )


class SepBnHead(nn.Module):
    """Maps the features of one level (B, C, H, W) to its raw `LevelPrediction`, whose objectness is nothing.

    What all levels have in common are the kernels of both branches; norms and outputs are the level's own.
    """

    channels: tuple[int, ...] = LOCATION_CHANNELS

    def __init__(self, channels: int, num_classes: int, stride: int) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"SepBnHead: expected at least one class, got {num_classes}")
        self.stride = stride
        self.location_kernels, self.class_kernels = (tower_kernels(channels) for _ in range(2))
        self.location_norms, self.class_norms = (tower_norms(channels) for _ in range(2))
        self.location = nn.Sequential(nn.Conv2d(channels, sum(self.channels), 1))
        self.classes = nn.Sequential(nn.Conv2d(channels, num_classes, 1))
        _, class_bias = start_evenly([last_of(self.location), last_of(self.classes)])
        nn.init.constant_(class_bias, math.log(CLASS_PRIOR / (1.0 - CLASS_PRIOR)))

    def forward(self, features: Tensor) -> LevelPrediction:
        location = self.location(tower(features, self.location_kernels, self.location_norms))
        classes = self.classes(tower(features, self.class_kernels, self.class_norms)).permute(0, 2, 3, 1)
        edges, glides, ratio = torch.split(location.permute(0, 2, 3, 1), list(self.channels), dim=-1)
        ratio = ratio.squeeze(-1)
        return LevelPrediction(edges, glides, ratio, torch.zeros_like(ratio), classes, self.stride)


def tower_kernels(channels: int) -> nn.ModuleList:
    """Return the convolutions of a branch."""
    return nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(TOWER))


def tower_norms(channels: int) -> nn.ModuleList:
    """Return the batch norms behind the convolutions of a branch."""
    return nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(TOWER))


def tower(features: Tensor, kernels: nn.ModuleList, norms: nn.ModuleList) -> Tensor:
    """Return what the units of a branch make of the features of a level."""
    for kernel, norm in zip(kernels, norms, strict=True):
        features = F.silu(norm(kernel(features)), inplace=True)
    return features


class SoftLabelLoss:
    """Compares predictions with soft labels; it holds no weights, only the gains of its terms."""

    def __init__(self, config: RtmdetConfig) -> None:
        self.gains = config

    def __call__(
        self, predictions: Sequence[LevelPrediction], targets: Sequence[LevelTargets], normalizer: Tensor
    ) -> dict[str, Tensor]:
        """Return the terms by name, gains and normaliser included, in float32 or better."""
        terms = sum_of_levels(self._level, predictions, targets) / normalizer
        return dict(zip(TERMS, terms.unbind(), strict=True))

    def _level(self, prediction: LevelPrediction, target: LevelTargets, rows: Tensor) -> Tensor:
        """Return the sums of a level, (3,), in the order of `TERMS`; `rows` are its positive cells."""
        decoded = decode_level(prediction)
        weight = at(target.objectness, rows) * at(target.mix_weight, rows)
        overlap = differentiable_iou(*quad_pairs(decoded, target, rows)).to(weight.dtype)
        ratio = at(decoded.area_ratio, rows) - at(target.area_ratio, rows)
        sums = [
            self.gains.classes * soft_class_errors(prediction, target).sum(),
            self.gains.iou * ((1 - overlap) * weight).sum(),
            self.gains.ratio * (ratio.square() * weight).sum(),
        ]
        return torch.stack(sums)


def soft_class_errors(prediction: LevelPrediction, target: LevelTargets) -> Tensor:
    """Return QFL of every class in every cell, (B, H, W, C): 0 in ignore regions, else by the mix weight.

    The target of the owner's class is the overlap, that of all others 0.
    """
    logits = prediction.class_logits.to(target.heat.dtype)
    labels, quality = target.labels.unsqueeze(-1), target.objectness.unsqueeze(-1)
    wanted = torch.zeros_like(logits).scatter(-1, labels, quality)
    counted = target.mix_weight * ~target.ignore
    return quality_focal_error(logits, wanted) * counted.unsqueeze(-1)


def candidates(predictions: Sequence[LevelPrediction], config: EvalConfig) -> tuple[Tensor, Tensor]:
    """Return every cell as quads (B, K, 4, 2) px and scores (B, K, C): those of the classes alone."""
    return gghl.candidates(predictions, config.model_copy(update={"class_weight": 1.0}))
