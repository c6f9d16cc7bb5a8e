"""One layer of many images: all features, one CRS, images that lie nowhere, calls that are repeated."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from evalR.outputs.geojson import to_geojson
from evalR.outputs.layers import write_layers
from tests.evalR.outputs.found import make_found, random_quads, rectangle
from utils.records import GeoReference, SceneDetections

raw = pytest.importorskip("pyogrio.raw", reason="pyogrio is not installed (requirements-extra.txt)")
warp = pytest.importorskip("rasterio.warp", reason="rasterio is not installed (requirements-extra.txt)")
UTM = GeoReference((0.5, 0.0, 500_000.0, 0.0, -0.5, 5_500_000.0), "EPSG:32633")
NEXT = UTM._replace(transform=(0.5, 0.0, 500_200.0, 0.0, -0.5, 5_500_000.0))
DEGREES = GeoReference((1e-5, 0.0, 20.0, 0.0, -1e-5, 60.0), "EPSG:4326")
BOTH = ("geojson", "geopackage")


def images(*geos: GeoReference | None) -> list[SceneDetections]:
    return [
        make_found(random_quads(5 * row), geo=geo, source=f"flight{row}/{row // 2}.tif")
        for row, geo in enumerate(geos)
    ]


def read(path: Path) -> tuple[str, np.ndarray, dict[str, np.ndarray]]:
    """CRS, corners (K, 4, 2) and columns, as GDAL reads them."""
    meta, _, geometry, columns = raw.read(path)
    corners = shapely.get_coordinates(shapely.from_wkb(geometry)).reshape(-1, 5, 2)[:, :4]
    return meta["crs"], corners, dict(zip(meta["fields"], columns, strict=True))


@pytest.mark.parametrize("geos", [(UTM, UTM, NEXT), (UTM, NEXT, DEGREES), (DEGREES, DEGREES)])
@pytest.mark.parametrize("chunk", [4, 1000])
def test_all_features_of_all_images(
    geos: tuple[GeoReference, ...], chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalR.outputs.measures.CHUNK", chunk)
    monkeypatch.setattr("evalR.outputs.layers.CHUNK", chunk)
    everything = images(*geos)
    write_layers(tmp_path, everything, BOTH)
    own = [(found, row) for found in everything for row in to_geojson(found)["features"]]
    document = json.loads((tmp_path / "detections.geojson").read_text())
    assert document["type"] == "FeatureCollection"
    assert [row["geometry"] for row in document["features"]] == [row["geometry"] for _, row in own]
    assert [row["properties"] for row in document["features"]] == [
        {**row["properties"], "path": found.source} for found, row in own
    ]
    crs, corners, columns = read(tmp_path / "detections.gpkg")
    expected = "EPSG:32633" if DEGREES not in geos else "EPSG:4326"
    assert crs == expected
    assert raw.read(tmp_path / "detections.gpkg", layer="detections")[0]["crs"] == expected
    for name, values in columns.items():
        assert [*values] == [row["properties"][name] for row in document["features"]]
    wanted = [shapely.Polygon(row["geometry"]["coordinates"][0]).centroid.coords[0] for _, row in own]
    lonlat = np.array(warp.transform(crs, "EPSG:4326", *corners.reshape(-1, 2).T.tolist())).T.reshape(
        -1, 4, 2
    )
    np.testing.assert_allclose(lonlat.mean(axis=1), wanted, atol=1e-7)


def test_images_that_lie_nowhere_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_layers(tmp_path, images(None, UTM, None, NEXT), BOTH)
    assert caplog.messages == [
        "detections.geojson, detections.gpkg: without 2 of 4 images, not geo-referenced"
    ]
    _, _, columns = read(tmp_path / "detections.gpkg")
    assert set(columns["path"]) == {"flight1/0.tif", "flight3/1.tif"}
    assert set(columns["image"]) == {"0.tif", "1.tif"}


@pytest.mark.parametrize("geos", [(), (None, None), (UTM,), (UTM, None)])
def test_of_one_image_there_is_no_layer(geos: tuple[GeoReference | None, ...], tmp_path: Path) -> None:
    assert write_layers(tmp_path, images(*geos), BOTH) == []
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("geos", [(), (UTM,), (UTM, DEGREES), (None, UTM, UTM)])
def test_a_layer_shows_the_last_call(geos: tuple[GeoReference | None, ...], tmp_path: Path) -> None:
    write_layers(tmp_path, images(UTM, UTM, UTM, DEGREES), BOTH)
    everything = images(*geos)
    write_layers(tmp_path, everything, BOTH)
    count = sum(len(found.detections.scores) for found in everything if found.geo)
    assert len(json.loads((tmp_path / "detections.geojson").read_text())["features"]) == count
    assert len(read(tmp_path / "detections.gpkg")[1]) == count
    assert {path.name for path in tmp_path.iterdir()} == {"detections.geojson", "detections.gpkg"}


def test_across_the_antimeridian_and_off_the_earth(tmp_path: Path) -> None:
    date_line = GeoReference((1e-4, 0.0, 179.99, 0.0, -1e-4, 10.0), "EPSG:4326")
    across = make_found([rectangle(100, 50, 40, 10, 90)], geo=date_line)
    nowhere = make_found([rectangle(0, 0, 4, 1, 0)], geo=GeoReference((1, 0, 1e9, 0, -1, 1e9), "EPSG:32633"))
    write_layers(tmp_path, [across, nowhere], BOTH)
    first, second = json.loads((tmp_path / "detections.geojson").read_text())["features"]
    assert first["geometry"]["type"] == "MultiPolygon"
    assert second["geometry"] is None
    _, _, geometry, _ = raw.read(tmp_path / "detections.gpkg")
    assert shapely.from_wkb(geometry[0]).area == pytest.approx(40e-4 * 10e-4)
    assert geometry[1] is None
