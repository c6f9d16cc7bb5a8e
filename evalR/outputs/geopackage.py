"""GeoPackage: one layer `detections` in the CRS of the raster, which every GIS opens."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from evalR.outputs.measures import lonlat_of, property_columns, quads_of
from utils.extras import need_extra
from utils.files import replacing
from utils.georeference import F64, pixels_to_map
from utils.records import SceneDetections

LAYER = "detections"


def write_geopackage(path: Path, found: SceneDetections) -> None:
    """Write NAME.gpkg with the properties of `to_geojson`, and the quads unrounded.

    Without a geo-reference the layer has no CRS and the coordinates are pixels, x right and y down.

    Raises:
        UserError: pyogrio is not installed.
    """
    pyogrio = need_extra("pyogrio.raw", "a GeoPackage")
    quads = quads_of(found)
    if found.geo is None:
        outlines, crs, lonlat = quads, None, None
    else:
        outlines, crs, lonlat = pixels_to_map(quads, found.geo), found.geo.crs, lonlat_of(found)
    fields = {name: _column(name, values) for name, values in property_columns(found, lonlat).items()}
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # pixels have none
        pyogrio.write(
            temporary,
            _to_wkb(outlines),
            list(fields.values()),
            list(fields),
            layer=LAYER,
            driver="GPKG",
            geometry_type="Polygon",
            crs=crs,
        )


def _column(name: str, values: list[Any]) -> Any:
    """Return values as GDAL wants them; None becomes NaN, which is an empty field."""
    return np.array(values, object if name == "class" else np.float64)


def _to_wkb(outlines: F64) -> Any:
    rings = np.concatenate([outlines, outlines[:, :1]], axis=1)
    return np.array(shapely.to_wkb(shapely.polygons(rings)), object).reshape(-1)
