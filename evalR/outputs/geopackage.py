"""GeoPackage: one layer `detections` in the CRS of the raster, which every GIS opens."""

import shutil
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import shapely

from evalR.outputs.measures import chunks_of, feature_columns, lonlat_of, quads_of
from utils.arrays import F64
from utils.extras import need_extra
from utils.files import replacing
from utils.georeference import pixels_to_map
from utils.records import SceneDetections

LAYER = "detections"
PROBE = 1 << 20  # bytes
TEXTS = ("image", "class", "coordinates", "path")


class Features(NamedTuple):
    """Some objects of a layer."""

    outlines: F64  # (K, 4, 2) in the CRS of the layer; not finite: no geometry
    columns: dict[str, list[Any]]  # the properties by name, K of each


def write_geopackage(path: Path, found: SceneDetections) -> None:
    """Write NAME.gpkg with the properties of `to_geojson`, and the quads unrounded.

    Without a geo-reference the layer has no CRS and the coordinates are pixels, x right and y down.

    Raises:
        UserError: pyogrio is not installed.
    """
    write_layer(path, _features_of(found), found.geo.crs if found.geo else None)


def _features_of(found: SceneDetections) -> Iterator[Features]:
    for part in chunks_of(found):
        quads = quads_of(part)
        if part.geo is None:
            yield Features(quads, feature_columns(part, None))
        else:
            yield Features(pixels_to_map(quads, part.geo), feature_columns(part, lonlat_of(part)))


def write_layer(path: Path, parts: Iterable[Features], crs: str | None) -> None:
    """Write one layer from its parts, of which one is in memory.

    It is made in a folder for temporary files: GDAL takes `!` in a path for an archive and drops tabs, and
    SQLite wants locks that network folders often do not have.

    Args:
        parts: at least one, which may have no objects.

    Raises:
        UserError: pyogrio is not installed.
        OSError: the disk of temporary files is full, or whatever else the system says.
    """
    pyogrio = need_extra("pyogrio.raw", "a GeoPackage")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "layer.gpkg"
        try:
            for part in parts:
                _append(pyogrio, file, part, crs)
        except RuntimeError:  # GDAL does not say whether it was the disk
            _probe(file.with_name("layer"))
            raise
        with replacing(path) as temporary:
            shutil.copyfile(file, temporary)


def _probe(path: Path) -> None:
    """Raise what the system says to a file of a few bytes more than SQLite asks for at once."""
    with replacing(path) as temporary:
        temporary.write_bytes(bytes(PROBE))


def _append(pyogrio: Any, file: Path, part: Features, crs: str | None) -> None:
    fields = {name: _column(name, values) for name, values in part.columns.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")  # pixels have none
        pyogrio.write(
            file,
            _to_wkb(part.outlines),
            list(fields.values()),
            list(fields),
            layer=LAYER,
            driver="GPKG",
            geometry_type="Polygon",
            crs=crs,
            append=file.exists(),
        )


def _column(name: str, values: list[Any]) -> Any:
    """Return values as GDAL wants them; None becomes NaN, which is an empty field."""
    return np.array(values, object if name in TEXTS else np.float64)


def _to_wkb(outlines: F64) -> Any:
    """Return quads (K, 4, 2) as polygons; None for one that is not finite."""
    known = np.isfinite(outlines).all(axis=(1, 2))
    rings = np.concatenate([outlines, outlines[:, :1]], axis=1)
    words = np.full(len(outlines), None, object)
    words[known] = shapely.to_wkb(shapely.polygons(rings[known])).reshape(-1)
    return words
