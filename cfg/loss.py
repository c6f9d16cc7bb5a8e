"""Settings of the loss."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from cfg.section import Number, Positive, Section


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


Location = Literal["jol", "diou", "ciou", "quad_iou", "quad_giou", "gwd", "kld", "kfiou", "probiou"]
READ_WITH = {  # settings that one choice reads
    "kld_direction": ("location", "kld"),
    "ghm_class_bins": ("classification", "ghm"),
    "ghm_class_momentum": ("classification", "ghm"),
    "ghm_box_bins": ("regression", "ghm"),
    "ghm_box_momentum": ("regression", "ghm"),
    "ghm_mu": ("regression", "ghm"),
}
HORIZONTAL = ("jol", "diou", "ciou")  # locations that no glide enters


class LossConfig(Section):
    """Joint loss (JOL): its terms, and their gains; a gain that is none is the preset's."""

    preset: Literal["tuned", "paper"] = "tuned"
    """Gains of the terms: chosen by measurement (docs/decisions.md), or those of the paper (spec 4)."""
    objectness: Positive | None = None
    """Gain of the objectness, of cells with an object and without; none: 2 in both presets."""
    classes: Positive | None = None
    """Gain of the classes; none: 1 in both presets."""
    iou: Positive | None = None
    """Gain of the horizontal box, and of the quads of `location`; none: 5 tuned, 1 in the paper."""
    glide: Positive | None = None
    """Gain of the positions of the vertices on the box; none: 15 tuned, 1 in the paper, a third where
    `location` is of quads, as those teach them, too."""
    ratio: Positive | None = None
    """Gain of the share of the box that the quad fills; none: 16 in both presets."""
    distance: Positive | None = None
    """Gain of the distances to the edges of the box; none: 1 tuned, 0.2 in the paper."""
    label_smoothing: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Share of the class target that is spread over all classes, on top of the 0.01 of JOL."""

    location: Location = "jol"
    """Error of a box: the detector's own (jol; GGHL: GIoU), DIoU or CIoU of the horizontal box, exact IoU or
    GIoU of the quads, or a distance of their Gaussians."""
    location_beside_jol: bool = False
    """Keep the GIoU of the horizontal box beside another `location`."""
    kld_direction: Literal["prediction", "target", "both"] = "prediction"
    """With location=kld: KL(prediction || target), KL(target || prediction), or their mean."""
    regression: Literal["jol", "balanced_l1", "ghm"] = "jol"
    """Errors of glides, area ratio and distances: the detector's own (jol; GGHL: squares and smooth L1),
    balanced L1, or GHM-R."""
    classification: Literal["jol", "bce", "focal", "qfl", "vfl", "ghm"] = "jol"
    """Objectness and classes: the detector's own (jol), cross-entropy, focal loss, quality focal loss,
    varifocal loss, or GHM-C. All but JOL's judge each logit by itself."""
    ghm_class_bins: Number = 30
    """Bins of the histogram of gradients of GHM-C."""
    ghm_class_momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.75
    """Share of the earlier histogram of GHM-C that stays in each step."""
    ghm_box_bins: Number = 10
    """Bins of each of the three histograms of GHM-R: of glides, area ratio and distances."""
    ghm_box_momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.7
    """Share of the earlier histograms of GHM-R that stays in each step."""
    ghm_mu: tuple[Positive, Positive, Positive] = (0.02, 0.02, 0.15)
    """Errors at which GHM-R goes from a square to a line: of glides, of the area ratio, and of distances in
    strides; best 1.7 times the median error of a trained network."""

    @property
    def fault(self) -> str | None:
        """What settings contradict each other, with the key first, or None."""
        if self.location_beside_jol and self.location == "jol":
            return "loss.location_beside_jol: expected false, loss.location is jol"
        for key, (by, choice) in READ_WITH.items():
            if getattr(self, by) != choice and getattr(self, key) != type(self).model_fields[key].default:
                return f"loss.{key}: read with loss.{by}={choice} alone, it is {getattr(self, by)}"
        if self.label_smoothing and self.classification in ("qfl", "vfl", "ghm"):
            return f"loss.label_smoothing: expected 0 with loss.classification={self.classification}"
        return None

    @property
    def gains(self) -> Gains:
        """The gains that count."""
        preset = GAINS[self.preset]
        if self.location not in HORIZONTAL:
            preset = preset._replace(glide=preset.glide / 3)
        chosen = (getattr(self, name) for name in Gains._fields)
        return Gains(*(b if a is None else a for a, b in zip(chosen, preset, strict=True)))
