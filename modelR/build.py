"""Model building: where settings become a network, and where all methods are known."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cfg.schema import Config
from modelR.detectors.centernet_r.detector import centernet_r
from modelR.detectors.fcos_r import fcos_r
from modelR.detectors.gghl.detector import gghl
from modelR.detectors.gghl_hbb import gghl_hbb
from modelR.detectors.retinanet import retinanet
from modelR.detectors.rtmdet_r import rtmdet_r
from modelR.detectors.yolov3_r import yolov3_r
from modelR.method import Method
from modelR.network import Network
from modelR.parts import build_backbone, choose_neck, size_factors, sized_pafpn
from utils.checkpoint import Fit, averaged_weights, find_weights, load_checkpoint, load_fitting
from utils.checkpoint_values import check_usable
from utils.distributed import world_size
from utils.errors import UserError

logger = logging.getLogger(__name__)
YAMLS = Path(__file__).parents[1] / "cfg/detectors"


def build_method(config: Config, num_classes: int) -> Method:
    """Return the method that `model.detector` names, with its settings.

    Raises:
        UserError: there is none of that name, or it has no levels at `model.strides`.
    """
    match config.model.detector:
        case "gghl":
            return gghl(config.assign, config.loss, config.model.strides, config.train.accumulate)
        case "fcos_r":
            return fcos_r(
                config.fcos,
                config.loss,
                config.model.strides,
                config.assign,
                config.train.accumulate,
                horizontal=config.model.horizontal,
            )
        case "gghl_hbb":
            return gghl_hbb(config.assign, config.loss, config.model.strides)
        case "centernet_r":
            return centernet_r(config.centernet, num_classes, config.model.strides)
        case "lo_det" | "npmmr" | "ttfnet" | "retinanet_s" | "atss_s":
            return build_deformable(config, num_classes)
        case "retinanet" | "yolov3_r":
            return build_anchored(config)
        case "rtmdet_r":
            neck = sized_pafpn(config.model)
            return rtmdet_r(config.rtmdet, config.assign, config.model.strides, neck)
        case other:
            raise UserError(f"model.detector: expected one of {', '.join(detector_names())}, got '{other}'")


def build_deformable(config: Config, num_classes: int) -> Method:
    """Return the method that `model.detector` names; others need not wait for torchvision's convolutions."""
    name, strides = config.model.detector, config.model.strides
    if name == "lo_det":
        from modelR.detectors.lo_det import lo_det

        width, _ = size_factors(config.model)
        return lo_det(config.assign, config.loss, strides, width, config.train.accumulate)
    if name == "npmmr":
        from modelR.detectors.npmmr import npmmr

        return npmmr(config.assign, config.loss, strides, config.train.accumulate)
    from modelR.detectors.tiny.detector import form_of, tiny_method

    form = form_of(name, config.tiny, config.model.horizontal)
    return tiny_method(name, form, config.tiny, config.assign, num_classes, strides)


def build_anchored(config: Config) -> Method:
    """Return the method with anchors that `model.detector` names."""
    if config.model.detector == "yolov3_r":
        return yolov3_r(config.yolov3, config.assign, config.loss, config.model.strides)
    width, _ = size_factors(config.model)
    return retinanet(config.retinanet, config.assign, config.loss, config.model.strides, width)


def detector_names() -> list[str]:
    """Return the detectors that have a YAML in cfg/detectors/."""
    texts = [path.read_text(encoding="utf-8") for path in YAMLS.glob("*.yaml")]
    return sorted(
        {name for text in texts for name in re.findall(r"^model\.detector: (\w+)", text, re.MULTILINE)}
    )


def check_buildable(config: Config) -> None:
    """Raise the UserError of `build_model` about detector, strides and neck; nothing is built."""
    choose_neck(config.model, build_method(config, 1))


def build_model(config: Config, num_classes: int) -> Network:
    """Return the network of this method, size and backbone, filled from `model.weights`, frozen where asked.

    Raises:
        CheckpointError: the weights are neither a file nor in weight/.
        DarknetWeightsError: the weights do not fit Darknet-53 of this size.
        BackboneError: timm has no such network or weights, or they do not fit.
        UserError: a backbone of another kind, or a neck without the levels of the method.
    """
    width, depth = size_factors(config.model)
    default_dropblock = 0.1 if config.model.size == "large" else 0.0
    dropblock = default_dropblock if config.model.dropblock is None else config.model.dropblock
    method = build_method(config, num_classes)
    backbone: Any = build_backbone(config.model, width, depth, method.taps)
    neck: Any = choose_neck(config.model, method)(backbone.channels, len(method.strides), dropblock)
    pairs = zip(neck.out_channels, method.strides, strict=True)
    heads = [method.head(channels, num_classes, stride) for channels, stride in pairs]
    share_parts(heads, neck.out_channels, method)
    model = Network(backbone, neck, heads, method)
    model.freeze(f"backbone.{name}" for name in backbone.early_parameters(config.model.freeze))
    return model


def share_parts(heads: Sequence[nn.Module], channels: Sequence[int], method: Method) -> None:
    """Let the heads have what the method says in common.

    Raises:
        UserError: the levels have different channels.
    """
    if method.shared and len(set(channels)) > 1:
        found = ", ".join(map(str, channels))
        raise UserError(
            f"model.neck: expected none, fpn or pafpn, the levels of {method.name} share parts of their "
            f"heads and have {found} channels"
        )
    for head in heads[1:]:
        for name in method.shared:
            setattr(head, name, getattr(heads[0], name))


def sync_batch_norms(model: Network) -> Network:
    """Return the model with batch norms over the images of all processes: of GPUs, torch has no other.

    Before DistributedDataParallel and the optimiser.  timm's conversion, because torch's loses the activation
    inside timm's norms; for all others the two are the same.
    """
    from timm.layers.norm_act import convert_sync_batchnorm

    converted = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    assert isinstance(converted, Network)
    return converted


def init_model(model: Network, name: str | Path, classes: Sequence[str]) -> Fit:
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
    config: Config, classes: Sequence[str], device: torch.device, resumed: bool
) -> Network:
    """Return the network on its device with the weights it starts from; a resumed one gets them later."""
    if resumed:
        unfilled = config.model.model_copy(update={"pretrained": False, "weights": None})
        config = config.model_copy(update={"model": unfilled})
    model = build_model(config, len(classes))
    if config.train.init and not resumed:
        init_model(model, config.train.init, classes)
    if config.train.sync_bn and world_size() > 1 and device.type == "cuda":
        model = sync_batch_norms(model)
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
