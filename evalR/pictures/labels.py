"""Label picture of one image with its objects, to see whether the labels are right."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from utils.arrays import U8
from utils.captions import write_captions
from utils.drawing import LegendEntry, caption_texts, rescale, with_legend
from utils.outlines import draw_outlines, mark_starts
from utils.palette import class_colour, shade
from utils.records import Annotation

PALER = 0.5  # of the way to white, for objects that tiling cut


def label_picture(
    image: U8,
    objects: Annotation,
    classes: Sequence[str],
    scores: ArrayLike | None = None,
    scale: float = 1.0,
    details: bool = True,
) -> U8:
    """Return the image times `scale` with its objects in thin lines, above a legend that counts the classes.

    A dot marks the first vertex and an arrow head the way to the second.  Objects with `difficult` 1 are
    dashed, with 2 dashed and paler.

    Args:
        scores: (N,), to stand beside the names.
        details: draw names, dots and arrow heads as well; too much for a small picture.
    """
    canvas = np.ascontiguousarray(rescale(image, scale)).copy()
    quads = objects.quads.astype(np.float64) * scale
    paints = [
        shade(class_colour(label), PALER) if flag == 2 else class_colour(label)
        for label, flag in zip(objects.labels.tolist(), objects.difficult.tolist(), strict=True)
    ]
    draw_outlines(canvas, quads, paints, dashed=(objects.difficult != 0).tolist())
    if details:
        mark_starts(canvas, quads, paints)
        texts, shorter = caption_texts([classes[label] for label in objects.labels.tolist()], scores)
        write_captions(canvas, quads, texts, paints, shorter)
    return with_legend(canvas, _legend(objects, classes))


def legible_scale(quads: ArrayLike, size: tuple[int, int], legible: float, largest: float) -> float:
    """Return the whole factor, 1 to 4, after which nine of ten objects are `legible` px across.

    Less where the picture would become larger than `largest` px.

    Args:
        size: height and width of the image.
    """
    corners = np.asarray(quads, np.float64)
    if not len(corners):
        return 1.0
    edges = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=-1)
    smallest = max(float(np.quantile(edges.min(axis=1), 0.1)), 1.0)
    return float(max(1, min(4, int(np.ceil(legible / smallest)), int(largest / max(size)))))


def _legend(objects: Annotation, classes: Sequence[str]) -> list[LegendEntry]:
    entries: list[LegendEntry] = []
    for label in np.unique(objects.labels).tolist():
        flags = objects.difficult[objects.labels == label]
        hard = int((flags != 0).sum())
        entries.append(
            (class_colour(label), f"{classes[label]} {len(flags)}" + f" ({hard} difficult)" * (hard > 0))
        )
    return entries or [(None, "no objects")]
