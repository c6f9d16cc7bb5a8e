"""Every XML format becomes a data set to train on, and DOTA comes back from those that are written."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from dataloadR.annotations import read_split
from datasets_tools.convert import main
from tests.datasets_tools.formats.xml_samples import ROTATED, SAMPLES

NAMES = {
    "rolabelimg": "P1.png",
    "dior-r": "P1.jpg",
    "ssdd": "P1.jpg",
    "hrsc2016": "P1.bmp",
    "fair1m": "P1.tif",
}


def draw(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((512, 640, 3), np.uint8))


def write_sample(form: str, folder: Path) -> None:
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "P1.xml").write_text(SAMPLES[form][1], encoding="utf-8")
    for name in [NAMES[form]] if form in NAMES else ["first/P1.png", "P2.png", "P3.png"]:
        draw(folder / "images" / name)


def words(source: Path, target: Path, old: str, new: str) -> list[str]:
    split = ["--split", "train"]
    return [str(source), str(target), "--from", old, "--to", new, "--processes", "1", *split]


@pytest.mark.parametrize("target", ["dota", "list"])
@pytest.mark.parametrize("form", SAMPLES)
def test_from_each_format(form: str, target: str, tmp_path: Path) -> None:
    write_sample(form, tmp_path / "old")
    main(words(tmp_path / "old", tmp_path / "new", form, target))
    split = "val" if form == "cvat" else "train"
    root = tmp_path / "new"
    annotations, _ = read_split(root, split if target == "dota" else f"{split}.txt")
    quad = next(a.quads[0] for a in annotations if Path(a.image_path).stem == "P1")
    np.testing.assert_allclose(sorted(quad.tolist()), sorted(ROTATED.tolist()), atol=1e-2)


@pytest.mark.parametrize("form", ["rolabelimg", "cvat"])
def test_dota_and_back(form: str, tmp_path: Path) -> None:
    for split in ("train", "val"):
        draw(tmp_path / "dota" / split / "images" / f"{split}__1__0___0.png")
        labels = tmp_path / "dota" / split / "labelTxt" / f"{split}__1__0___0.txt"
        labels.parent.mkdir()
        labels.write_text("".join(f"40 40 72 64 60 80 28 56 ship {flag}\n" for flag in (0, 1, 2)))
    main(words(tmp_path / "dota", tmp_path / "other", "dota", form))
    main(words(tmp_path / "other", tmp_path / "back", form, "dota"))
    for split in ("train", "val"):
        (annotation,), classes = read_split(tmp_path / "back", split)
        assert classes == ("ship",)
        assert annotation.difficult.tolist() == [0, 1, 2]
        assert Path(annotation.image_path).name == f"{split}__1__0___0.png"
        for quad in annotation.quads.tolist():
            np.testing.assert_allclose(sorted(quad), sorted(ROTATED.tolist()), atol=1e-2)
