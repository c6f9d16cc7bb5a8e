"""Predictions as labels: what `predict.py` writes is converted; scores are kept where they have a place."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataloadR.annotations import AnnotationError, read_split
from datasets_tools.convert import main
from utils.errors import UserError

QUAD = [[10, 10], [30, 12], [28, 24], [9, 20]]
SHARES = "0 0.25 0.25 0.75 0.3 0.7 0.6 0.225 0.5"


def predicted(form: str, root: Path) -> Path:
    lines = {
        "dota": "10 10 30 12 28 24 9 20 ship 0.9088\n10 10 30 12 28 24 9 20 ship 1.0000\n",
        "yolo": f"{SHARES} 0.9088\n{SHARES} 1.0000\n",
    }
    labels = root / {"dota": "labelTxt", "yolo": "labels"}[form]
    for folder in (labels, root / "images"):
        folder.mkdir(parents=True)
    (labels / "a.txt").write_text(lines[form])
    (root / "data.yaml").write_text("names:\n  0: ship\n")
    assert cv2.imwrite(str(root / "images/a.png"), np.zeros((40, 40, 3), np.uint8))
    return root


def run(form: str, target_form: str, folder: Path) -> Path:
    words = [str(predicted(form, folder / "in")), str(folder / "out"), "--from", form, "--to", target_form]
    main([*words, "--processes", "1"])
    return folder / "out"


@pytest.mark.parametrize("form", ["dota", "yolo"])
def test_scores_are_kept(form: str, tmp_path: Path) -> None:
    out = run(form, "coco", tmp_path / "coco")
    rows = json.loads((out / "annotations/instances_all.json").read_text())["annotations"]
    for target in ("labelme", "xanylabeling"):
        shapes = json.loads((run(form, target, tmp_path / target) / "a.json").read_text())["shapes"]
        assert [shape["score"] for shape in shapes] == [0.9088, 1.0]
        np.testing.assert_allclose(shapes[0]["points"], QUAD)
    assert [row["score"] for row in rows] == [0.9088, 1.0]
    assert [row["difficult"] for row in rows] == [0, 0]
    np.testing.assert_allclose(np.reshape(rows[0]["segmentation"], (4, 2)), QUAD)


@pytest.mark.parametrize("form", ["dota", "yolo"])
def test_scores_are_lost_with_a_note(form: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = run(form, "dota", tmp_path)
    assert (out / "labelTxt/a.txt").read_text() == "10 10 30 12 28 24 9 20 ship 0\n" * 2
    assert "2 scores are lost: dota has no place for them" in caplog.text


@pytest.mark.parametrize("form", ["dota", "yolo"])
def test_nobody_trains_on_scores_unknowingly(form: str, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"objects with scores|the difficult flag, got '0.9088'"):
        read_split(predicted(form, tmp_path), "train", ["ship"])


def test_images_lie_elsewhere(tmp_path: Path) -> None:
    """As after `predict.py`: labels/ and data.yaml, or text files beside pictures with outlines."""
    for form in ("yolo", "dota"):
        root = predicted(form, tmp_path / form)
        (root / "images").rename(tmp_path / f"{form}-photos")
        if form == "dota":
            (root / "labelTxt/a.txt").rename(root / "a.txt")
            (root / "labelTxt").rmdir()
        words = [str(root), str(tmp_path / f"{form}-out"), "--from", form, "--to", "coco", "--processes", "1"]
        main([*words, "--image-dir", str(tmp_path / f"{form}-photos")])
        path = tmp_path / f"{form}-out/annotations/instances_all.json"
        document = json.loads(path.read_text())
        assert [row["file_name"] for row in document["images"]] == ["a.png"]
        assert [row["score"] for row in document["annotations"]] == [0.9088, 1.0]
    assert cv2.imwrite(str(root / "a.jpg"), np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(UserError, match=r"a.jpg: a picture beside predictions; say .* with --image-dir"):
        main(words)
