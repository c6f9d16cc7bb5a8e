"""Overview of a scene too large to draw, and its densest windows at full size."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from evalR.outputs.measures import quads_of
from evalR.outputs.pictures import annotate, legend, paints_of, part_of
from utils.arrays import F64, U8
from utils.drawing import LegendEntry, save_image, with_legend
from utils.lettering import draw_text, text_size
from utils.outlines import draw_outlines
from utils.rasters import Raster
from utils.records import SceneDetections
from utils.thresholds import Threshold
from utils.tiles import Window

OVERVIEW = 2000  # px, the longest side of an overview
WINDOW = 1000  # px, the sides of a window at full size
WINDOWS = 4
CELLS = 4  # of the grid that windows are laid on, in each direction of a window
STRIP = 64  # rows of an overview that are read at once
SMALL = 6.0  # px in the overview; smaller objects are dots
TAG = 12  # px, of the numbers of frames; more in a large overview
BLACK, PAPER = (0, 0, 0), (255, 255, 255)


class Reduction(NamedTuple):
    """What an overview is reduced by."""

    factor: int  # pixels of the scene for one of the overview, each way
    image: U8


def write_overview(place: Path, raster: Raster, found: SceneDetections, threshold: Threshold) -> list[Path]:
    """Write PLACE.jpg and PLACE_dense1.jpg to _dense4.jpg, and return their paths; the scene is read once.

    The overview shows where the windows lie, by their numbers.  Windows of an earlier call go.

    Args:
        threshold: of the scores of what was found, as `threshold_text` takes it.
    """
    windows = densest_windows(quads_of(found), raster.size)
    paths = [place.with_name(f"{place.name}.jpg"), *dense_paths(place)[: len(windows)]]
    view = reduce_raster(raster, -(-max(raster.size) // OVERVIEW))
    canvas = draw_overview(view, found)
    draw_frames(canvas, windows, view.factor)
    save_image(paths[0], with_legend(canvas, _about_overview(view, found, paths[1:], threshold)))
    for number, (path, window) in enumerate(zip(paths[1:], windows, strict=True), 1):
        part = part_of(found, window)
        where = f"{window_name(number, window)} of {Path(found.source).name}"
        save_image(
            path, with_legend(annotate(raster.read(window), part), [(None, where), *legend(part, threshold)])
        )
    for path in dense_paths(place)[len(windows) :]:
        path.unlink(missing_ok=True)  # it would show a frame that the overview has not
    return paths


def _about_overview(
    view: Reduction, found: SceneDetections, paths: Sequence[Path], threshold: Threshold
) -> list[LegendEntry]:
    height, width = found.size
    notes = [f"{Path(found.source).name}: {width} x {height} px, shown 1:{view.factor}"]
    if paths:
        files = paths[0].name if len(paths) == 1 else f"{paths[0].name} to {paths[-1].name}"
        notes.append(f"frame 1: {files}" if len(paths) == 1 else f"frames 1 to {len(paths)}: {files}")
    return [*((None, note) for note in notes), *legend(found, threshold)]


def window_name(number: int, window: Window) -> str:
    """Return the number of a window and the pixels of the scene that it shows."""
    x_min, y_min, x_max, y_max = window
    return f"window {number}: x {x_min}-{x_max}, y {y_min}-{y_max}"


def draw_frames(canvas: U8, windows: Sequence[Window], factor: int) -> None:
    """Draw the frames of windows of a scene onto its overview itself, each with its number from 1."""
    size = max(TAG, round(max(canvas.shape) / 60))
    for number, window in reversed([*enumerate(windows, 1)]):  # the first on top
        left, top, right, bottom = (round(place / factor) for place in window)
        for paint, width in ((BLACK, 4), (PAPER, 2)):
            cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), paint, width)
        wide, high = text_size(str(number), size)
        cv2.rectangle(canvas, (left, top), (left + wide + 7, top + high + 1), PAPER, cv2.FILLED)
        draw_text(canvas, (left + 4, top), str(number), size, BLACK)


def overview_of(raster: Raster, found: SceneDetections) -> U8:
    """Return a scene with its objects, reduced to at most 2000 px."""
    return draw_overview(reduce_raster(raster, -(-max(raster.size) // OVERVIEW)), found)


def dense_paths(place: Path) -> list[Path]:
    """Return where the densest windows go, the fullest first."""
    return [place.with_name(f"{place.name}_dense{number}.jpg") for number in range(1, WINDOWS + 1)]


def reduce_raster(raster: Raster, factor: int) -> Reduction:
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
    return Reduction(factor, image)


def draw_overview(view: Reduction, found: SceneDetections) -> U8:
    """Return the overview with outlines, and dots in the place of objects under 6 px."""
    canvas = view.image.copy()
    quads = quads_of(found) / view.factor
    small = np.linalg.norm(quads - np.roll(quads, -1, axis=1), axis=-1).max(axis=1) < SMALL
    paints = paints_of(found.detections)
    draw_outlines(canvas, quads[~small], [paint for paint, dot in zip(paints, small, strict=True) if not dot])
    for row in np.flatnonzero(small).tolist():
        x, y = np.floor(quads[row].mean(axis=0)).astype(int).tolist()
        cv2.circle(canvas, (x, y), 2, paints[row], cv2.FILLED, cv2.LINE_AA)
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
