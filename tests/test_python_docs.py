"""The examples of docs/python.md run as they stand."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.evalR.tiny_checkpoint import write_tiny_checkpoint
from tests.training_runs import ROOT

PAGE = ROOT / "docs/python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (requirements-extra.txt)")
    pytest.importorskip("pyogrio", reason="pyogrio is not installed (requirements-extra.txt)")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 90, 120, 3), np.uint8)
    for folder in ("runs/demo", "images", "out"):
        (tmp_path / folder).mkdir(parents=True)
    write_tiny_checkpoint(tmp_path / "runs/demo", sure=True)
    for name, image in zip(("photo.jpg", "images/a.jpg", "images/b.png"), images, strict=False):
        cv2.imwrite(name, image)
    video = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 5, (120, 90))
    for image in images:
        video.write(image)
    video.release()
    shape = {"count": 3, "height": 210, "width": 310, "dtype": "uint8", "photometric": "rgb"}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(0.5, 0, 500000, 0, -0.5, 5600000)}
    with rasterio.open("scene.tif", "w", driver="GTiff", **shape, **place) as dataset:
        dataset.write(rng.integers(0, 256, (3, 210, 310), np.uint8))
    return tmp_path


@pytest.mark.slow
def test_the_examples_run(working_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/python.md, example {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"^<[1-9]\d* objects in photo.jpg", printed, re.MULTILINE)
    assert "nothing.jpg: no such image file" in printed
    assert len(BLOCKS) == 9
    assert len(names["counts"]) == 6
    assert '"objects"' in names["answers"][0]
    assert names["answers"][1] == '{"error": "no image"}'
    for name in ("photo.jpg", "photo.csv", "scene.gpkg", "images/a.jpg.txt", "images/b.png.txt"):
        assert (working_folder / "out" / name).is_file(), name
