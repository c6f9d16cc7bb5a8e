"""Crops: each object cut out and turned upright, in a folder for its class."""

import re
from pathlib import Path

import numpy as np
import torch

from evalR.outputs.measures import quads_of
from utils.drawing import save_image
from utils.georeference import F64
from utils.images import invert, warp_image
from utils.outlines import Image
from utils.quads import edge_aligned_sides, long_side_directions
from utils.rasters import Raster, Window
from utils.records import SceneDetections

NUMBER = r"_\d{4,}\.jpg"


def write_crops(
    folder: Path, name: str, raster: Raster, found: SceneDetections, margin: float, limit: int
) -> int:
    """Write FOLDER/CLASS/NAME_0001.jpg and so on, highest score first, and return how many.

    Crops of an earlier call for the same image go.  Objects off the image are left out.

    Args:
        margin: share of the short side that is added on each side.
        limit: at most so many; 0: all.
    """
    remove_crops(folder, name)
    written = 0
    for quad, label in zip(quads_of(found), found.detections.labels.tolist(), strict=True):
        if limit and written == limit:
            break
        crop = crop_upright(raster, quad, margin)
        if crop is None:
            continue
        written += 1
        path = folder / class_folder(found.classes[label]) / f"{name}_{written:04d}.jpg"
        save_image(path, crop, flush=False)
    return written


def remove_crops(folder: Path, name: str) -> None:
    """Delete the crops of an image."""
    for path in folder.glob("*/*.jpg"):
        if re.fullmatch(re.escape(name) + NUMBER, path.name):
            path.unlink()


def class_folder(name: str) -> str:
    """Return the name of a class as that of a folder."""
    return re.sub(r"[/\\:]", "-", name)


def crop_upright(raster: Raster, quad: F64, margin: float) -> Image | None:
    """Return the rectangle around a quad (4, 2) as an upright picture; None where it misses the image.

    Its long side is upright, the end that is higher in the image on top; pixels keep their size, and what
    lies outside the image is grey.
    """
    axes, size, centre = _rectangle(quad, margin)
    height, width = size
    corners = centre + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array([width, height]) / 2 @ axes
    low = np.clip(np.floor(corners.min(axis=0)) - 1, 0, None).astype(int)
    high = np.minimum(np.ceil(corners.max(axis=0)) + 1, raster.size[::-1]).astype(int)
    if (low >= high).any():
        return None
    pixels = raster.read(Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])))
    to_image = np.concatenate([axes.T, (corners[0] - low)[:, None]], axis=1)
    return warp_image(pixels, invert(to_image), size)


def _rectangle(quad: F64, margin: float) -> tuple[F64, tuple[int, int], F64]:
    """Return the directions (2, 2) of the crop to the right and down, its height and width, its centre."""
    points = torch.from_numpy(quad[None].copy())
    x, y = long_side_directions(points)[0].tolist()
    down = np.array([x, y]) if y > 0 or (y == 0 and x > 0) else np.array([-x, -y])
    axes = np.stack([np.array([down[1], -down[0]]), down])
    projected = quad @ axes.T
    centre = (projected.min(axis=0) + projected.max(axis=0)) / 2 @ axes
    long, short = edge_aligned_sides(points)[0].tolist()
    more = 2 * margin * short
    return axes, (max(1, round(long + more)), max(1, round(short + more))), centre
