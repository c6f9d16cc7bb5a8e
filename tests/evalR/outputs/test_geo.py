"""GeoJSON and GeoPackage: places, measures, and what other programs read."""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import shapely

from evalR.outputs.geojson import to_geojson, write_geojson
from evalR.outputs.geopackage import write_geopackage
from evalR.outputs.measures import centres_of, measure_outlines, pixel_measures
from tests.evalR.outputs.found import make_found, random_quads, rectangle
from tests.utils.map_places import map_to_pixels
from utils.errors import UserError
from utils.records import GeoReference

HALF = 0.5  # metres a pixel
UTM = GeoReference((HALF, 0.0, 500_000.0, 0.0, -HALF, 5_500_000.0), "EPSG:32633")  # at its central meridian
TURNED = GeoReference((0.4, 0.3, 500_000.0, 0.3, -0.4, 5_500_000.0), "EPSG:32633")
DEGREES = GeoReference((1e-5, 0.0, 20.0, 0.0, -1e-5, 60.0), "EPSG:4326")


@pytest.fixture(autouse=True)
def _needs_rasterio() -> None:
    pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")


def pyogrio_raw() -> object:
    return pytest.importorskip("pyogrio.raw", reason="pyogrio is not installed (requirements-extra.txt)")


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, 179])
def test_measures_of_a_turned_rectangle(degrees: float) -> None:
    found = pixel_measures(rectangle(100, 50, 40, 10, degrees)[None])
    assert found.lengths == pytest.approx(40)
    assert found.widths == pytest.approx(10)
    assert found.headings == pytest.approx(degrees, abs=1e-9)
    assert found.areas == pytest.approx(400)


def test_lengths_in_utm() -> None:
    """0.5 m a pixel: the scale of the central meridian, 0.9996, is 0.04 %."""
    (row,) = to_geojson(make_found([rectangle(200, 100, 80, 20, 40)], geo=UTM))["features"]
    properties = row["properties"]
    assert properties["length_m"] == pytest.approx(80 * HALF, rel=1e-3)
    assert properties["width_m"] == pytest.approx(20 * HALF, rel=1e-3)
    assert properties["area_m2"] == pytest.approx(1600 * HALF**2, rel=2e-3)
    assert properties["heading_deg"] == pytest.approx(40, abs=0.1)  # grid north is true north there


def test_lengths_in_degrees() -> None:
    """At 60 degrees a degree is 55.80 km to the east and 111.41 km to the north."""
    quads = [rectangle(0, 0, 100, 10, 90), rectangle(0, 0, 100, 10, 0)]
    east, north = (row["properties"] for row in to_geojson(make_found(quads, geo=DEGREES))["features"])
    assert east["length_m"] == pytest.approx(55.800, rel=1e-3)
    assert east["width_m"] == pytest.approx(11.141, rel=1e-3)
    assert east["heading_deg"] == 90.0
    assert north["length_m"] == pytest.approx(111.412, rel=1e-3)
    assert north["heading_deg"] == 0.0


def test_lengths_far_from_the_middle_of_web_mercator() -> None:
    """Its metres are twice as long as those on the ground at 60 degrees."""
    geo = GeoReference((1.0, 0.0, 2_226_389.8, 0.0, -1.0, 8_399_737.9), "EPSG:3857")  # 20 E, 60 N
    (row,) = to_geojson(make_found([rectangle(0, 0, 100, 10, 0)], geo=geo))["features"]
    assert row["properties"]["length_m"] == pytest.approx(50.0, rel=0.01)


@pytest.mark.parametrize("geo", [UTM, TURNED, DEGREES])
def test_geojson_follows_the_standard(geo: GeoReference, tmp_path: Path) -> None:
    write_geojson(tmp_path / "a.geojson", make_found(random_quads(9), geo=geo))
    collection = json.loads((tmp_path / "a.geojson").read_text(encoding="utf-8"))
    assert set(collection) == {"type", "features"}
    assert len(collection["features"]) == 9
    for feature in collection["features"]:
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert len(ring) == 5
        assert shapely.LinearRing(ring).is_ccw
        assert all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in ring)
    scores = [feature["properties"]["score"] for feature in collection["features"]]
    assert scores == sorted(scores, reverse=True)
    assert {feature["properties"]["class"] for feature in collection["features"]} == {"plane", "large ship"}


def test_across_the_antimeridian_an_object_is_cut() -> None:
    geo = GeoReference((1e-4, 0.0, 179.99, 0.0, -1e-4, 10.0), "EPSG:4326")
    (row,) = to_geojson(make_found([rectangle(100, 50, 40, 10, 90)], geo=geo))["features"]
    assert row["geometry"]["type"] == "MultiPolygon"
    parts = [shapely.Polygon(rings[0]) for rings in row["geometry"]["coordinates"]]
    assert [part.exterior.is_ccw for part in parts] == [True, True]
    assert sorted(part.bounds[0] for part in parts) == pytest.approx([-180, 179.998])
    assert sum(part.area for part in parts) == pytest.approx(40e-4 * 10e-4)
    assert row["properties"]["length_m"] == pytest.approx(40e-4 * 109_639, rel=1e-3)  # 10 N, hand computed


def test_an_object_off_the_earth_has_no_geometry() -> None:
    geostationary = "+proj=geos +h=35785831 +lon_0=0 +datum=WGS84"
    geo = GeoReference((3000.0, 0.0, -5_568_000.0, 0.0, -3000.0, 5_568_000.0), geostationary)
    quads = [rectangle(20, 20, 10, 5, 30), rectangle(1856, 1856, 10, 5, 30)]
    outside, inside = to_geojson(make_found(quads, geo=geo))["features"]
    assert outside["geometry"] is None
    assert outside["properties"]["length_m"] is None
    assert inside["properties"]["length_m"] == pytest.approx(30_000, rel=0.02)
    assert "NaN" not in json.dumps([outside, inside])


def test_without_a_reference_pixels_are_written_and_that_is_said(tmp_path: Path) -> None:
    quad = rectangle(100, 50, 40, 10, 30)
    collection = to_geojson(make_found([quad]))
    assert not {"coordinates", "geometry", "geometries", "properties"} & set(collection)  # RFC 7946, 7.1
    assert collection["description"].startswith("pixels of scene.png")
    (row,) = collection["features"]
    got = np.array(row["geometry"]["coordinates"][0])
    assert shapely.Polygon(got).equals_exact(shapely.Polygon(quad).normalize(), 1e-3) or shapely.Polygon(
        got
    ).symmetric_difference(shapely.Polygon(quad)).area == pytest.approx(0, abs=0.1)
    assert row["properties"]["length_px"] == 40.0
    assert row["properties"]["coordinates"] == "pixels of scene.png"
    raw = pyogrio_raw()
    write_geojson(tmp_path / "a.geojson", make_found([quad]))
    meta, *_ = raw.read(tmp_path / "a.geojson")
    assert meta["crs"].startswith("LOCAL_CS")  # not WGS 84, which GDAL takes without a word
    write_geopackage(tmp_path / "a.gpkg", make_found([quad]))
    meta, _, geometry, columns = raw.read(tmp_path / "a.gpkg")
    assert dict(zip(meta["fields"], columns, strict=True))["coordinates"] == "pixels of scene.png"
    assert not meta["crs"] or "Undefined" in meta["crs"]
    np.testing.assert_allclose(shapely.get_coordinates(shapely.from_wkb(geometry))[:4], quad, atol=1e-9)


@pytest.mark.parametrize("geo", [UTM, TURNED, DEGREES])
def test_geopackage_there_and_back(geo: GeoReference, tmp_path: Path) -> None:
    raw = pyogrio_raw()
    from rasterio.crs import CRS

    quads = random_quads(25)
    found = make_found(quads, geo=geo)
    write_geopackage(tmp_path / "a.gpkg", found)
    meta, _, geometry, columns = raw.read(tmp_path / "a.gpkg", layer="detections")
    assert CRS.from_user_input(meta["crs"]) == CRS.from_user_input(geo.crs)
    corners = shapely.get_coordinates(shapely.from_wkb(geometry)).reshape(-1, 5, 2)[:, :4]
    assert np.abs(map_to_pixels(corners, geo) - quads).max() < 1e-4  # px
    table = dict(zip(meta["fields"], columns, strict=True))
    assert list(table) == ["image", "class", "score", "length_m", "width_m", "heading_deg", "area_m2"]
    expected = [row["properties"] for row in to_geojson(found)["features"]]
    assert {*table["image"]} == {row["image"] for row in expected} == {"scene.png"}
    assert [*table["class"]] == [row["class"] for row in expected]
    for name in list(table)[2:]:
        np.testing.assert_array_equal(table[name], [row[name] for row in expected])


def test_geojson_opens_elsewhere_at_the_same_place(tmp_path: Path) -> None:
    raw = pyogrio_raw()
    from rasterio.warp import transform

    quads = random_quads(25)
    write_geojson(tmp_path / "a.geojson", make_found(quads, geo=TURNED))
    meta, _, geometry, _ = raw.read(tmp_path / "a.geojson")
    assert meta["crs"] == "EPSG:4326"
    lon, lat = shapely.get_coordinates(shapely.from_wkb(geometry)).T
    x, y = transform("EPSG:4326", TURNED.crs, lon.tolist(), lat.tolist())
    back = map_to_pixels(np.stack([x, y], axis=-1), TURNED).reshape(-1, 5, 2)[:, :4]
    for quad, corners in zip(quads, back, strict=True):  # rings run the other way round
        gaps = np.linalg.norm(quad[:, None] - corners[None], axis=-1).min(axis=1)
        assert gaps.max() < 0.01  # px


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_in_chunks_the_files_are_the_same(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = pyogrio_raw()
    found = make_found(random_quads(count), geo=UTM)
    files = []
    for size in (100, 2):
        monkeypatch.setattr("evalR.outputs.measures.CHUNK", size)
        write_geojson(tmp_path / "a.geojson", found)
        write_geopackage(tmp_path / "a.gpkg", found)
        _, _, geometry, columns = raw.read(tmp_path / "a.gpkg")
        files.append(((tmp_path / "a.geojson").read_text(), [*geometry], [[*own] for own in columns]))
    assert files[0] == files[1]
    assert json.loads(files[0][0]) == to_geojson(found)


@pytest.mark.parametrize("name", ["=cmd|' !A0", "a!b", "a\tb", "a;b", "a#b?c%20", "zip+x", "[é]*"])
def test_a_geopackage_of_any_name(name: str, tmp_path: Path) -> None:
    raw = pyogrio_raw()
    folder = tmp_path / name
    write_geopackage(folder / f"{name}.gpkg", make_found(random_quads(2), geo=UTM))
    assert [path.name for path in folder.iterdir()] == [f"{name}.gpkg"]
    (folder / f"{name}.gpkg").rename(tmp_path / "plain.gpkg")
    _, _, geometry, _ = raw.read(tmp_path / "plain.gpkg")
    assert len(geometry) == 2


@pytest.mark.parametrize("geo", [None, UTM])
def test_nothing_found(geo: GeoReference | None, tmp_path: Path) -> None:
    raw = pyogrio_raw()
    assert to_geojson(make_found(geo=geo))["features"] == []
    write_geopackage(tmp_path / "a.gpkg", make_found(geo=geo))
    meta, _, geometry, _ = raw.read(tmp_path / "a.gpkg")
    assert len(geometry) == 0
    assert len(meta["fields"]) == (8 if geo is None else 7)
    assert len(measure_outlines(np.zeros((0, 4, 2))).lengths) == 0


def test_without_pyogrio_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    monkeypatch.setitem(sys.modules, "pyogrio.raw", None)
    with pytest.raises(UserError, match="pip install pyogrio"):
        write_geopackage(tmp_path / "a.gpkg", make_found(geo=UTM))
    assert not list(tmp_path.iterdir())


def test_the_centre_of_an_object_off_the_earth_is_none(recwarn: pytest.WarningsRecorder) -> None:
    square = np.array([[10.0, 50.0], [12.0, 50.0], [12.0, 48.0], [10.0, 48.0]])
    centres = centres_of(np.stack([square, np.full((4, 2), np.inf)]))
    np.testing.assert_allclose(centres[0], [11.0, 49.0])
    assert np.isnan(centres[1]).any()
    assert not recwarn.list


@pytest.mark.skipif(sys.platform != "linux", reason="the system has other limits")
@pytest.mark.parametrize("limit", [0, 4096, 40_000])
def test_a_geopackage_on_a_disk_without_room(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A limit of file size in the place of a full disk, which only root could make."""
    import resource

    pyogrio_raw()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with capfd.disabled():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(OSError, match="File too large") as caught:
                write_geopackage(tmp_path / "out/a.gpkg", make_found(random_quads(50), geo=UTM))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path) in caught.value.filename
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_mistake_of_gdal_is_no_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyogrio = pytest.importorskip("pyogrio", reason="pyogrio is not installed (requirements-extra.txt)")

    def refuse(*_: object, **__: object) -> None:
        raise pyogrio.errors.FeatureError("Could not add feature")

    monkeypatch.setattr("pyogrio.raw.write", refuse)
    with pytest.raises(pyogrio.errors.FeatureError):
        write_geopackage(tmp_path / "a.gpkg", make_found(random_quads(2), geo=UTM))
