"""Geo-references: pixels of a raster, coordinates of its map, longitude and latitude; exact in float64."""

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from utils.arrays import F64
from utils.extras import need_extra
from utils.images import ImageError
from utils.raster_files import LOCAL, Access
from utils.rasters import open_dataset
from utils.records import GeoReference

log = logging.getLogger(__name__)
WGS84 = "EPSG:4326"
MOST_DEGREES = np.array([540.0, 90.0 + 1e-6])  # rasters may begin at 0 or cross the antimeridian


def read_geo(path: str | Path, access: Access = LOCAL) -> GeoReference | None:
    """Return where a raster lies; None where it does not say, or rasterio is not installed.

    What says half of it, a transform without a CRS or ground control points alone, is logged in one line.
    """
    with suppress(ImageError), open_dataset(path, access) as dataset:
        if dataset is None:  # whoever reads the pixels says what is wrong
            return None
        lack = _lack(dataset)
        if lack:
            log.warning("%s: %s; coordinates are pixels", path, lack)
        return geo_of(dataset)
    return None


def geo_of(dataset: Any) -> GeoReference | None:
    """Return where an open dataset of rasterio lies."""
    if _lack(dataset) or not dataset.crs:
        return None
    a, b, c, d, e, f = map(float, dataset.transform[:6])
    return GeoReference((a, b, c, d, e, f), dataset.crs.to_wkt())


def _lack(dataset: Any) -> str | None:
    """Return what keeps a raster that is meant to lie somewhere from doing so."""
    placed = not dataset.transform.is_identity
    if dataset.gcps[0] and not (placed and dataset.crs):
        return "placed by ground control points alone, for which gdalwarp makes a geo-referenced raster"
    if placed and not dataset.crs:
        return "has a geotransform, but no CRS"
    if dataset.crs and not placed:
        return "has a CRS, but no geotransform"
    if dataset.crs and not (dataset.crs.is_geographic or dataset.crs.is_projected):
        return "its CRS is a local one without a place on the Earth"
    return None


def pixels_to_map(points: F64, geo: GeoReference) -> F64:
    """Return points (..., 2) of the raster, column and row, as x and y in its CRS."""
    linear, offset = _split(geo)
    return np.asarray(points @ linear.T + offset, np.float64)


def _split(geo: GeoReference) -> tuple[F64, F64]:
    a, b, c, d, e, f = geo.transform
    return np.array([[a, b], [d, e]]), np.array([c, f])


def map_to_lonlat(points: F64, crs: str) -> F64:
    """Return points (..., 2) of a CRS as longitude and latitude in degrees, WGS 84; infinite off the Earth.

    Degrees that are none, of a raster in metres with the CRS of degrees for instance, are off the Earth.

    Raises:
        UserError: rasterio is not installed.
    """
    lonlat = _transform(points.reshape(-1, 2), crs)
    lonlat[(np.abs(lonlat) > MOST_DEGREES).any(axis=1)] = np.inf
    return lonlat.reshape(points.shape)


def _transform(points: F64, crs: str) -> F64:
    """Return points (P, 2) in degrees; GDAL refuses all for one off the Earth, which is sought then."""
    warp = need_extra("rasterio.warp", "a map projection")
    try:
        lonlat = warp.transform(crs, WGS84, *points.T.tolist())
    except need_extra("rasterio._err", "a map projection").CPLE_BaseError:
        if len(points) == 1:
            return np.full((1, 2), np.inf)
        half = len(points) // 2
        return np.concatenate([_transform(points[:half], crs), _transform(points[half:], crs)])
    return np.array(lonlat, np.float64).T.reshape(-1, 2)


def lonlat_to_metres(lonlat: F64) -> F64:
    """Return outlines (K, V, 2) in degrees as metres east and north of the first vertex of each.

    Lengths of objects are exact to the square of their size over the radius of the Earth: 1e-6 of 6 km.
    Source: radii of curvature of the WGS 84 ellipsoid; NIMA TR8350.2, 2000, section 3.
    """
    axis, flattening = 6378137.0, 1 / 298.257223563
    squared = flattening * (2 - flattening)  # of the eccentricity
    steps = lonlat - lonlat[:, :1]
    steps[..., 0] = wrapped_degrees(steps[..., 0])
    latitude = np.radians(lonlat[..., 1].mean(axis=1, keepdims=True))
    bulge = 1 - squared * np.sin(latitude) ** 2
    meridian, normal = axis * (1 - squared) / bulge**1.5, axis / np.sqrt(bulge)
    east = normal * np.cos(latitude) * np.radians(steps[..., 0])
    return np.stack([east, meridian * np.radians(steps[..., 1])], axis=-1)


def wrapped_degrees(degrees: F64) -> F64:
    """Return differences of longitude in [-180, 180): the short way round."""
    return np.asarray((degrees + 180.0) % 360.0 - 180.0, np.float64)
