"""GeoJSON (RFC 7946): outlines in WGS 84 longitude and latitude, one feature an object."""

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.affinity import translate

from evalR.outputs.measures import lonlat_of, property_columns, quads_of
from utils.files import write_json
from utils.georeference import F64, wrapped_degrees
from utils.records import SceneDetections

DEGREE_DECIMALS = 9  # 0.1 mm
PIXEL_DECIMALS = 3
HALF_WORLD = 180.0  # degrees
WORLD = shapely.box(-180.0, -90.0, 180.0, 90.0)


def write_geojson(path: Path, found: SceneDetections) -> None:
    """Write NAME.geojson; of an image that is not geo-referenced with pixels as coordinates."""
    write_json(path, to_geojson(found))


def to_geojson(found: SceneDetections) -> dict[str, Any]:
    """Return the FeatureCollection of what was found, highest score first.

    Properties: class, score, length_m, width_m, heading_deg (the long side, clockwise from true north, 0 to
    180) and area_m2.  An object across the antimeridian is cut there, as the standard asks; one off the
    Earth has no geometry.  Without a geo-reference the coordinates are pixels, x right and y down, the
    measures length_px, width_px, heading_deg (from the top of the image) and area_px, and the member
    `coordinates` of the collection says so.

    Raises:
        UserError: the raster is geo-referenced and rasterio is not installed.
    """
    if found.geo is None:
        lonlat, extra = None, {"coordinates": "pixels of the image, x right, y down"}
        geometries: list[dict[str, Any] | None] = [_polygon(quad, PIXEL_DECIMALS) for quad in quads_of(found)]
    else:
        lonlat = lonlat_of(found)
        geometries, extra = [_outline(quad) for quad in lonlat], {}
    columns = property_columns(found, lonlat)
    features = [
        {"type": "Feature", "geometry": geometry, "properties": dict(zip(columns, row, strict=True))}
        for geometry, row in zip(geometries, zip(*columns.values(), strict=True), strict=True)
    ]
    return {"type": "FeatureCollection", **extra, "features": features}


def _outline(quad: F64) -> dict[str, Any] | None:
    """Return the geometry of a quad (4, 2) in degrees: a polygon, or two where the antimeridian cuts it."""
    if not np.isfinite(quad).all():
        return None
    unwrapped = quad.copy()
    unwrapped[:, 0] = quad[0, 0] + wrapped_degrees(quad[:, 0] - quad[0, 0])
    if np.abs(unwrapped[:, 0]).max() <= HALF_WORLD:
        return _polygon(unwrapped, DEGREE_DECIMALS)
    shape = shapely.Polygon(unwrapped).buffer(0)
    parts = [translate(shape, turn).intersection(WORLD) for turn in (-360.0, 0.0, 360.0)]
    rings = [
        np.array(part.exterior.coords)[:-1] for part in parts if part.geom_type == "Polygon" and part.area
    ]
    return {
        "type": "MultiPolygon",
        "coordinates": [_polygon(ring, DEGREE_DECIMALS)["coordinates"] for ring in rings],
    }


def _polygon(points: F64, decimals: int) -> dict[str, Any]:
    """Return points (V, 2) as a closed ring, counter-clockwise where y points up."""
    x, y = (points - points[0]).T
    doubled = float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    ordered = points[::-1] if doubled < 0 else points
    ring = (np.round(ordered, decimals) + 0.0).tolist()
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
