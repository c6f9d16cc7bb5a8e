"""Settings of RTMDet-R."""

from cfg.section import Positive, Section


class RtmdetConfig(Section):
    """Gains of the losses (spec 10.6)."""

    classes: Positive = 1.0
    """Gain of the classes, on all cells."""
    iou: Positive = 2.0
    """Gain of the exact overlap of the quads."""
    ratio: Positive = 6.4
    """Gain of the share of the box that the quad fills: against the overlap as in JOL, 16 to 5."""
