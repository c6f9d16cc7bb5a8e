"""The one place where settings become a network."""

from cfg.schema import STRIDES, ModelConfig
from modelR.backbones.darknet import Darknet
from modelR.backbones.darknet_weights import load_darknet_weights
from modelR.gghl import GGHL
from modelR.heads.orc_head import OrcHead
from modelR.necks.top_down import TopDownNeck
from utils.checkpoint import find_weights


def build_model(config: ModelConfig, num_classes: int) -> GGHL:
    """Return the network of this size, its backbone filled from `config.weights` where that is given.

    Raises:
        CheckpointError: the weights are neither a file nor in weight/.
        DarknetWeightsError: the weights do not fit the backbone.
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
    backbone = Darknet(width, depth)
    if config.weights is not None:
        load_darknet_weights(backbone, find_weights(config.weights))
    neck = TopDownNeck(backbone.channels, dropblock)
    heads = [OrcHead(c, num_classes, s) for c, s in zip(neck.out_channels, STRIDES, strict=True)]
    return GGHL(backbone, neck, heads)
