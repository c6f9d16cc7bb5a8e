"""Annotated pictures: thin outlines in the colours of the classes, names, and a legend with counts."""

from pathlib import Path

import numpy as np

from evalR.outputs.measures import class_names_of, quads_of
from evalR.report.labels import legible_scale
from utils.drawing import (
    Colour,
    Image,
    class_colour,
    draw_outlines,
    rescale,
    save_image,
    with_legend,
    write_captions,
)
from utils.quads import quads_to_hboxes
from utils.rasters import Window
from utils.records import Detections, SceneDetections

LEGIBLE = 16.0  # px; images of smaller objects are enlarged
LARGEST = 2400  # px; no picture is enlarged beyond
LARGE = 1600  # px; seen whole, a larger picture is shrunk, and lines of one pixel with it
INK = (30, 30, 30)


def write_picture(path: Path, image: Image, found: SceneDetections) -> None:
    """Write NAME.jpg: the image, 2 to 4 times as large where its objects are under 16 px."""
    save_image(path, picture_of(image, found))


def picture_of(image: Image, found: SceneDetections) -> Image:
    """Return the annotated image, enlarged where its objects are small, above the legend."""
    scale = legible_scale(quads_of(found), found.size, LEGIBLE, LARGEST)
    return with_legend(annotate(image, found, scale), legend(found))


def annotate(image: Image, found: SceneDetections, scale: float = 1.0) -> Image:
    """Return the image (H, W, 3) times `scale` with thin outlines, class names and scores."""
    canvas = np.ascontiguousarray(rescale(image, scale)).copy()
    quads, paints = quads_of(found) * scale, paints_of(found.detections)
    draw_outlines(canvas, quads, paints, 2 if max(canvas.shape) > LARGE else 1)
    scores = found.detections.scores.tolist()
    texts = [f"{name} {score:.2f}" for name, score in zip(class_names_of(found), scores, strict=True)]
    write_captions(canvas, quads, texts, paints)
    return canvas


def paints_of(detections: Detections) -> list[Colour]:
    """Return the colour of each object."""
    return [class_colour(label) for label in detections.labels.tolist()]


def legend(found: SceneDetections) -> list[tuple[Colour, str]]:
    """Return the colours that occur, each with its class and its count."""
    counts = np.bincount(found.detections.labels.numpy(), minlength=len(found.classes)).tolist()
    entries = [(class_colour(k), f"{found.classes[k]} {n}") for k, n in enumerate(counts) if n]
    return entries or [(INK, "no objects")]


def part_of(found: SceneDetections, window: Window) -> SceneDetections:
    """Return the objects that reach into a window, in its pixels."""
    boxes = quads_to_hboxes(found.detections.quads)
    left, top, right, bottom = boxes.unbind(-1)
    keep = (right > window.x_min) & (left < window.x_max) & (bottom > window.y_min) & (top < window.y_max)
    inside = Detections(*(field[keep] for field in found.detections))
    moved = inside._replace(quads=inside.quads - inside.quads.new_tensor(window[:2]))
    size = window.y_max - window.y_min, window.x_max - window.x_min
    return found._replace(detections=moved, size=size, geo=None)
