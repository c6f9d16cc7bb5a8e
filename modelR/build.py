"""The one place where settings become a network."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cfg.schema import STRIDES, ModelConfig, TrainConfig
from modelR.backbones.darknet import Darknet
from modelR.backbones.darknet_weights import load_darknet_weights
from modelR.gghl import GGHL
from modelR.heads.orc_head import OrcHead
from modelR.necks.top_down import TopDownNeck
from utils.checkpoint import Fit, averaged_weights, find_weights, load_checkpoint, load_fitting
from utils.checkpoint_values import check_usable
from utils.distributed import world_size
from utils.errors import UserError

if TYPE_CHECKING:
    from modelR.backbones.timm_features import TimmFeatures

logger = logging.getLogger(__name__)
TIMM = "timm/"  # before the name of a network of timm


def build_model(config: ModelConfig, num_classes: int) -> GGHL:
    """Return the network of this size or backbone, filled from `config.weights` and frozen where asked.

    Raises:
        CheckpointError: the weights are neither a file nor in weight/.
        DarknetWeightsError: the weights do not fit Darknet-53 of this size.
        BackboneError: timm has no such network or weights, or they do not fit.
        UserError: a backbone of another kind.
    """
    match config.size:
        case "nano":
            width, depth, default_dropblock = 0.25, 0.33, 0.0
        case "small":
            width, depth, default_dropblock = 0.5, 0.33, 0.0
        case "medium":
            width, depth, default_dropblock = 0.75, 0.67, 0.0
        case "large":
            width, depth, default_dropblock = 1.0, 1.0, 0.1
    dropblock = default_dropblock if config.dropblock is None else config.dropblock
    backbone = build_backbone(config, width, depth)
    neck = TopDownNeck(backbone.channels, dropblock)
    heads = [OrcHead(c, num_classes, s) for c, s in zip(neck.out_channels, STRIDES, strict=True)]
    model = GGHL(backbone, neck, heads)
    model.freeze(f"backbone.{name}" for name in backbone.early_parameters(config.freeze))
    return model


def build_backbone(config: ModelConfig, width: float, depth: float) -> "Darknet | TimmFeatures":
    """Return what maps images to features at strides 8, 16 and 32; its errors are those of `build_model`."""
    weights = None if config.weights is None else find_weights(config.weights)
    if config.backbone.startswith(TIMM):
        from modelR.backbones.timm_features import timm_features  # two seconds that others need not wait

        return timm_features(config.backbone.removeprefix(TIMM), weights, config.pretrained)
    if config.backbone != "darknet53":
        name = config.backbone
        raise UserError(f"model.backbone: expected darknet53 or timm/NAME, got '{name}'; timm/{name}?")
    backbone = Darknet(width, depth)
    if weights is not None:
        load_darknet_weights(backbone, weights)
    return backbone


def sync_batch_norms(model: GGHL) -> GGHL:
    """Return the model with batch norms over the images of all processes: of GPUs, torch has no other.

    Before DistributedDataParallel and the optimiser.  timm's conversion, because torch's loses the activation
    inside timm's norms; for all others the two are the same.
    """
    from timm.layers.norm_act import convert_sync_batchnorm

    converted = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    assert isinstance(converted, GGHL)
    return converted


def init_model(model: GGHL, name: str | Path, classes: Sequence[str]) -> Fit:
    """Start from the averaged weights of a run; with other classes, from all but its class outputs.

    Raises:
        CheckpointError: no checkpoint of that name, or nothing of it fits.
    """
    file = find_weights(name)
    checkpoint = load_checkpoint(file)
    check_usable(checkpoint, file)
    state = averaged_weights(checkpoint)
    if list(checkpoint["classes"]) != list(classes):
        outputs = set(model.class_outputs())
        state = {key: value for key, value in state.items() if key not in outputs}
        logger.info("%s: trained on other classes, the class outputs start anew", file)
    return load_fitting(model, state, file)


def build_for_training(
    config: ModelConfig, train: TrainConfig, classes: Sequence[str], device: torch.device, resumed: bool
) -> GGHL:
    """Return the network on its device with the weights it starts from; a resumed one gets them later."""
    unfilled = {"pretrained": False, "weights": None} if resumed else {}
    model = build_model(config.model_copy(update=unfilled), len(classes))
    if train.init and not resumed:
        init_model(model, train.init, classes)
    if train.sync_bn and world_size() > 1 and device.type == "cuda":
        model = sync_batch_norms(model)
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
