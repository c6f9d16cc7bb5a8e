import logging
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.utils.map_places import map_to_pixels
from utils.errors import UserError
from utils.georeference import lonlat_to_metres, map_to_lonlat, pixels_to_map, read_geo
from utils.records import GeoReference

ROTATED = GeoReference((0.31, 0.12, 500_123.4, 0.12, -0.31, 5_400_321.9), "EPSG:32633")


def write_raster(path: Path, **profile: object) -> Path:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", "GTiff", 8, 6, 3, dtype="uint8", **profile) as dataset:
            dataset.write(np.zeros((3, 6, 8), np.uint8))
    return path


def test_a_rotated_geotransform_there_and_back() -> None:
    pixels = np.random.default_rng(0).uniform(-50, 40_000, (100, 4, 2))
    back = map_to_pixels(pixels_to_map(pixels, ROTATED), ROTATED)
    assert np.abs(back - pixels).max() < 1e-4


def test_the_transform_is_that_of_rasterio(tmp_path: Path) -> None:
    pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    import rasterio
    from rasterio.transform import Affine

    path = write_raster(tmp_path / "a.tif", crs=ROTATED.crs, transform=Affine(*ROTATED.transform))
    geo = read_geo(path)
    assert geo is not None
    with rasterio.open(path) as dataset:
        corner = dataset.xy(5, 7, offset="ul")  # of the pixel in row 5, column 7
    np.testing.assert_allclose(pixels_to_map(np.array([7.0, 5.0]), geo), corner, rtol=1e-12)
    assert "33N" in geo.crs


@pytest.mark.parametrize(
    "profile", [{}, {"crs": "EPSG:32633"}, {"transform": (2.0, 0, 5, 0, -2, 9)}, {"gcps": True}]
)
def test_half_a_reference_is_none_and_said_once(
    profile: dict[str, object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    from rasterio.control import GroundControlPoint
    from rasterio.transform import Affine

    if "transform" in profile:
        profile = {"transform": Affine(*profile["transform"])}
    if "gcps" in profile:
        points = [GroundControlPoint(r, c, 10 + c / 100, 50 - r / 100) for r, c in ((0, 0), (0, 8), (6, 0))]
        profile = {"gcps": points, "crs": "EPSG:4326"}
    path = write_raster(tmp_path / "a.tif", **profile)
    with caplog.at_level(logging.WARNING):
        assert read_geo(path) is None
    lines = [record.message for record in caplog.records if record.name == "utils.georeference"]
    assert len(lines) == bool(profile)
    assert all(line.startswith(str(path)) and line.endswith("coordinates are pixels") for line in lines)


def test_no_raster_has_no_reference(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("no raster")
    assert read_geo(tmp_path / "a.tif") is None
    assert read_geo(tmp_path / "missing.tif") is None


def test_without_rasterio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rasterio", None)
    monkeypatch.setitem(sys.modules, "rasterio.warp", None)
    assert read_geo("a.tif") is None
    with pytest.raises(UserError, match="pip install rasterio"):
        map_to_lonlat(np.zeros((1, 2)), "EPSG:32633")


@pytest.mark.parametrize(
    ("latitude", "east", "north"),
    [(0.0, 111_319.491, 110_574.276), (45.0, 78_846.806, 111_131.778), (60.0, 55_799.983, 111_412.273)],
)
def test_a_degree_is_as_long_as_in_the_tables(latitude: float, east: float, north: float) -> None:
    """One degree of longitude and latitude on WGS 84 around a latitude; Rapp's series, metres."""
    steps = np.array(
        [[[10.0, latitude], [10.001, latitude]], [[10.0, latitude - 5e-4], [10.0, latitude + 5e-4]]]
    )
    metres = lonlat_to_metres(steps)
    assert metres[0, 1, 0] * 1000 == pytest.approx(east, rel=1e-5)
    assert metres[1, 1, 1] * 1000 == pytest.approx(north, rel=1e-5)


def test_metres_agree_with_a_local_projection() -> None:
    warp = pytest.importorskip("rasterio.warp", reason="rasterio is not installed (requirements-extra.txt)")
    rng = np.random.default_rng(1)
    for centre in rng.uniform((-179, -75), (179, 75), (20, 2)):
        quad = centre + rng.uniform(-0.02, 0.02, (4, 2))  # up to 4 km
        lon, lat = quad.mean(axis=0)
        local = f"+proj=aeqd +lon_0={lon} +lat_0={lat} +datum=WGS84"
        expected = np.stack(warp.transform("EPSG:4326", local, *quad.T.tolist()), axis=-1)
        got = lonlat_to_metres(quad[None])[0]
        lengths = np.linalg.norm(np.diff(expected, axis=0), axis=1)
        np.testing.assert_allclose(np.linalg.norm(np.diff(got, axis=0), axis=1), lengths, rtol=1e-3)


def test_metres_across_the_antimeridian() -> None:
    metres = lonlat_to_metres(np.array([[[179.9999, 0.0], [-179.9999, 0.0]]]))
    assert metres[0, 1, 0] == pytest.approx(2e-4 * math.pi / 180 * 6378137, rel=1e-6)


def test_no_objects() -> None:
    pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    none = np.zeros((0, 4, 2))
    assert map_to_lonlat(pixels_to_map(none, ROTATED), ROTATED.crs).shape == (0, 4, 2)
    assert lonlat_to_metres(none).shape == (0, 4, 2)


def test_metres_with_the_crs_of_degrees_lie_off_the_earth() -> None:
    points = np.array([[500_000.0, 5_500_000.0], [15.0, 91.0], [15.0, 50.0], [359.5, -90.0]])
    lonlat = map_to_lonlat(points, "EPSG:4326")
    assert np.isinf(lonlat[:2]).all()
    np.testing.assert_allclose(lonlat[2:], points[2:])
