"""Settings of the network."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from cfg.section import Section


class ModelConfig(Section):
    """The network (spec 5)."""

    size: Literal["nano", "small", "medium", "large"] = "large"
    """Of darknet53: 2.8, 11, 33 or 69 million parameters (large: the paper's); timm's have their own."""
    backbone: str = "darknet53"
    """darknet53, or timm/NAME: any network of timm with features at strides 8, 16 and 32."""
    freeze: Annotated[int, Field(ge=0, le=5)] = 0
    """So many first stages of the backbone do not learn: all up to stride 2**freeze."""
    dropblock: Annotated[float, Field(ge=0.0, lt=1.0)] | None = None
    """Probability that a block of features is dropped in training; none: 0.1 for large, 0 below."""
    weights: str | None = None
    """A file for the backbone alone: Darknet's .weights for large, .pth or .safetensors for timm/NAME; bare
    names are looked up in weight/. To start from a whole run: train.init."""
    pretrained: bool = False
    """Fetch timm's own weights for the backbone timm/NAME from the network at the first use."""

    @field_validator("pretrained")
    @classmethod
    def _of_timm_alone(cls, value: bool, info: ValidationInfo) -> bool:
        if value and not info.data.get("backbone", "").startswith("timm/"):
            raise ValueError("expected false: only backbones timm/NAME have weights to fetch")
        if value and info.data.get("weights") is not None:
            raise ValueError("expected false beside model.weights: one of the two")
        return value
