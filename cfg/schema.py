"""Schema of all settings, joined from one file per section, which has default, unit and source of each.

YAML files in this folder state only what differs; ``section.key=value`` on the command line wins over both.
Sections are frozen; a module takes its own section or plain values, only scripts see `Config`.
"""

from typing import get_args

from pydantic import model_validator

from cfg.assign import OF_GGHL, AssignConfig
from cfg.augment import AugmentConfig
from cfg.centernet import CenternetConfig
from cfg.data import DataConfig
from cfg.eval import EvalConfig
from cfg.fcos import FcosConfig
from cfg.loss import GAINS, Gains, LossConfig
from cfg.model import ModelConfig
from cfg.predict import OutputFormat, PredictConfig
from cfg.readers import BOUNDS, THREE_LEVELS
from cfg.retinanet import RetinanetConfig
from cfg.rtmdet import RtmdetConfig
from cfg.section import (
    SIZE_STEP,
    Count,
    Number,
    Percent,
    Positive,
    Scale,
    Section,
    Turns,
)
from cfg.tiny import TinyConfig
from cfg.train import TrainConfig
from cfg.yolov3 import Yolov3Config

__all__ = [
    "GAINS",
    "SIZE_STEP",
    "AssignConfig",
    "AugmentConfig",
    "CenternetConfig",
    "Config",
    "Count",
    "DataConfig",
    "EvalConfig",
    "FcosConfig",
    "Gains",
    "LossConfig",
    "ModelConfig",
    "Number",
    "OutputFormat",
    "Percent",
    "Positive",
    "PredictConfig",
    "RetinanetConfig",
    "RtmdetConfig",
    "Scale",
    "Section",
    "TinyConfig",
    "TrainConfig",
    "Turns",
    "Yolov3Config",
]


class Config(Section):
    """All settings of one run."""

    data: DataConfig = DataConfig()
    """Where images and labels are and how they are read."""
    augment: AugmentConfig = AugmentConfig()
    """Probabilities and ranges of the training augmentations, per image."""
    assign: AssignConfig = AssignConfig()
    """Label assignment: which cells learn an object, with the head of gghl; in part of fcos_r and
    rtmdet_r."""
    model: ModelConfig = ModelConfig()
    """The network."""
    loss: LossConfig = LossConfig()
    """The loss (JOL), its terms and their gains, of those with the head of gghl; in part of the others but
    centernet_r and rtmdet_r."""
    fcos: FcosConfig = FcosConfig()
    """Label assignment of fcos_r."""
    centernet: CenternetConfig = CenternetConfig()
    """Label assignment, loss and candidates of centernet_r."""
    retinanet: RetinanetConfig = RetinanetConfig()
    """Anchors, label assignment, gains and candidates of retinanet."""
    yolov3: Yolov3Config = Yolov3Config()
    """Anchors, label assignment, gains and candidates of yolov3_r."""
    rtmdet: RtmdetConfig = RtmdetConfig()
    """The loss of rtmdet_r."""
    tiny: TinyConfig = TinyConfig()
    """Gains of the losses of ttfnet, retinanet_s and atss_s, and the anchor of the latter."""
    train: TrainConfig = TrainConfig()
    """How a network is trained, and on what device everything runs."""
    eval: EvalConfig = EvalConfig()
    """From raw predictions to metrics."""
    predict: PredictConfig = PredictConfig()
    """How large images are cut, and what predict.py shows and writes."""

    @model_validator(mode="after")
    def _ordered_ranges(self) -> "Config":
        self._check_levels()
        fault = self.loss.fault or self.retinanet.fault
        if fault:
            raise ValueError(fault)
        self._check_rule()
        scales = self.data.training_scale
        if scales is not None and list(scales) != sorted(scales):
            raise ValueError(f"data.training_scale: expected three rising numbers, got {list(scales)}")
        if self.augment.scale_range[0] > self.augment.scale_range[1]:
            raise ValueError(
                f"augment.scale_range: expected [low, high], got {list(self.augment.scale_range)}"
            )
        return self

    def _check_rule(self) -> None:
        """Raise where the rule of assignment belongs to another head."""
        if self.model.detector == "fcos_r" and self.assign.rule in OF_GGHL:
            rules = get_args(AssignConfig.model_fields["rule"].annotation)
            others = ", ".join(rule for rule in rules if rule not in OF_GGHL)
            raise ValueError(
                f"assign.rule: expected one of {others} for fcos_r, got {self.assign.rule}, which goes with "
                "the head of gghl alone"
            )

    def _check_levels(self) -> None:
        """Raise where strides and bounds between levels do not belong together."""
        key = BOUNDS.get(self.model.detector)
        if key is None:
            return
        section, _, name = key.partition(".")
        chosen = None if self.model.detector in THREE_LEVELS else self.model.strides  # refused with the model
        strides, bounds = chosen or (8, 16, 32), getattr(getattr(self, section), name)
        if len(bounds) != len(strides) - 1 or list(bounds) != sorted(set(bounds)):
            raise ValueError(
                f"{key}: expected {len(strides) - 1} rising numbers, one between each two of the levels at "
                f"strides {', '.join(map(str, strides))}, got {list(bounds)}"
            )
