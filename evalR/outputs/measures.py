"""Measures of objects: centre, length, width, heading and area, in pixels or on the ground."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from utils.arrays import F64
from utils.georeference import lonlat_to_metres, map_to_lonlat, pixels_to_map, wrapped_degrees
from utils.quads.geometry import edge_aligned_sides, long_side_directions, quad_areas
from utils.records import Detections, SceneDetections

HALF_TURN = 180.0
DECIMALS = (2, 2, 1, 2)  # of length, width, heading and area as they are written
CHUNK = 20_000  # objects that are put into words at once: 50 MB


class Measures(NamedTuple):
    """K objects; NaN for those that lie off the Earth."""

    lengths: F64  # (K,) the long side of the smallest edge-aligned enclosing rectangle
    widths: F64  # (K,) its short side
    headings: F64  # (K,) degrees of the long side, clockwise from north or from up, in [0, 180)
    areas: F64  # (K,) of the quad


def pixel_measures(quads: F64) -> Measures:
    """Return measures of quads (K, 4, 2) in pixels; headings count from the top of the image."""
    return measure_outlines(quads * np.array([1.0, -1.0]))


def ground_measures(lonlat: F64) -> Measures:
    """Return measures of quads (K, 4, 2) of longitude and latitude in metres; headings are from true north.

    They are lengths on the ellipsoid, whatever the projection of the raster does to them.
    """
    known = np.isfinite(lonlat).all(axis=(1, 2))
    found = measure_outlines(lonlat_to_metres(lonlat[known]))
    fields = []
    for field in found:
        values = np.full(len(lonlat), np.nan)
        values[known] = field
        fields.append(values)
    return Measures(*fields)


def measure_outlines(outlines: F64) -> Measures:
    """Return measures of quads (K, 4, 2) of x to the right and y up, or east and north."""
    quads = torch.from_numpy(np.ascontiguousarray(outlines - outlines[:, :1]))  # near 0: nothing cancels
    lengths, widths = edge_aligned_sides(quads).unbind(-1)
    east, north = long_side_directions(quads).numpy().T
    headings = np.degrees(np.arctan2(east, north)) % HALF_TURN
    headings[headings >= HALF_TURN] = 0.0  # a remainder of -1e-20
    return Measures(lengths.numpy(), widths.numpy(), headings, quad_areas(quads).numpy())


def quads_of(found: SceneDetections) -> F64:
    """Return the quads (K, 4, 2) in pixels of the image."""
    return np.asarray(found.detections.quads.double().cpu().numpy(), np.float64)


def lonlat_of(found: SceneDetections) -> F64:
    """Return the quads (K, 4, 2) of a geo-referenced raster as longitude and latitude in degrees."""
    assert found.geo is not None
    return map_to_lonlat(pixels_to_map(quads_of(found), found.geo), found.geo.crs)


def unwrapped(lonlat: F64) -> F64:
    """Return outlines (K, V, 2) in degrees, the longitudes beyond 180 where the short way round needs it."""
    with np.errstate(invalid="ignore"):  # infinite off the Earth
        steps = lonlat - lonlat[:, :1]
        steps[..., 0] = wrapped_degrees(steps[..., 0])
        return np.asarray(lonlat[:, :1] + steps, np.float64)


def centres_of(lonlat: F64) -> F64:
    """Return the centres (K, 2) of outlines (K, 4, 2) in degrees, the short way round; NaN off the Earth."""
    with np.errstate(invalid="ignore"):  # infinite there
        centres = unwrapped(lonlat).mean(axis=1)
        centres[:, 0] = wrapped_degrees(centres[:, 0])
    return np.asarray(centres, np.float64)


def class_names_of(found: SceneDetections) -> list[str]:
    """Return the name of the class of each object."""
    return [found.classes[label] for label in found.detections.labels.tolist()]


def property_columns(found: SceneDetections, lonlat: F64 | None) -> dict[str, list[Any]]:
    """Return class, score and measures as columns; None for those of objects off the Earth.

    Args:
        lonlat: (K, 4, 2) as of `lonlat_of`; None: the measures are in pixels.
    """
    unit, square = ("px", "px") if lonlat is None else ("m", "m2")
    measures = pixel_measures(quads_of(found)) if lonlat is None else ground_measures(lonlat)
    names = (f"length_{unit}", f"width_{unit}", "heading_deg", f"area_{square}")
    columns = {
        name: [round(value, decimals) if math.isfinite(value) else None for value in values.tolist()]
        for name, values, decimals in zip(names, measures, DECIMALS, strict=True)
    }
    scores = [round(score, 4) for score in found.detections.scores.tolist()]
    return {"class": class_names_of(found), "score": scores, **columns}


def feature_columns(
    found: SceneDetections, lonlat: F64 | None, with_path: bool = False
) -> dict[str, list[Any]]:
    """Return the properties of features as columns: the name of the image, then those of `property_columns`.

    Pixels say so in one more, `coordinates`: what is merged or exported later keeps it.

    Args:
        with_path: add the path as it was given, for layers of images that may share names.
    """
    count, image = len(found.detections.scores), Path(found.source).name
    columns = {"image": [image] * count, **property_columns(found, lonlat)}
    if lonlat is None:
        columns["coordinates"] = [f"pixels of {image}"] * count
    if with_path:
        columns["path"] = [Path(found.source).as_posix()] * count
    return columns


def chunks_of(found: SceneDetections) -> Iterator[SceneDetections]:
    """Yield the objects in their order, few enough at once to keep memory small; none are one chunk, too."""
    for start in range(0, max(len(found.detections.scores), 1), CHUNK):
        own = Detections(*(field[start : start + CHUNK] for field in found.detections))
        yield found._replace(detections=own)
