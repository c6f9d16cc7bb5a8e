"""Only regular files are opened: nothing waits for a pipe or reads a device to its end."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cfg.schema import DataConfig
from dataloadR.annotations import read_split
from dataloadR.formats.notes import Notes
from dataloadR.formats.shapes import MOST_VERTICES, crossings, polygon_quad
from dataloadR.label_lines import AnnotationError
from dataloadR.splits import load_split
from datasets_tools import check, convert, make_list, show
from evalR.inference.scenes.journal import Journal
from evalR.outputs.kept import keep, read_kept
from evalR.outputs.video import video_info
from tests.special_files import add_special_files, no_longer_than
from tests.training_runs import WORDS
from utils.errors import Faults, UserError
from utils.files import file_hash
from utils.images import ImageError, check_image, image_size, read_header, read_image
from utils.rasters import raster_info
from utils.records import Detections

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_reading_an_image(tmp_path: Path, suffix: str) -> None:
    for path in add_special_files(tmp_path, suffix):
        with no_longer_than(20):
            for read in (read_image, image_size, check_image, raster_info):
                with pytest.raises(ImageError, match=path.name):
                    read(path)
            assert read_header(path) is None


@pytest.mark.usefixtures("words")
def test_a_data_set_full_of_them(tmp_path: Path) -> None:
    root = tmp_path / "data"
    add_special_files(root / "train/images", ".png")
    add_special_files(root / "train/labelTxt", ".txt")
    for name in ("socket", "zero"):  # an image with a label file that is none
        source = next((root / "val/images").iterdir())
        (root / "train/images" / f"{name}2.png").write_bytes(source.read_bytes())
        (root / "train/labelTxt" / f"{name}2.txt").symlink_to(root / f"train/labelTxt/{name}.txt")
    with no_longer_than(60):
        found, _ = load_split(DataConfig(root=str(root), on_error="skip"), "train", ())
        assert len(found) == 14
        with pytest.raises(UserError):
            load_split(DataConfig(root=str(root)), "train", ())
        assert check.main([str(root), "--out", "checked", "--processes", "1"]) == 1
        show.main([str(root), "shown", "data.on_error=skip", "--number", "0", "--processes", "1", *WORDS])
    assert len(list(Path("shown").glob("*.png"))) == 14


@pytest.mark.parametrize(("form", "suffix"), [("labelme", ".json"), ("coco", ".json"), ("hrsc2016", ".xml")])
def test_label_files(tmp_path: Path, form: str, suffix: str) -> None:
    (tmp_path / "data").mkdir()
    for path in add_special_files(tmp_path / "data", suffix)[:4]:
        with no_longer_than(20), pytest.raises(UserError):
            convert.main([str(path), str(tmp_path / "out"), "--from", form, "--to", "dota"])
    with no_longer_than(20), pytest.raises(UserError):
        convert.main([str(tmp_path / "data"), str(tmp_path / "out"), "--from", form, "--to", "dota"])


def test_a_list_that_is_a_device(tmp_path: Path) -> None:
    for path in add_special_files(tmp_path, ".txt"):
        with no_longer_than(20), pytest.raises(UserError):
            read_split(path, "", faults=Faults(skip=True))


def test_what_predict_keeps(tmp_path: Path) -> None:
    detections = Detections(torch.zeros(1, 4, 2), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    for path in add_special_files(tmp_path, ".npz"):
        with no_longer_than(20):
            assert read_kept(path, "mark") is None
            if path.is_symlink() or not path.is_dir():
                keep(path, detections, "mark")
                assert read_kept(path, "mark") is not None
    for path in add_special_files(tmp_path, ".journal.0")[:4]:
        with no_longer_than(20), pytest.raises(OSError, match=r"expected a file, got a"):
            Journal(path.with_suffix(""), {}).read()


def test_videos(tmp_path: Path) -> None:
    for path in add_special_files(tmp_path, ".mp4")[:4]:
        with no_longer_than(20), pytest.raises(UserError, match="cannot be read as a video"):
            video_info(path)
    playlist = tmp_path / "a.mp4"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(UserError, match="cannot be read as a video"):
        video_info(playlist)


def test_polygons_that_would_take_minutes() -> None:
    rng = np.random.default_rng(0)
    with no_longer_than(20):
        for count in (100, 500, MOST_VERTICES):
            with pytest.raises(AnnotationError, match=r"a: expected an outline, .* crosses itself \d+ times"):
                polygon_quad(rng.uniform(0, 100, (count, 2)), "a", Notes())
        with pytest.raises(AnnotationError, match="at most 2000 vertices, got 1000000"):
            polygon_quad(rng.uniform(0, 100, (1_000_000, 2)), "a", Notes())
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = 100 + 50 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert polygon_quad(circle, "a", Notes()).shape == (4, 2)


def test_crossings_are_counted() -> None:
    bow = np.array([[0.0, 0.0], [2.0, 2.0], [2.0, 0.0], [0.0, 2.0]])
    assert crossings(bow) == 1
    assert crossings(bow[[0, 2, 1, 3]]) == 0
    star = np.array([[np.cos(k * 4 * np.pi / 5), np.sin(k * 4 * np.pi / 5)] for k in range(5)])
    assert crossings(star) == 5


@pytest.mark.skipif(sys.platform != "linux", reason="names are text there")
@pytest.mark.usefixtures("words")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Bytes of other encodings, as old archives have them: nothing that is written could hold them."""
    root = tmp_path / "data"
    good = next((root / "train/images").iterdir())
    odd = root / "train/images/Donn\udce9es.png"
    shutil.copy(good, odd)
    for read in (read_image, image_size, check_image, raster_info):
        with pytest.raises(ImageError, match="UTF-8"):
            read(odd)
    faults = Faults(skip=True)
    everything, _ = read_split(root, "train", faults=faults)
    assert len(everything) == len(list((root / "train/images").iterdir())) - 1
    assert [message.partition(": ")[2] for message in faults.messages] == [
        "expected a name in UTF-8; give it another"
    ]
    with pytest.raises(UserError, match="expected a name in UTF-8"):
        make_list.main([str(root), "lists", "--split", "train=1"])
    assert check.main([str(root), "--out", "checked", "--processes", "1"]) == 1
    assert "expected a file, got a path that is not UTF-8" in Path("checked/check.json").read_text()


def test_hashes_of_files_that_are_none(tmp_path: Path) -> None:
    for path in add_special_files(tmp_path, ".pt"):
        with no_longer_than(20), pytest.raises(OSError):  # noqa: PT011 - each system says it in its words
            file_hash(path)
