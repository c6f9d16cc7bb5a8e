"""Settings of YOLOv3-R."""

from cfg.section import Fraction, Number, Positive, Section

ANCHORS = 3  # of a cell


class Yolov3Config(Section):
    """Anchors, which of them are background, and the gains of the losses (spec 12)."""

    anchors: tuple[Positive, ...] = (
        *(2.8034, 2.8739, 4.2312, 6.4404, 7.3843, 3.8261),
        *(4.2461, 4.3495, 4.4292, 10.5940, 8.2477, 6.2248),
        *(6.0269, 5.9245, 7.1784, 10.8636, 15.3025, 12.6286),
    )
    """Width and height of the three anchors of each level in its strides, finest level first; the default
    was found on aerial images of 800 pixels."""
    ignore_iou: Fraction = 0.5
    """Anchors that overlap an object by this without being its best learn nothing."""
    top_k: Number = 2000
    """So many of the highest scores of each level become candidates."""
    objectness: Positive = 1.0
    """Gain of the objectness, of anchors with an object and without."""
    classes: Positive = 1.0
    """Gain of the classes."""
    box: Positive = 1.0
    """Gain of the horizontal box, and of the quads of `loss.location`."""
    glide: Positive = 1.0
    """Gain of the positions of the vertices on the box."""
    ratio: Positive = 1.0
    """Gain of the share of the box that the quad fills."""
