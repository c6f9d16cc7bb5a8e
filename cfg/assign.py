"""Settings of the label assignment."""

from typing import Literal

from pydantic import Field

from cfg.section import Count, Fraction, Number, Positive, Section

OF_GGHL = ("paper", "pro")  # rules that go with the head of gghl alone
DYNAMIC = ("tal", "simota", "soft", "paa", "dtla")  # rules that look at predictions


class AssignConfig(Section):
    """Label assignment: which cells learn an object (spec 2, 11), of gghl and fcos_r; `min_side` for all."""

    rule: Literal["current", "paper", "pro", "fcos", "atss", "ga", "tal", "simota", "soft", "paa", "dtla"] = (
        "current"
    )
    """current: the detector's own, for gghl the Gaussian of the authors' code as it is now; paper, pro: those
    of the paper and of four levels (GGHL pro); fcos, atss, ga: other static rules; tal, simota, soft, paa,
    dtla: dynamic ones, which look at the predictions (docs/detectors.md)."""
    level_bounds: tuple[Positive, ...] = (68.571, 274.286)
    """Long sides in pixels of the network input where each level but the finest begins."""
    level_overlap: float = Field(default=1.2, ge=1.0)
    """Objects above a bound, up to this factor, are learnt by both levels."""
    heat_threshold: Fraction = 0.05
    """Cells hotter than this learn an object."""
    iou_threshold: Fraction = 0.3
    """Sets how far the Gaussian reaches: the exponent of its semi-axes is 1 - this."""
    min_side: float = Field(default=4.0, ge=0.0)
    """Objects smaller than this, in pixels of the network input, are ignore regions."""
    ga_alpha: Positive = 1.0
    """Rule ga: multiplies how far the Gaussian reaches, after the limit of two cells."""
    ga_threshold: Fraction = 0.1
    """Rule ga: cells at least as hot as this learn an object."""
    tal_alpha: float = Field(default=1.0, ge=0.0)
    """Rule tal: power of the class score in the metric; 0.5 in the YOLO family."""
    tal_beta: Positive = 6.0
    """Rule tal: power of the overlap in the metric."""
    tal_top_k: Number = 13
    """Rule tal: so many of the best cells learn an object; 10 in the YOLO family."""
    warmup_steps: Count = 500
    """Rules tal and soft: so many first steps assign statically, until overlaps mean something."""
