"""Scenes too large to draw: an overview, and their densest windows at full size."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from evalR.outputs.measures import quads_of
from evalR.outputs.pictures import annotate, legend, paints_of, part_of
from utils.drawing import Image, draw_outlines, save_image, with_legend
from utils.georeference import F64
from utils.rasters import Raster, Window
from utils.records import SceneDetections

OVERVIEW = 2000  # px, the longest side of an overview
WINDOW = 1000  # px, the sides of a window at full size
WINDOWS = 4
CELLS = 4  # of the grid that windows are laid on, in each direction of a window
STRIP = 64  # rows of an overview that are read at once
SMALL = 6.0  # px in the overview; smaller objects are dots


class View(NamedTuple):
    """What an overview is reduced by."""

    factor: int  # pixels of the scene for one of the overview, each way
    image: Image


def write_overview(place: Path, raster: Raster, found: SceneDetections) -> list[Path]:
    """Write PLACE.jpg and PLACE_dense1.jpg to _dense4.jpg, and return their paths; the scene is read once."""
    paths = [place.with_name(f"{place.name}.jpg")]
    save_image(paths[0], with_legend(overview_of(raster, found), legend(found)))
    for path, window in zip(dense_paths(place), densest_windows(quads_of(found), raster.size), strict=False):
        part = part_of(found, window)
        save_image(path, with_legend(annotate(raster.read(window), part), legend(part)))
        paths.append(path)
    return paths


def overview_of(raster: Raster, found: SceneDetections) -> Image:
    """Return a scene with its objects, reduced to at most 2000 px."""
    return draw_overview(reduce_raster(raster, -(-max(raster.size) // OVERVIEW)), found)


def dense_paths(place: Path) -> list[Path]:
    """Return where the densest windows go, the fullest first."""
    return [place.with_name(f"{place.name}_dense{number}.jpg") for number in range(1, WINDOWS + 1)]


def reduce_raster(raster: Raster, factor: int) -> View:
    """Return a scene at 1 / factor of its size, averaged; rows and columns beyond a whole factor are cut.

    Memory: the strips of 64 rows of the result that are read at once.
    """
    height, width = (max(1, length // factor) for length in raster.size)
    image = np.zeros((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        right = min(width * factor, raster.size[1])
        strip = raster.read(Window(0, top * factor, right, min(bottom * factor, raster.size[0])))
        image[top:bottom] = cv2.resize(strip, (width, bottom - top), interpolation=cv2.INTER_AREA)
    return View(factor, image)


def draw_overview(view: View, found: SceneDetections) -> Image:
    """Return the overview with outlines, and dots in the place of objects under 6 px."""
    canvas = view.image.copy()
    quads = quads_of(found) / view.factor
    sides = np.linalg.norm(quads - np.roll(quads, -1, axis=1), axis=-1).max(axis=1)
    paints = paints_of(found.detections)
    for quad, side, paint in zip(quads, sides, paints, strict=True):
        if side < SMALL:
            x, y = np.floor(quad.mean(axis=0)).astype(int).tolist()
            cv2.circle(canvas, (x, y), 2, paint, cv2.FILLED, cv2.LINE_AA)
        else:
            draw_outlines(canvas, quad[None], [paint])
    return canvas


def densest_windows(quads: F64, size: tuple[int, int]) -> list[Window]:
    """Return up to four windows of 1000 px with most centres of objects, the fullest first.

    Each counts what those before it do not hold; their places are steps of a quarter of a window.
    """
    step = WINDOW // CELLS
    bounds = [np.arange(0, max(length, WINDOW) + step, step) for length in size]
    x, y = quads.mean(axis=1).T
    counts, _, _ = np.histogram2d(y, x, bins=bounds)
    chosen: list[Window] = []
    while len(chosen) < WINDOWS:
        sums = np.lib.stride_tricks.sliding_window_view(counts, (CELLS, CELLS)).sum(axis=(2, 3))
        row, column = np.unravel_index(int(sums.argmax()), sums.shape)
        if not sums[row, column]:
            break
        top, left = (max(0, min(int(k) * step, n - WINDOW)) for k, n in zip((row, column), size, strict=True))
        chosen.append(Window(left, top, min(left + WINDOW, size[1]), min(top + WINDOW, size[0])))
        counts[row : row + CELLS, column : column + CELLS] = 0
    return chosen
