"""Statistics of a data set: counts, sizes, shapes and directions of its objects, split by split."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from datasets_tools.doctor.labels import Labelled
from utils.arrays import F64
from utils.quads.geometry import quad_areas
from utils.quads.glides import NEARLY_HORIZONTAL
from utils.rboxes import quads_to_rboxes

MIN_ASPECT = 1.2  # below it an object's direction is chance
SIZES = (0, 4, 8, 16, 32, 64, 128, 256, 512)
ASPECTS = (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
ANGLES = tuple(range(0, 180, 10))
COUNTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
IMAGE_SIZES = 12  # kinds that are told


class Figure(NamedTuple):
    """One bar chart: how many of each split fall into each bin."""

    title: str
    unit: str  # what is counted
    bins: list[str]
    counts: dict[str, list[int]]  # split -> one number per bin


def summarise(data: Labelled, sizes: F64) -> dict[str, object]:
    """Return the plain numbers: images, objects, difficult flags and nearly horizontal objects by split."""
    quads = torch.from_numpy(data.objects.quads)
    boxes = np.ptp(data.objects.quads, axis=1).prod(axis=1)
    areas = quad_areas(quads).numpy()
    horizontal = areas > NEARLY_HORIZONTAL * boxes
    result: dict[str, object] = {}
    for split in data.splits:
        chosen = data.in_split(split)
        objects = chosen[data.objects.entries]
        known = Counter(tuple(size) for size in sizes[chosen].astype(int).tolist() if size[0])
        result[split] = {
            "images": int(chosen.sum()),
            "images_without_objects": int((_per_image(data)[chosen] == 0).sum()),
            "objects": int(objects.sum()),
            "difficult": np.bincount(data.objects.difficult[objects], minlength=3).tolist(),
            "nearly_horizontal": int(horizontal[objects].sum()),
            "image_sizes": {f"{w} x {h}": n for (w, h), n in known.most_common(IMAGE_SIZES)},
        }
    return result


def figures(data: Labelled) -> list[Figure]:
    """Return the bar charts of the page."""
    objects = data.objects
    boxes = quads_to_rboxes(torch.from_numpy(objects.quads)).numpy()
    _, _, long, short, angle = boxes.T
    aspect = long / np.maximum(short, 1e-9)
    degrees = np.degrees(angle) % 180
    slanted = aspect > MIN_ASPECT
    size = np.sqrt(quad_areas(torch.from_numpy(objects.quads)).numpy())
    names = list(objects.names)
    classes = {
        split: np.bincount(objects.labels[chosen], minlength=len(names)).tolist()
        for split, chosen in _rows(data).items()
    }
    order = np.argsort([-sum(row[n] for row in classes.values()) for n in range(len(names))], kind="stable")
    by_size = {split: [row[n] for n in order] for split, row in classes.items()}
    per_image = {split: _per_image(data)[data.in_split(split)] for split in data.splits}
    return [
        Figure("Objects of each class", "objects", [names[n] for n in order], by_size),
        _histogram("Size: square root of the area, px", size, SIZES, data),
        _histogram("Aspect ratio: long side / short side", aspect, ASPECTS, data),
        _histogram(
            f"Angle of the long side, degrees (aspect over {MIN_ASPECT})", degrees, ANGLES, data, slanted
        ),
        Figure(
            "Objects in an image",
            "images",
            _bins(COUNTS),
            {split: _count(values, COUNTS) for split, values in per_image.items()},
        ),
    ]


def _rows(data: Labelled) -> dict[str, NDArray[np.bool_]]:
    """Return which objects belong to each split."""
    return {split: data.in_split(split)[data.objects.entries] for split in data.splits}


def _per_image(data: Labelled) -> NDArray[np.int64]:
    return np.bincount(data.objects.entries, minlength=len(data.entries))


def _histogram(
    title: str,
    values: F64,
    edges: Sequence[float],
    data: Labelled,
    shown: NDArray[np.bool_] | None = None,
) -> Figure:
    counts = {
        split: _count(values[chosen if shown is None else chosen & shown], edges)
        for split, chosen in _rows(data).items()
    }
    return Figure(title, "objects", _bins(edges), counts)


def _count(values: NDArray[np.floating | np.integer], edges: Sequence[float]) -> list[int]:
    """Return how many values fall between the edges; the last bin has no end."""
    places = np.searchsorted(edges, values, side="right") - 1
    counts: list[int] = np.bincount(places.clip(0), minlength=len(edges)).tolist()
    return counts


def _bins(edges: Sequence[float]) -> list[str]:
    last = "" if edges is ANGLES else "+"
    return [*(f"{edge:g}" for edge in edges[:-1]), f"{edges[-1]:g}{last}"]
