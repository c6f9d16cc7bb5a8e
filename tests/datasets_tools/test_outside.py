"""Labels that name files outside of their data set: nothing of those gets into the target."""

from pathlib import Path

import numpy as np
import pytest

from dataloadR.annotations import read_split
from datasets_tools import convert
from tests.dataloadR.test_direct import image, write
from utils.errors import UserError


def coco_of(name: str) -> dict[str, object]:
    quad = [2.0, 3.0, 12.0, 3.0, 12.0, 6.0, 2.0, 6.0]
    return {
        "images": [{"id": 1, "file_name": name, "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [quad], "bbox": [2, 3, 10, 3]}
        ],
    }


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.png"
    image(path)
    return path


def convert_it(source: Path, target: Path, form: str, *words: str) -> None:
    convert.main([str(source), str(target), "--from", form, "--to", "dota", "--processes", "1", *words])


NAMES = ["../../secret.png", "{secret}", "images/../../../secret.png", "x/../../../secret.png"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["coco", "list"])
@pytest.mark.parametrize("mode", ["link", "copy"])
def test_convert_takes_nothing_from_outside(
    tmp_path: Path, secret: Path, name: str, form: str, mode: str
) -> None:
    name = name.format(secret=secret)
    line = f"{name} 2,3,12,6,0,2,3,12,3,12,6,2,6,1,0\n"
    files = {"coco": {"annotations/train.json": coco_of(name)}, "list": {"train.txt": line}}[form]
    root = write(tmp_path / "up/data", {"images/other.png": None, "x/y.txt": "", **files})
    source = root / "annotations" if form == "coco" else root / "train.txt"
    target = tmp_path / "out"
    with pytest.raises(UserError, match=r"expected an image below .*, the path leaves it"):
        convert_it(source, target, form, "--images", mode)
    assert not target.exists()
    convert_it(source, target, form, "--images", mode, "--image-dir", str(tmp_path))
    (written,) = target.rglob("*.png")
    assert written.read_bytes() == secret.read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_training_on_coco_reads_nothing_from_outside(tmp_path: Path, secret: Path, name: str) -> None:
    root = write(
        tmp_path / "up/data",
        {
            "images/other.png": None,
            "x/y.txt": "",
            "annotations/train.json": coco_of(name.format(secret=secret)),
        },
    )
    with pytest.raises(UserError, match=r"secret\.png: expected an image below .*, the path leaves it"):
        read_split(root, "train")


def test_training_on_a_list_reads_what_it_names(tmp_path: Path, secret: Path) -> None:
    lines = [f"{path} 2,3,12,6,0,2,3,12,3,12,6,2,6,1,0\n" for path in (secret, "../../secret.png")]
    root = write(tmp_path / "up/data", {"train.txt": "".join(lines)})
    found, _ = read_split(root / "train.txt", "")
    assert [Path(annotation.image_path).resolve() for annotation in found] == [secret, secret]
    np.testing.assert_array_equal(found[0].quads, found[1].quads)


def test_a_split_that_would_lead_out_of_the_target(tmp_path: Path) -> None:
    xml = """<annotations><meta><task><id>7</id></task></meta>
    <image id="0" name="a.png" width="40" height="30" subset="../../evil"></image></annotations>"""
    root = write(tmp_path / "data", {"a.xml": xml, "images/a.png": None})
    with pytest.raises(UserError, match=r"expected .*, got '\.\./\.\./evil'"):
        convert_it(root, tmp_path / "deep/er/out", "cvat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_bare_name_is_not_looked_up_in_the_folder_above(tmp_path: Path) -> None:
    """Where a data set was unpacked lie other things of the user."""
    image(tmp_path / "passport.png")
    root = write(
        tmp_path / "data", {"images/other.png": None, "annotations/train.json": coco_of("passport.png")}
    )
    with pytest.raises(UserError, match=r"found no image 'passport.png'; say where it is with --image-dir"):
        convert_it(root, tmp_path / "out", "coco")
    assert not (tmp_path / "out").exists()
