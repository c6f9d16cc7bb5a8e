"""Several sources in one call: lists, folders, patterns, arrays and streams."""

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from evalR.inference.detector import Detector
from evalR.inference.found import FoundObjects
from tests.evalR.tiny_checkpoint import SETTINGS, write_tiny_checkpoint
from utils.errors import UserError
from utils.images import ImageError

SIZES = [(60, 80), (64, 64), (150, 200), (90, 50), (100, 100)]  # the third is cut into tiles


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    weights = write_tiny_checkpoint(tmp_path_factory.mktemp("weights"))
    return Detector(weights, "cpu", **SETTINGS, **{"eval.batch_size": 2})


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES]


@pytest.fixture
def paths(tmp_path: Path, pictures: list[np.ndarray]) -> list[Path]:
    folder = tmp_path / "images"
    folder.mkdir()
    paths = [folder / f"{k}.png" for k in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        cv2.imwrite(str(path), picture[..., ::-1])
    return paths


def assert_same(found: FoundObjects, other: FoundObjects) -> None:
    assert len(found) > 0
    assert found.size == other.size
    np.testing.assert_array_equal(found.labels, other.labels)
    np.testing.assert_allclose(found.scores, other.scores, rtol=1e-5)
    np.testing.assert_allclose(found.quads, other.quads, rtol=1e-5, atol=1e-3)


def test_folders_patterns_and_lists_keep_their_order(detector: Detector, paths: list[Path]) -> None:
    folder = paths[0].parent
    everything = detector(paths)
    assert [found.source for found in everything] == [str(path) for path in paths]
    assert [found.size for found in everything] == SIZES
    listed = folder.parent / "list.txt"
    listed.write_text("images/0.png\nimages/1.png\n")
    for source, count in ((folder, 5), (str(folder), 5), (f"{folder}/*.png", 5), (listed, 2)):
        for found, other in zip(detector(source), everything[:count], strict=True):
            assert found.source == other.source
            assert_same(found, other)
    twice = detector([paths[1], str(paths[0]), paths[1]])
    assert [found.source for found in twice] == [str(paths[k]) for k in (1, 0, 1)]
    mixed = detector([folder / "[0-1].png", paths[4]])
    assert [found.source for found in mixed] == [str(paths[k]) for k in (0, 1, 4)]


def test_arrays_give_what_their_files_give(
    detector: Detector, paths: list[Path], pictures: list[np.ndarray]
) -> None:
    backwards = [np.ascontiguousarray(picture[..., ::-1])[..., ::-1] for picture in pictures]  # as from cv2
    from_pillow = [PIL.Image.fromarray(picture) for picture in pictures]
    files = detector(paths)
    for sources in (
        pictures,
        tuple(pictures),
        backwards,
        from_pillow,
        [pictures[0], *paths[1:4], pictures[4]],
    ):
        for found, other in zip(detector(sources), files, strict=True):
            assert_same(found, other)
    assert [found.source for found in detector(pictures)] == ["image in memory"] * 5


def test_an_image_alone_gives_what_it_gives_in_a_list(detector: Detector, pictures: list[np.ndarray]) -> None:
    for picture, found in zip(pictures, detector(pictures), strict=True):
        assert_same(found, detector(picture))


def test_grey_images_become_colours(detector: Detector, pictures: list[np.ndarray], tmp_path: Path) -> None:
    grey = pictures[1][..., 0]
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    found = detector(tmp_path / "grey.png")
    assert_same(detector(grey), found)
    assert_same(detector([grey, grey])[1], found)
    assert_same(detector(PIL.Image.fromarray(grey)), found)
    assert_same(detector(np.stack([grey] * 3, axis=2)), found)


def test_small_images_share_batches(
    detector: Detector, paths: list[Path], pictures: list[np.ndarray]
) -> None:
    seen: list[int] = []
    hook = detector.trained.model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    try:
        for sources in (paths[:2] + paths[3:], pictures[:2] + pictures[3:]):
            detector(sources)
            assert seen == [2, 2]
            seen.clear()
    finally:
        hook.remove()


def test_nothing_is_an_ordinary_number_of_sources(detector: Detector) -> None:
    assert detector([]) == []
    assert list(detector.stream([])) == []


def test_a_stream_draws_no_more_than_a_batch(detector: Detector, pictures: list[np.ndarray]) -> None:
    drawn: list[int] = []

    def frames() -> Iterator[np.ndarray]:
        for k in range(9):
            drawn.append(k)
            yield np.roll(pictures[1], k, axis=0)

    ahead = [len(drawn) - k for k, _ in enumerate(detector.stream(frames()))]
    assert len(drawn) == 9
    assert max(ahead) == 2  # eval.batch_size
    for k, found in enumerate(detector.stream(frames())):
        assert_same(found, detector([np.roll(pictures[1], k, axis=0)])[0])


def test_a_stream_of_a_folder(detector: Detector, paths: list[Path]) -> None:
    for found, other in zip(detector.stream(paths[0].parent), detector(paths), strict=True):
        assert_same(found, other)


def test_a_bad_image_ends_a_list_unless_it_may_be_left_out(
    detector: Detector, paths: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    paths[1].write_bytes(b"no image")
    for call in (detector, lambda sources: list(detector.stream(sources))):
        with pytest.raises(ImageError, match=r"1\.png: cannot be decoded as an image"):
            call(paths)
    skipping = Detector(detector.trained.path, "cpu", **SETTINGS, **{"data.on_error": "skip"})
    everything = skipping(paths)
    assert [found.source for found in everything] == [str(paths[k]) for k in (0, 2, 3, 4)]
    (record,) = caplog.records
    assert "predict: left out 1 file or line:\n" in record.getMessage()
    assert "1.png" in record.getMessage()


def test_sources_that_are_none(detector: Detector, tmp_path: Path, pictures: list[np.ndarray]) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    for source, line in (
        (tmp_path / "clips", "expected images, found videos alone"),
        (tmp_path / "empty", "no images in this folder"),
        (f"{tmp_path}/*.png", "expected images or videos to match, found none"),
        ([tmp_path / "none.png"], "none.png: no such image file"),
        ("", "got an empty word"),
        ([pictures[0], torch.zeros(3)], "expected a path or an image"),
        ([pictures[0], np.zeros((3, 3))], r"expected \(H, W, 3\) or \(H, W\) uint8"),
    ):
        with pytest.raises(UserError, match=line) as error:
            detector(source)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"journal=j: expected one source"):
        detector(pictures, journal="j")


def test_quiet_is_quiet(
    detector: Detector,
    paths: list[Path],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bars that would appear at once, a raster that is nearly black, and a file that is left out."""
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    monkeypatch.setattr("utils.progress.PATIENCE", 0.0)
    caplog.set_level(logging.INFO)
    dark, half = (paths[0].with_name(name) for name in ("5.tif", "6.tif"))
    shape = {"count": 3, "height": 64, "width": 64, "dtype": "uint16", "photometric": "rgb"}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5600000)}
    with rasterio.open(dark, "w", driver="GTiff", **shape, **place) as dataset:
        dataset.write(np.random.default_rng(0).integers(0, 4096, (3, 64, 64), np.uint16))
    shape["dtype"] = "uint8"  # with a transform, but no CRS, whose tags OpenCV does not know
    with rasterio.open(half, "w", driver="GTiff", **shape, transform=place["transform"]) as dataset:
        dataset.write(np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8))
    paths[1].write_bytes(b"no image")
    counts = []
    for quiet in (False, True):
        caplog.clear()
        one = Detector(detector.trained.path, "cpu", **SETTINGS, quiet=quiet, **{"data.on_error": "skip"})
        found = one(paths[0].parent)
        list(one.stream(paths))
        one(paths[2], journal=paths[0].parent.parent / "journal")
        found[-1].plot()
        found[-1].to_geojson()
        written = capfd.readouterr()
        ours = [record for record in caplog.records if not record.name.startswith("rasterio")]
        assert written.out == ""
        counts.append((len(written.err), len(ours)))
    assert min(counts[0]) > 0
    assert counts[1] == (0, 0)
