"""Settings of RetinaNet."""

from typing import Annotated

from pydantic import Field

from cfg.section import Fraction, Number, Positive, Section


class RetinanetConfig(Section):
    """Anchors, which of them learn an object, and the gains of the losses (spec 12)."""

    scale: Positive = 4.0
    """Side of the smallest square anchor of a level, in its strides."""
    octaves: Number = 3
    """Sizes of anchors from that side up to twice of it."""
    aspects: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    """Height over width of the anchors of each size."""
    positive_iou: Fraction = 0.5
    """Anchors that overlap an object by this learn it; each object has its best anchor besides."""
    negative_iou: Fraction = 0.4
    """Anchors that overlap all objects by less are background; between both they learn nothing."""
    top_k: Number = 2000
    """So many of the highest scores of each level become candidates."""
    classes: Positive = 1.0
    """Gain of the classes of all anchors."""
    box: Positive = 1.0
    """Gain of the horizontal box, and of the quads of `loss.location`."""
    glide: Positive = 1.0
    """Gain of the positions of the vertices on the box."""
    ratio: Positive = 1.0
    """Gain of the share of the box that the quad fills."""

    @property
    def fault(self) -> str | None:
        """What settings contradict each other, with the key first, or None."""
        if self.negative_iou > self.positive_iou:
            return (
                f"retinanet.negative_iou: expected at most retinanet.positive_iou={self.positive_iou:g}, "
                f"got {self.negative_iou:g}"
            )
        return None
