"""What a call returns: arrays, records, selections, files and pictures."""

import copy
import csv
import io
import json
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from evalR.inference.found import FoundObject, FoundObjects, Pixels
from evalR.outputs.coco import write_coco_results
from evalR.outputs.dota import write_dota_labels
from evalR.outputs.pictures import write_picture
from evalR.outputs.table import write_csv
from utils.errors import UserError
from utils.records import Detections, GeoReference, SceneDetections
from utils.scene_rasters import PLAIN

QUADS = np.array(
    [
        [[10.0, 10], [40, 12], [39, 24], [9, 22]],
        [[60.0, 30], [80, 30], [80, 70], [60, 70]],
        [[20.0, 60], [35, 65], [30, 80], [15, 75]],
    ]
)
IMAGE = np.full((90, 100, 3), 200, np.uint8)
UTM = GeoReference((0.5, 0, 500000, 0, -0.5, 5600000), "EPSG:32632")


def make(count: int = 3, geo: GeoReference | None = None, source: str = "image in memory") -> FoundObjects:
    detections = Detections(
        torch.from_numpy(QUADS[:count].copy()),
        torch.tensor([0.9, 0.5, 0.25])[:count],
        torch.tensor([1, 0, 1])[:count],
    )
    scene = SceneDetections(source, (90, 100), detections, ("plane", "ship"), geo)
    return FoundObjects(scene, Pixels(IMAGE if source == "image in memory" else None, PLAIN, 4000, 0.3))


def test_arrays_of_numpy() -> None:
    found = make()
    np.testing.assert_array_equal(found.quads, QUADS)
    assert (found.quads.dtype, found.scores.dtype, found.labels.dtype) == (np.float64, np.float32, np.int64)
    assert found.scores.tolist() == [np.float32(0.9), 0.5, 0.25]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.names == ["ship", "plane", "ship"]
    assert (found.classes, found.size, found.transform, found.crs) == (
        ("plane", "ship"),
        (90, 100),
        None,
        None,
    )
    placed = make(geo=UTM)
    assert (placed.transform, placed.crs) == UTM


def test_length_and_iteration_are_those_of_the_objects() -> None:
    found = make()
    assert len(found) == 3
    for row, thing in enumerate(found):
        assert isinstance(thing, FoundObject)
        np.testing.assert_array_equal(thing.quad, QUADS[row])
        assert (thing.score, thing.label, thing.name) == (
            found.scores[row],
            found.labels[row],
            found.names[row],
        )
        assert (type(thing.score), type(thing.label)) == (float, int)  # what json takes
        for same in (found[row], found[row - 3], found[np.int64(row)]):
            np.testing.assert_array_equal(same.quad, thing.quad)
            assert same[1:] == thing[1:]
    with pytest.raises(IndexError):
        found[3]
    assert bool(found)
    assert not make(0)
    assert list(make(0)) == []


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [2, 1, 0]),
        (np.array([True, False, True]), [0, 2]),
        ([False, True, False], [1]),
        (torch.tensor([True, False, True]), [0, 2]),
        ([2, 0], [2, 0]),
        (torch.tensor([1]), [1]),
        ((), []),
        ([], []),
        (np.zeros(3, bool), []),
    ],
)
def test_selections_are_of_the_same_kind(rows: object, expected: list[int]) -> None:
    found = make(geo=UTM)
    part = found[rows]
    assert isinstance(part, FoundObjects)
    np.testing.assert_array_equal(part.quads, QUADS[expected].reshape(-1, 4, 2))
    assert part.names == [found.names[row] for row in expected]
    assert (part.size, part.crs, part.classes) == (found.size, found.crs, found.classes)
    assert len(found) == 3
    with pytest.raises(IndexError):
        found[[True]]
    assert len(make(0)[np.zeros(0, bool)]) == 0


def test_by_scores_and_classes() -> None:
    found = make()
    assert found[found.scores > 0.4].names == ["ship", "plane"]
    assert found[found.labels == 1][0].score == found[0].score


def test_one_line() -> None:
    assert repr(make()) == "<3 objects in image in memory: ship 2, plane 1>"
    assert repr(make(1)) == "<1 object in image in memory: ship 1>"
    assert repr(make(0)) == "<0 objects in image in memory>"


def test_results_can_be_copied_and_sent_to_processes() -> None:
    found = make()
    for same in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        np.testing.assert_array_equal(same.quads, found.quads)
        np.testing.assert_array_equal(same.plot(), found.plot())


@pytest.mark.parametrize("count", [0, 3])
def test_files_are_those_of_predict(tmp_path: Path, count: int) -> None:
    found = make(count)
    for suffix, write in (
        (".txt", lambda path: write_dota_labels(path, found.scene)),
        (".csv", lambda path: write_csv(path, [found.scene])),
        (".json", lambda path: write_coco_results(path, [found.scene], found.classes)),
        (".jpg", lambda path: write_picture(path, IMAGE, found.scene, 0.3)),
        (".png", lambda path: write_picture(path, IMAGE, found.scene, 0.3)),
    ):
        path, same = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        assert found.save(str(path)) == path
        write(same)
        assert path.read_bytes() == same.read_bytes()
    assert found.save(tmp_path / "C.JPEG").read_bytes() == (tmp_path / "a.jpg").read_bytes()


@pytest.mark.parametrize("count", [0, 3])
def test_tables_and_maps(tmp_path: Path, count: int) -> None:
    pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    found = make(count, UTM)
    assert found.to_csv(tmp_path / "a.csv") == (tmp_path / "a.csv").read_text()
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["class"] for row in rows] == found.names
    for row, quad in zip(rows, found.quads, strict=True):
        assert [float(row[f"{axis}{k}"]) for k in (1, 2, 3, 4) for axis in "xy"] == quad.ravel().tolist()
    collection = found.to_geojson(tmp_path / "a.geojson")
    assert json.loads((tmp_path / "a.geojson").read_text()) == collection
    assert len(collection["features"]) == count
    assert found.save(tmp_path / "b.geojson").read_text() == (tmp_path / "a.geojson").read_text()


@pytest.mark.parametrize("count", [0, 3])
def test_a_geopackage_lies_where_the_raster_does(tmp_path: Path, count: int) -> None:
    pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    pyogrio = pytest.importorskip("pyogrio", reason="pyogrio is not installed (requirements-extra.txt)")
    shapely = pytest.importorskip("shapely")
    found = make(count, UTM)
    found.save(tmp_path / "a.gpkg")
    found.to_geopackage(tmp_path / "b.gpkg")
    for name in ("a.gpkg", "b.gpkg"):
        meta, _, shapes, _ = pyogrio.raw.read(tmp_path / name)
        assert meta["crs"] == "EPSG:32632"
        assert len(shapes) == count
        for shape, quad in zip(shapely.from_wkb(shapes), found.quads, strict=True):
            corners = quad * [0.5, -0.5] + [500000, 5600000]
            np.testing.assert_allclose(shapely.get_coordinates(shape)[:4], corners)


def test_a_suffix_that_nothing_is_written_for(tmp_path: Path) -> None:
    for name in ("a.bmp", "a"):
        with pytest.raises(
            UserError, match=r"a.*: expected a suffix of \.jpg, .*\.gpkg, \.json, got '"
        ) as error:
            make().save(tmp_path / name)
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_plot_has_the_pixels_of_the_image_but_where_objects_are(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), IMAGE)
    for found in (make(), make(source=str(path))):
        picture = found.plot()
        assert (picture.shape, picture.dtype) == ((90, 100, 3), np.uint8)
        painted = (picture != IMAGE).any(axis=2)
        for x, y in np.floor(QUADS[:, 0]).astype(int):
            assert painted[y - 1 : y + 2, x - 1 : x + 2].any()
        assert painted.mean() < 0.5
    np.testing.assert_array_equal(make(0).plot(), IMAGE)
    assert (IMAGE == 200).all()  # the image itself is not drawn on


def test_a_scene_too_large_to_draw_becomes_an_overview() -> None:
    image = np.full((2100, 50, 3), 90, np.uint8)
    detections = Detections(torch.from_numpy(QUADS[:1].copy()), torch.tensor([0.9]), torch.tensor([1]))
    scene = SceneDetections("image in memory", (2100, 50), detections, ("plane", "ship"), None)
    found = FoundObjects(scene, Pixels(image, PLAIN, 2000, 0.3))
    assert found.plot().shape == (1050, 25, 3)
