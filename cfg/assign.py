"""Settings of the label assignment."""

from typing import Literal

from pydantic import Field

from cfg.section import Fraction, Positive, Section


class AssignConfig(Section):
    """Label assignment (OLA): which cells learn an object (spec 2); all but `min_side` for gghl."""

    rule: Literal["current", "paper", "pro"] = "current"
    """The rule of the authors' code as it is now, that of the paper, or that of four levels (GGHL pro)."""
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
