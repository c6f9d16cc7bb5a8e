"""CSV table: one line an object, for spreadsheets and statistics."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evalR.outputs.geojson import DEGREE_DECIMALS
from evalR.outputs.measures import centres_of, lonlat_of, property_columns, quads_of
from utils.decimals import to_text
from utils.files import write_text
from utils.records import SceneDetections

CORNERS = tuple(f"{axis}{number}" for number in (1, 2, 3, 4) for axis in "xy")
PIXELS = ("length_px", "width_px", "heading_deg", "area_px")
GROUND = ("longitude", "latitude", "length_m", "width_m", "heading_true_deg", "area_m2")
COLUMNS = ("image", "class", "score", *CORNERS, "centre_x", "centre_y", *PIXELS, *GROUND)
PIXEL_DECIMALS = 3
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_csv(path: Path, everything: Iterable[SceneDetections]) -> None:
    """Write all images as one file; the last six columns are empty without a geo-reference."""
    write_table(path, COLUMNS, (row for found in everything for row in csv_rows(found)))


def write_table(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows below their names; None is an empty field."""
    write_text(path, table_text(names, rows))


def table_text(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows below their names as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()


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
        yield [safe_text(found.source), safe_text(name), score, *numbers, *pixels, *ground]


def safe_text(text: str) -> str:
    """Return a text that no spreadsheet computes: behind an apostrophe where it begins like a formula.

    Source: OWASP, CSV injection.
    """
    return f"'{text}" if text.startswith(FORMULA) else text


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
