"""Parts of a network by name: backbones and necks with the sizes of `model.size`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from cfg.schema import ModelConfig
from modelR.backbones.darknet import Darknet
from modelR.backbones.darknet_weights import load_darknet_weights
from modelR.backbones.edge_darknet import EdgeDarknet
from modelR.layers import scaled_channels, scaled_repeats
from modelR.method import Method
from modelR.necks.center import CenterNeck
from modelR.necks.fpn import WIDTH, FpnNeck
from modelR.necks.fusion import FUSED, FusionNeck
from modelR.necks.pafpn import BLOCK_REPEATS, PafpnNeck
from modelR.necks.top_down import TopDownNeck
from utils.checkpoint import find_weights
from utils.errors import UserError

ONE_LEVEL = ("center", "ttf", "fusion")  # necks
BACKBONES = ("darknet53", "darknet53_edges", "cspnext", "mobilenet_v2", "mit_b1")  # of `build_backbone`
TIMM = "timm/"  # before the name of a network of timm


def size_factors(config: ModelConfig) -> tuple[float, float]:
    """Return by what `model.size` multiplies channels, and by what the repeats of blocks.

    With `cspnext` the four sizes are those of RTMDet: tiny, s, m and l.
    """
    match config.size:
        case "nano":
            return (0.375, 0.167) if config.backbone == "cspnext" else (0.25, 0.33)
        case "small":
            return 0.5, 0.33
        case "medium":
            return 0.75, 0.67
        case "large":
            return 1.0, 1.0


def build_backbone(config: ModelConfig, width: float, depth: float, taps: tuple[int, ...]) -> Any:
    """Return the `Backbone` with features at strides `taps`; its errors are those of `build_model`."""
    weights = None if config.weights is None else find_weights(config.weights)
    match config.backbone:
        case "darknet53":
            return fill_darknet(Darknet(width, depth, taps), weights)
        case "darknet53_edges":
            attentive = EdgeDarknet(width, depth, taps)
            fill_darknet(attentive.darknet, weights)
            return attentive
        case "cspnext":
            from modelR.backbones.cspnext import build_cspnext  # reads files by timm: others need not wait

            return build_cspnext(width, depth, taps, weights)
        case "mobilenet_v2":
            from modelR.backbones.mobilenet import build_mobilenet  # torchvision: others need not wait

            return build_mobilenet(width, taps, weights)
        case "mit_b1":
            from modelR.backbones.mit import mit_b1
            from modelR.backbones.timm_features import timm_features

            return timm_features(mit_b1.__name__, taps, weights)
        case name if name.startswith(TIMM):
            from modelR.backbones.timm_features import timm_features  # two seconds that others need not wait

            return timm_features(name.removeprefix(TIMM), taps, weights, config.pretrained)
        case name:
            known = f"{', '.join(BACKBONES)} or timm/NAME"
            raise UserError(f"model.backbone: expected {known}, got '{name}'; timm/{name}?")


def fill_darknet(darknet: Darknet, weights: Path | None) -> Darknet:
    """Return the network with the weights of a file, where there is one."""
    if weights is not None:
        load_darknet_weights(darknet, weights)
    return darknet


def choose_neck(config: ModelConfig, method: Method) -> Callable[[Sequence[int], int, float], nn.Module]:
    """Return the constructor of the neck that `model.neck` names; without a name, the method's own.

    Raises:
        UserError: the method has levels that this neck cannot make.
    """
    check_neck(config, method)
    match config.neck:
        case None:
            return method.neck
        case "top_down":
            return TopDownNeck
        case "fpn":
            width, _ = size_factors(config)
            return partial(FpnNeck, width=scaled_channels(WIDTH, width))
        case "pafpn":
            return sized_pafpn(config)
        case "center":
            return CenterNeck
        case "ttf":
            from modelR.necks.ttf import TtfNeck  # deformable convolutions: others need not wait

            return TtfNeck
        case "fusion":
            width, _ = size_factors(config)
            return partial(FusionNeck, width=scaled_channels(FUSED, width))


def sized_pafpn(config: ModelConfig) -> partial[PafpnNeck]:
    """Return the constructor of PAFPN for `model.size`."""
    width, depth = size_factors(config)
    repeats = scaled_repeats(BLOCK_REPEATS, depth)
    return partial(PafpnNeck, width=scaled_channels(WIDTH, width), repeats=repeats)


def check_neck(config: ModelConfig, method: Method) -> None:
    """Raise a UserError where `model.neck` cannot make the levels of the method."""
    if config.neck in ("top_down", "pafpn") and len(method.strides) > len(method.taps):
        raise UserError(
            f"model.neck: expected none or fpn, {method.name} has levels at strides "
            f"{', '.join(map(str, method.strides))} and {config.neck} none beyond {method.taps[-1]}"
        )
    if config.neck in ONE_LEVEL and len(method.strides) > 1:
        raise UserError(
            f"model.neck: expected another than {config.neck}, which has one level, for {method.name}"
        )
