"""Layers of all geo-referenced images of a call, for a map of a whole flight or folder."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from cfg.schema import OutputFormat
from evalR.outputs.geojson import features_of, write_collection
from evalR.outputs.geopackage import Features, write_layer
from evalR.outputs.measures import CHUNK, chunks_of, feature_columns, lonlat_of, quads_of, unwrapped
from utils.extras import need_extra
from utils.georeference import WGS84, pixels_to_map
from utils.records import SceneDetections

log = logging.getLogger(__name__)
LAYERS: dict[OutputFormat, str] = {"geojson": "detections.geojson", "geopackage": "detections.gpkg"}


def write_layers(
    out: Path, everything: Sequence[SceneDetections], formats: Sequence[OutputFormat]
) -> list[Path]:
    """Write the layers of several geo-referenced images, and return their paths; others are counted.

    A layer that an earlier call has written is written anew for any number of images: it shows this call.
    An object that several images show is in the layer as often.

    Raises:
        UserError: pyogrio is not installed.
    """
    placed = [found for found in everything if found.geo is not None]
    paths = {form: out / name for form, name in LAYERS.items() if form in formats}
    paths = {form: path for form, path in paths.items() if len(placed) > 1 or path.exists()}
    if "geojson" in paths:
        features = (row for found in placed for row in features_of(found, with_path=True))
        write_collection(paths["geojson"], {}, features)
    if "geopackage" in paths:
        crs = common_crs(placed)
        write_layer(paths["geopackage"], together(_features_in(placed, crs)), crs)
    if paths and len(placed) < len(everything):
        names = ", ".join(path.name for path in paths.values())
        lost = len(everything) - len(placed)
        log.warning("%s: without %d of %d images, not geo-referenced", names, lost, len(everything))
    return list(paths.values())


def common_crs(placed: Sequence[SceneDetections]) -> str:
    """Return the CRS that all images share; WGS 84 where they do not."""
    texts = list(dict.fromkeys(found.geo.crs for found in placed if found.geo))
    if len(texts) > 1:
        from_text = need_extra("rasterio.crs", "a map projection").CRS.from_user_input
        first = from_text(texts[0])
        if any(from_text(text) != first for text in texts[1:]):
            return WGS84
    return texts[0] if texts else WGS84


def _features_in(placed: Iterable[SceneDetections], crs: str) -> Iterator[Features]:
    """Yield what was found in images, with outlines in a CRS: that of all of them, or WGS 84."""
    is_theirs = crs != WGS84
    for found in placed:
        for part in chunks_of(found):
            lonlat = lonlat_of(part)
            assert part.geo is not None
            outlines = pixels_to_map(quads_of(part), part.geo) if is_theirs else unwrapped(lonlat)
            yield Features(outlines, feature_columns(part, lonlat, with_path=True))


def together(parts: Iterable[Features]) -> Iterator[Features]:
    """Yield small parts together: a call of GDAL costs as much as a thousand objects; one at least."""
    waiting: list[Features] = []
    count, yielded = 0, False
    for part in parts:
        waiting.append(part)
        count += len(part.outlines)
        if count >= CHUNK:
            yield _joined(waiting)
            waiting, count, yielded = [], 0, True
    if waiting or not yielded:
        yield _joined(waiting or [Features(np.zeros((0, 4, 2)), {})])


def _joined(parts: Sequence[Features]) -> Features:
    columns = {name: [value for part in parts for value in part.columns[name]] for name in parts[0].columns}
    return Features(np.concatenate([part.outlines for part in parts]), columns)
