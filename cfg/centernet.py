"""Settings of CenterNet-R."""

from cfg.section import Number, Positive, Section


class CenternetConfig(Section):
    """Centres as key points, and the gains of their losses (spec 10.3, 10.4)."""

    min_side: Positive = 4.0
    """Objects of which a side is not longer, in pixels of the network input, are ignore regions."""
    top_k: Number = 150
    """So many of the highest peaks of an image become candidates."""
    classes: Positive = 1.0
    """Gain of the class heat."""
    iou: Positive = 1.0
    """Gain of the horizontal box."""
    offset: Positive = 1.0
    """Gain of the place of the centre in its cell."""
    size: Positive = 1.0
    """Gain of width and height."""
    glide: Positive = 1.0
    """Gain of the positions of the vertices on the box."""
    ratio: Positive = 16.0
    """Gain of the share of the box that the quad fills."""
