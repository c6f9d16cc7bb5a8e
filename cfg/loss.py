"""Settings of the loss."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from cfg.section import Positive, Section


class Gains(NamedTuple):
    """Factors of the terms of JOL."""

    objectness: float  # fg and bg
    classes: float  # pos and neg
    iou: float
    glide: float
    ratio: float
    distance: float


GAINS = {
    "paper": Gains(
        objectness=2.0, classes=1.0, iou=1.0, glide=1.0, ratio=16.0, distance=0.2
    ),  # spec 4.3, 4.4
    "tuned": Gains(
        objectness=2.0, classes=1.0, iou=5.0, glide=15.0, ratio=16.0, distance=1.0
    ),  # docs/decisions.md
}


class LossConfig(Section):
    """Joint loss (JOL): the gains of its terms; a gain that is none is the preset's."""

    preset: Literal["tuned", "paper"] = "tuned"
    """Gains of the terms: chosen by measurement (docs/decisions.md), or those of the paper (spec 4)."""
    objectness: Positive | None = None
    """Gain of the objectness, of cells with an object and without; none: 2 in both presets."""
    classes: Positive | None = None
    """Gain of the classes; none: 1 in both presets."""
    iou: Positive | None = None
    """Gain of the horizontal box; none: 5 tuned, 1 in the paper."""
    glide: Positive | None = None
    """Gain of the positions of the vertices on the box; none: 15 tuned, 1 in the paper."""
    ratio: Positive | None = None
    """Gain of the share of the box that the quad fills; none: 16 in both presets."""
    distance: Positive | None = None
    """Gain of the distances to the edges of the box; none: 1 tuned, 0.2 in the paper."""
    label_smoothing: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of the class target that is spread over all classes, on top of the 0.01 of JOL."""

    @property
    def gains(self) -> Gains:
        """The gains that count."""
        preset = GAINS[self.preset]
        chosen = (getattr(self, name) for name in Gains._fields)
        return Gains(*(b if a is None else a for a, b in zip(chosen, preset, strict=True)))
