"""Clipping of objects that reach beyond their image, at its border."""

from collections.abc import Sequence

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from datasets_tools.items import Item
from utils.quads.image_quads import clip_to_image, shown_quads


def clip_items(items: Sequence[Item], notes: Notes) -> list[Item]:
    """Return the items with quads of four points in the image each; what it does not show is left out."""
    return [item._replace(image=clip_image(item.image, notes)) for item in items]


def clip_image(image: LabelledImage, notes: Notes) -> LabelledImage:
    """Return an image of known size with its quads clipped, and count them."""
    assert image.size is not None
    shown = shown_quads(image.quads, image.size)
    clipped = clip_to_image(image.quads, image.size)
    changed = (clipped != image.quads).any(axis=(1, 2))
    notes.add("quads were clipped to their image", (changed & shown).sum())
    notes.add("objects were left out, as they lie outside their image", (~shown).sum())
    return image._replace(quads=clipped).take(shown)
