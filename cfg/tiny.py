"""Settings of the detectors of tiny objects on one fine level."""

from cfg.section import Positive, Section


class TinyConfig(Section):
    """Gains of the losses, and the anchor of all but ttfnet (spec 10.7, 10.8)."""

    anchor: Positive = 3.0
    """Side of the square anchor of each cell, in strides: 12 px at stride 4; of retinanet_s and atss_s."""

    classes: Positive = 1.0
    """Gain of the classes."""
    box: Positive = 2.0
    """Gain of the GIoU: of the quads, or of the boxes with model.horizontal."""
    glide: Positive = 1.0
    """Gain of the positions of the vertices on the box, where quads are predicted."""
    ratio: Positive = 16.0
    """Gain of the share of the box that the quad fills, where quads are predicted."""
    quality: Positive = 1.0
    """Gain of the branch that says how well a cell predicts its object; retinanet_s has none."""
