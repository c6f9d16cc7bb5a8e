"""CSV table: one line an object, for spreadsheets and statistics."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from evalR.outputs.geojson import DEGREE_DECIMALS
from evalR.outputs.measures import centres_of, lonlat_of, property_columns, quads_of
from utils.decimals import to_text
from utils.records import SceneDetections
from utils.tables import write_table

CORNER_COLUMNS = tuple(f"{axis}{number}" for number in (1, 2, 3, 4) for axis in "xy")
PIXELS = ("length_px", "width_px", "heading_deg", "area_px")
GROUND = ("longitude", "latitude", "length_m", "width_m", "heading_true_deg", "area_m2")
COLUMNS = ("image", "class", "score", *CORNER_COLUMNS, "centre_x", "centre_y", *PIXELS, *GROUND)
PIXEL_DECIMALS = 3


def write_csv(path: Path, everything: Iterable[SceneDetections]) -> None:
    """Write all images as one file; the last six columns are empty without a geo-reference."""
    write_table(path, COLUMNS, (row for found in everything for row in csv_rows(found)))


def csv_rows(found: SceneDetections) -> Iterator[list[Any]]:
    """Yield the fields of each object, highest score first."""
    quads = quads_of(found)
    places = np.concatenate([quads.reshape(-1, 8), quads.mean(axis=1)], axis=1)
    columns = property_columns(found, None)
    names, scores, *measures = columns.values()
    for name, score, place, pixels, ground in zip(
        names, scores, places.tolist(), zip(*measures, strict=True), _ground_rows(found), strict=True
    ):
        numbers = [to_text(value, PIXEL_DECIMALS) for value in place]
        yield [found.source, name, score, *numbers, *pixels, *ground]


def _ground_rows(found: SceneDetections) -> list[tuple[Any, ...]]:
    if found.geo is None:
        return [(None,) * len(GROUND)] * len(found.detections.scores)
    lonlat = lonlat_of(found)
    _, _, *measures = property_columns(found, lonlat).values()
    known = [bool(np.isfinite(quad).all()) for quad in lonlat]
    centres = [
        [to_text(value, DEGREE_DECIMALS) for value in centre] if is_known else [None, None]
        for centre, is_known in zip(centres_of(lonlat).tolist(), known, strict=True)
    ]
    return [(*centre, *row) for centre, row in zip(centres, zip(*measures, strict=True), strict=True)]
