"""GeoJSON (RFC 7946): outlines in WGS 84 longitude and latitude, one feature an object."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.affinity import translate

from evalR.outputs.measures import chunks_of, feature_columns, lonlat_of, quads_of, unwrapped
from utils.arrays import F64
from utils.files import replacing
from utils.records import SceneDetections

DEGREE_DECIMALS = 9  # 0.1 mm
PIXEL_DECIMALS = 3
HALF_WORLD = 180.0  # degrees
# a reference system of nothing on the Earth, in the form that every GDAL reads
PIXEL_CRS = 'LOCAL_CS["pixels of an image",UNIT["pixel",1],AXIS["x",EAST],AXIS["y",SOUTH]]'
WORLD = shapely.box(-180.0, -90.0, 180.0, 90.0)
Geometry = dict[str, Any]


def write_geojson(path: Path, found: SceneDetections) -> None:
    """Write NAME.geojson; of an image that is not geo-referenced with pixels as coordinates."""
    write_collection(path, _members(found), features_of(found))


def write_collection(path: Path, members: Mapping[str, Any], features: Iterable[Mapping[str, Any]]) -> None:
    """Write a FeatureCollection with other members, a feature a line, none of which is kept in memory."""
    head = {"type": "FeatureCollection", **members, "features": []}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_json(head)[: -len("]}")])
        for number, feature in enumerate(features):
            file.write(f"{',' if number else ''}\n{_json(feature)}")
        file.write("\n]}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def to_geojson(found: SceneDetections) -> dict[str, Any]:
    """Return the FeatureCollection of what was found, highest score first.

    Properties: image, class, score, length_m, width_m, heading_deg (the long side, clockwise from true north,
    0 to 180) and area_m2.  An object across the antimeridian is cut there, as the standard asks; one off the
    Earth has no geometry.  Without a geo-reference the coordinates are pixels, x right and y down, the
    measures length_px, width_px, heading_deg (from the top of the image) and area_px, and that is said in
    three places: by the members `description` and `crs` of the collection, by the property `coordinates`.

    Raises:
        UserError: the raster is geo-referenced and rasterio is not installed.
    """
    return {"type": "FeatureCollection", **_members(found), "features": list(features_of(found))}


def _members(found: SceneDetections) -> dict[str, Any]:
    """Return what a collection says of itself: nothing, or that its coordinates are none of the Earth.

    Readers of RFC 7946 ignore `crs` (its section 4), and would show pixels as degrees; GDAL, and QGIS with
    it, takes it, and shows the description beside the layer.  A member `coordinates` would make a collection
    invalid (section 7.1).
    """
    if found.geo is not None:
        return {}
    text = f"pixels of {Path(found.source).name}, x right, y down; not longitude and latitude"
    return {"description": text, "crs": {"type": "name", "properties": {"name": PIXEL_CRS}}}


def features_of(found: SceneDetections, with_path: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the feature of each object, highest score first; a chunk of them is in memory.

    Args:
        with_path: see `feature_columns`.
    """
    for part in chunks_of(found):
        if part.geo is None:
            lonlat = None
            geometries: Sequence[Geometry | None] = _polygons(quads_of(part), PIXEL_DECIMALS)
        else:
            lonlat = lonlat_of(part)
            geometries = _outlines(unwrapped(lonlat))
        columns = feature_columns(part, lonlat, with_path)
        for geometry, row in zip(geometries, zip(*columns.values(), strict=True), strict=True):
            yield {
                "type": "Feature",
                "geometry": geometry,
                "properties": dict(zip(columns, row, strict=True)),
            }


def _outlines(quads: F64) -> list[Geometry | None]:
    """Return unwrapped quads (K, 4, 2) in degrees as polygons; None for those off the Earth."""
    known = np.isfinite(quads).all(axis=(1, 2))
    found: list[Geometry | None] = [None] * len(quads)
    for row, polygon in zip(np.flatnonzero(known), _polygons(quads[known], DEGREE_DECIMALS), strict=True):
        found[row] = polygon
    for row in np.flatnonzero(known & (np.abs(quads[..., 0]) > HALF_WORLD).any(axis=1)):
        found[row] = _cut(quads[row])
    return found


def _cut(quad: F64) -> Geometry:
    """Return a quad (4, 2) across the antimeridian as the polygons on either side of it."""
    shape = shapely.Polygon(quad).buffer(0)
    parts = [translate(shape, turn).intersection(WORLD) for turn in (-360.0, 0.0, 360.0)]
    rings = [
        np.array(part.exterior.coords)[:-1] for part in parts if part.geom_type == "Polygon" and part.area
    ]
    polygons = (_polygons(ring[None], DEGREE_DECIMALS)[0] for ring in rings)
    return {"type": "MultiPolygon", "coordinates": [polygon["coordinates"] for polygon in polygons]}


def _polygons(points: F64, decimals: int) -> list[Geometry]:
    """Return outlines (K, V, 2) as closed rings, counter-clockwise where y points up."""
    x, y = (points - points[:, :1]).transpose(2, 0, 1)
    doubled = (x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)
    ordered = np.where(doubled[:, None, None] < 0, points[:, ::-1], points)
    rings = np.round(np.concatenate([ordered, ordered[:, :1]], axis=1), decimals) + 0.0
    return [{"type": "Polygon", "coordinates": [ring]} for ring in rings.tolist()]
