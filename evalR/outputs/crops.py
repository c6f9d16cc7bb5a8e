"""Crops: each object cut out and turned upright, in a folder for its class, and where it was."""

import re
from pathlib import Path

import numpy as np
import torch

from evalR.outputs.measures import quads_of
from utils.arrays import F64, U8
from utils.drawing import save_image
from utils.images import invert, warp_image
from utils.quads.geometry import edge_aligned_sides, long_side_directions
from utils.rasters import Raster
from utils.records import SceneDetections
from utils.tables import write_table
from utils.tiles import Window

COLUMNS = ("crop", "class", "score", "x_min", "y_min", "x_max", "y_max")
NUMBER = r"_\d{4,}\.jpg"


def write_crops(
    folder: Path, name: str, raster: Raster, found: SceneDetections, margin: float, limit: int
) -> int:
    """Write FOLDER/CLASS/NAME_0001.jpg and so on, highest score first, and return how many.

    FOLDER/NAME.csv says which pixels of the image each shows.  Crops of an earlier call for the same image
    go.  Objects off the image are left out.

    Args:
        margin: share of the short side that is added on each side.
        limit: at most so many; 0: all.
    """
    remove_crops(folder, name)
    rows: list[tuple[object, ...]] = []
    _, scores, labels = (field.tolist() for field in found.detections)
    for quad, score, label in zip(quads_of(found), scores, labels, strict=True):
        if limit and len(rows) == limit:
            break
        crop = crop_upright(raster, quad, margin)
        if crop is None:
            continue
        kind = found.classes[label]
        path = Path(class_folder(kind)) / f"{name}_{len(rows) + 1:04d}.jpg"
        save_image(folder / path, crop, flush=False)
        rows.append((path.as_posix(), kind, f"{score:.4f}", *_pixels_of(quad, margin, raster.size)))
    if rows:
        write_table(folder / f"{name}.csv", COLUMNS, rows)
    return len(rows)


def remove_crops(folder: Path, name: str) -> None:
    """Delete the crops of an image, and what says where they lie."""
    (folder / f"{name}.csv").unlink(missing_ok=True)
    for path in folder.glob("*/*.jpg"):
        if re.fullmatch(re.escape(name) + NUMBER, path.name):
            path.unlink()


def class_folder(name: str) -> str:
    """Return the name of a class as that of a folder, which lies in the one of the crops.

    >>> class_folder("small/car"), class_folder("..")
    ('small-car', '--')
    """
    return "-" * len(name) if not name.strip(".") else re.sub(r"[/\\:\0]", "-", name)


def crop_upright(raster: Raster, quad: F64, margin: float) -> U8 | None:
    """Return the rectangle around a quad (4, 2) as an upright picture; None where it misses the image.

    Its long side is upright, the end that is higher in the image on top; pixels keep their size, and what
    lies outside the image is grey.
    """
    axes, size, corners = _rectangle(quad, margin)
    low = np.clip(np.floor(corners.min(axis=0)) - 1, 0, None).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 1, raster.size[::-1]).astype(int)
    if (low >= high).any():
        return None
    pixels = raster.read(Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    to_image = np.concatenate([axes.T, (corners[0] - low)[:, None]], axis=1)
    return warp_image(pixels, invert(to_image), size)


def _rectangle(quad: F64, margin: float) -> tuple[F64, tuple[int, int], F64]:
    """Return the directions (2, 2) of a crop to the right and down, its height and width, its corners."""
    points = torch.from_numpy(quad[None].copy())
    x, y = long_side_directions(points)[0].tolist()
    down = np.array([x, y]) if y > 0 or (y == 0 and x > 0) else np.array([-x, -y])
    axes = np.stack([np.array([down[1], -down[0]]), down])
    projected = quad @ axes.T
    centre = (projected.min(axis=0) + projected.max(axis=0)) / 2 @ axes
    long, short = edge_aligned_sides(points)[0].tolist()
    more = 2 * margin * short
    height, width = max(1, round(long + more)), max(1, round(short + more))
    corners = centre + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([width, height]) / 2 @ axes
    return axes, (height, width), corners


def _pixels_of(quad: F64, margin: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return x_min, y_min, x_max, y_max of what a crop shows of an image of this height and width."""
    corners = _rectangle(quad, margin)[-1]
    x_min, y_min = np.clip(np.floor(corners.min(axis=0)), 0, size[::-1]).astype(int).tolist()
    x_max, y_max = np.clip(np.ceil(corners.max(axis=0)), 0, size[::-1]).astype(int).tolist()
    return x_min, y_min, x_max, y_max
