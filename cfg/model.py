"""Settings of the network."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from cfg.section import Section

LEVELS = (4, 8, 16, 32)  # strides that a level can have


class ModelConfig(Section):
    """The network (spec 5)."""

    detector: str = "gghl"
    """What predicts quads and how it learns them: one of those in cfg/detectors/ (docs/detectors.md)."""
    strides: tuple[Annotated[int, Field(ge=4, le=32)], ...] | None = None
    """Pixels per cell of the pyramid levels, finest first, each twice the one before, where the detector lets
    one choose; none: its own."""
    size: Literal["nano", "small", "medium", "large"] = "large"
    """Of darknet53: 2.8, 11, 33 or 69 million parameters (large: the paper's); mobilenet_v2 and the necks
    shrink alike, mit_b1 and timm's have their own size. With cspnext: RTMDet's tiny, s, m and l."""
    backbone: str = "darknet53"
    """darknet53; darknet53_edges (of npmmr), mobilenet_v2 (of lo_det), cspnext (of rtmdet_r), mit_b1; or
    timm/NAME: any network of timm with features at the strides up to 32."""
    neck: Literal["top_down", "fpn", "pafpn", "center", "ttf", "fusion"] | None = None
    """What joins the features of the backbone: top_down (of gghl), fpn, pafpn (of rtmdet_r), or, with one
    level, center (of centernet_r), ttf (of ttfnet) or fusion (of ttfnet_mitb1_ga); none: the detector's
    own."""
    horizontal: bool = False
    """Boxes along the axes of the image in place of quads, learnt and predicted, which task 2 judges: where
    the detector has both forms."""
    freeze: Annotated[int, Field(ge=0, le=5)] = 0
    """So many first stages of the backbone do not learn: all up to stride 2**freeze."""
    dropblock: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """Probability that a block of features is dropped in training; none: 0.1 for large, 0 below."""
    weights: str | None = None
    """A file for the backbone alone: Darknet's .weights for large, .pth or .safetensors for all others; bare
    names are looked up in weight/. To start from a whole run: train.init."""
    pretrained: bool = False
    """Fetch timm's own weights for the backbone timm/NAME from the network at the first use."""

    @field_validator("strides")
    @classmethod
    def _consecutive(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        known = value is None or any(value == LEVELS[k : k + len(value)] for k in range(len(LEVELS)))
        if not known or value == ():
            raise ValueError("expected strides that double, such as 8,16,32 or 4,8,16,32")
        return value

    @field_validator("pretrained")
    @classmethod
    def _of_timm_alone(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("backbone", "").startswith("timm/"):
            raise ValueError("expected false: only backbones timm/NAME have weights to fetch")
        if value and info.data.get("weights") is not None:
            raise ValueError("expected false beside model.weights: one of the two")
        return value
