"""Annotated pictures: thin outlines in the colours of the classes, names, and a legend with counts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evalR.outputs.measures import class_names_of, quads_of
from evalR.pictures.labels import legible_scale
from utils.arrays import U8
from utils.captions import write_captions
from utils.drawing import LegendEntry, caption_texts, rescale, save_image, with_legend
from utils.outlines import draw_outlines
from utils.palette import Colour, class_colour
from utils.quads.geometry import quads_to_hboxes
from utils.records import Detections, SceneDetections
from utils.thresholds import Threshold, threshold_text
from utils.tiles import Window

LEGIBLE = 16.0  # px; images of smaller objects are enlarged
LARGEST = 2400  # px; no picture is enlarged beyond
LARGE = 1600  # px; seen whole, a larger picture is shrunk, and lines of one pixel with it
LETTERS = (11, 18)  # px, of captions in ordinary pictures and in those of 4000 px
LETTERS_PER_SIDE = 1 / 150  # of the long side of a picture between


def write_picture(path: Path, image: U8, found: SceneDetections, threshold: Threshold) -> None:
    """Write NAME.jpg: the image, 2 to 4 times as large where its objects are under 16 px.

    Args:
        threshold: of the scores of what was found, as `threshold_text` takes it.
    """
    save_image(path, picture_of(image, found, threshold))


def picture_of(image: U8, found: SceneDetections, threshold: Threshold) -> U8:
    """Return the annotated image, enlarged where its objects are small, above the legend."""
    scale = legible_scale(quads_of(found), found.size, LEGIBLE, LARGEST)
    return with_legend(annotate(image, found, scale), legend(found, threshold))


def annotate(image: U8, found: SceneDetections, scale: float = 1.0) -> U8:
    """Return the image (H, W, 3) times `scale` with thin outlines, and class names and scores where they fit.

    Where there is no room for both the score stands alone, or nothing.
    """
    canvas = np.ascontiguousarray(rescale(image, scale)).copy()
    quads, paints = quads_of(found) * scale, paints_of(found.detections)
    long = max(canvas.shape)
    draw_outlines(canvas, quads, paints, 2 if long > LARGE else 1)
    texts, shorter = caption_texts(class_names_of(found), found.detections.scores.numpy())
    size = int(np.clip(long * LETTERS_PER_SIDE, *LETTERS))
    write_captions(canvas, quads, texts, paints, shorter, size)
    return canvas


def paints_of(detections: Detections) -> list[Colour]:
    """Return the colour of each object."""
    return [class_colour(label) for label in detections.labels.tolist()]


def legend(found: SceneDetections, threshold: Threshold) -> list[LegendEntry]:
    """Return the threshold, and the colours that occur, each with its class and its count."""
    counts = np.bincount(found.detections.labels.numpy(), minlength=len(found.classes)).tolist()
    entries: list[LegendEntry] = [
        (class_colour(k), f"{found.classes[k]} {n}") for k, n in enumerate(counts) if n
    ]
    return [(None, threshold_text(threshold)), *(entries or [(None, "no objects")])]


def class_legend(classes: Sequence[str], wanted: Sequence[str], threshold: Threshold) -> list[LegendEntry]:
    """Return the threshold and the colours of the classes that are wanted, or of all.

    Args:
        classes: all of them, as the network knows them.
    """
    known: list[LegendEntry] = [
        (class_colour(k), name) for k, name in enumerate(classes) if not wanted or name in wanted
    ]
    return [(None, threshold_text(threshold)), *known]


def part_of(found: SceneDetections, window: Window) -> SceneDetections:
    """Return the objects that reach into a window, in its pixels."""
    boxes = quads_to_hboxes(found.detections.quads)
    left, top, right, bottom = boxes.unbind(-1)
    keep = (right > window.x_min) & (left < window.x_max) & (bottom > window.y_min) & (top < window.y_max)
    inside = Detections(*(field[keep] for field in found.detections))
    moved = inside._replace(quads=inside.quads - inside.quads.new_tensor(window[:2]))
    size = window.y_max - window.y_min, window.x_max - window.x_min
    return found._replace(detections=moved, size=size, geo=None)
