"""YOLO and COCO read as they are: the same objects as in DOTA's layout, and nothing is guessed."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dataloadR.annotations import (
    AnnotationError,
    find_splits,
    read_everything,
    read_named,
    read_split,
    split_is_labelled,
)
from dataloadR.data_hash import data_hash
from dataloadR.demo.scenes import write_demo_scenes
from datasets_tools import convert
from datasets_tools.split_sources import find_large_images
from utils.errors import Faults

CLASSES = ("vehicle", "ship", "plane", "court")  # not sorted
BOX = [2.0, 3.0, 12.0, 3.0, 12.0, 6.0, 2.0, 6.0]  # of an image of 40 x 30


@pytest.fixture(scope="module")
def dota(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_scenes(tmp_path_factory.mktemp("data") / "dota", train=5, val=2, size=(96, 96))


def to_format(dota: Path, target: Path, form: str) -> Path:
    words = ["--from", "dota", "--to", form, "--processes", "1", "--classes", ",".join(CLASSES)]
    convert.main([str(dota), str(target), *words])
    return target


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((30, 40, 3), len(path.name), np.uint8))


def write(root: Path, files: dict[str, Any]) -> Path:
    for name, contents in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if contents is None:
            image(path)
        else:
            path.write_text(contents if isinstance(contents, str) else json.dumps(contents))
    return root


@pytest.mark.parametrize(
    ("form", "source"),
    [
        ("yolo-obb", "."),
        ("yolo-obb", "data.yaml"),
        ("coco", "."),
        ("coco", "annotations/instances_train.json"),
        ("coco-rotated", "."),
    ],
)
def test_the_same_data_in_every_format(form: str, source: str, dota: Path, tmp_path: Path) -> None:
    root = to_format(dota, tmp_path / form, form) / source
    hashes = []
    for split in ("train", "val"):
        expected, _ = read_split(dota, split, CLASSES)
        found, classes = read_split(root, split)
        assert classes == CLASSES  # in the order of the file
        assert [Path(a.image_path).name for a in found] == [Path(a.image_path).name for a in expected]
        for a, b in zip(found, expected, strict=True):
            assert Path(a.image_path).is_file()
            np.testing.assert_allclose(a.quads, b.quads, atol=1e-4)
            assert a.labels.tolist() == b.labels.tolist()
            flags = b.difficult if form != "yolo-obb" else np.zeros_like(b.difficult)
            assert a.difficult.tolist() == flags.tolist()
        assert split_is_labelled(root, split)
        hashes.append(data_hash(found))
    assert hashes[0] != hashes[1]
    assert any(a.difficult.any() for a in expected)
    assert find_splits(root) == ["train", "val"]
    everything, _ = read_everything(root)
    assert len(everything) == 7
    shuffled, classes = read_split(root, "train", CLASSES[::-1])
    assert classes == CLASSES[::-1]
    assert (shuffled[0].labels == 3 - read_split(root, "train")[0][0].labels).all()
    with pytest.raises(AnnotationError, match="no split 'test', found train, val"):
        read_split(root, "test")
    with pytest.raises(AnnotationError, match=r"unknown class '(vehicle|ship|court)'"):
        read_split(root, "train", ["plane"])


@pytest.mark.parametrize("form", ["yolo-obb", "coco"])
def test_images_by_name_and_tiles(form: str, dota: Path, tmp_path: Path) -> None:
    root = to_format(dota, tmp_path / form, form)
    names = [Path(a.image_path).stem for a in read_split(dota, "val")[0]]
    for split in ("val", "all"):  # all of them, where there is no such split
        found, classes = read_named(root, [names[1], "missing"], split)
        expected, _ = read_named(dota, [names[1], "missing"], "val", classes)
        np.testing.assert_allclose(found[0].quads, expected[0].quads, atol=1e-4)
        assert found[1].image_path == "missing"
        assert len(found[1].quads) == 0
    with pytest.raises(AnnotationError, match="expected images such as nothing"):
        read_named(root, ["nothing"], "val")
    sources = find_large_images(root, [], [], Faults(skip=False))
    assert {(s.folder, s.image.name) for s in sources} == {
        (split, Path(a.image_path).name) for split in ("train", "val") for a in read_split(dota, split)[0]
    }


def test_roboflow_yolo_with_paths_that_are_not_there(tmp_path: Path) -> None:
    yaml = (
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['ship', 'car']\n"
    )
    labels = {"train/labels/a.txt": "1 0.05 0.1 0.3 0.1 0.3 0.2 0.05 0.2\n", "valid/labels/b.txt": ""}
    root = write(
        tmp_path, {"train/images/a.png": None, "valid/images/b.png": None, "data.yaml": yaml, **labels}
    )
    for source in (root, root / "data.yaml"):
        (first,), classes = read_split(source, "train")
        assert classes == ("ship", "car")
        np.testing.assert_allclose(first.quads.reshape(1, 8), [BOX], atol=1e-5)
        assert first.labels.tolist() == [1]
        (second,), _ = read_split(source, "val")
        assert (Path(second.image_path).name, len(second.labels)) == ("b.png", 0)
        assert len(read_split(source, "valid")[0]) == 1
        with pytest.raises(AnnotationError, match="test/images: expected a folder or a list of images"):
            read_split(source, "test")
    (root / "data.yaml").unlink()  # then the folders say it, and nobody the names
    (first,), classes = read_split(root, "train")
    assert (classes, first.labels.tolist()) == (("class0", "class1"), [1])
    assert read_split(root, "train", ["x", "y"])[1] == ("x", "y")


def test_plain_boxes_are_horizontal_quads(tmp_path: Path) -> None:
    root = write(
        tmp_path, {"images/a.png": None, "labels/a.txt": "0 0.175 0.15 0.25 0.1\n", "classes.txt": "ship\n"}
    )
    (found,), classes = read_split(root, "train")
    assert classes == ("ship",)
    np.testing.assert_allclose(found.quads.reshape(1, 8), [BOX], atol=1e-5)


@pytest.mark.parametrize("layout", ["", "train/", "images/train/"])
def test_yolo_layouts_without_a_yaml(layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = layout.replace("images/", "labels/")
    root = write(
        tmp_path, {f"{layout}a.png": None, f"{labels}a.txt": "0 0.175 0.15 0.25 0.1\n", "classes.txt": "ship"}
    )
    (found,), classes = read_split(root, "train")
    assert (classes, found.labels.tolist()) == (("ship",), [0])
    assert ("has no splits" in caplog.text) == (not layout)


def test_lists_of_yolo_images(tmp_path: Path) -> None:
    labels = "0 0.175 0.15 0.25 0.1\n"
    lists = {"train.txt": "./images/a.png\n", "val.txt": "images/b.png\n"}
    files = {"images/a.png": None, "images/b.png": None, "labels/a.txt": labels, "labels/b.txt": labels * 2}
    root = write(
        tmp_path, {**files, **lists, "data.yaml": "train: train.txt\nval: [val.txt]\nnames: {0: ship}"}
    )
    for source, split in (
        (root, "val"),
        (root / "data.yaml", "val"),
        (root, "val.txt"),
        (root / "val.txt", ""),
    ):
        (found,), classes = read_split(source, split)
        assert (classes, found.labels.tolist()) == (("ship",), [0, 0])


def coco(*rows: dict[str, Any], **keys: Any) -> dict[str, Any]:
    images = [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}]
    categories = [{"id": 9, "name": "ship"}, {"id": 2, "name": "car"}]
    annotations = [{"id": k, "image_id": 5, "category_id": 9, **row} for k, row in enumerate(rows)]
    return {"images": images, "annotations": annotations, "categories": categories, **keys}


def test_roboflow_coco_with_its_first_category(tmp_path: Path) -> None:
    categories = [
        {"id": 0, "name": "boats", "supercategory": "none"},
        {"id": 9, "name": "ship", "supercategory": "boats"},
    ]
    document = coco({"bbox": [2, 3, 10, 3], "iscrowd": 0}, categories=categories)
    name = "_annotations.coco.json"
    files = {f"train/{name}": document, "train/a.png": None, f"valid/{name}": document, "valid/a.png": None}
    root = write(tmp_path / "set", files)
    for source in (root, root / "train" / name):
        (found,), classes = read_split(source, "train")
        assert classes == ("ship",)
        np.testing.assert_allclose(found.quads.reshape(1, 8), [BOX], atol=1e-5)
        (other,), _ = read_split(source, "val")
        assert other.image_path == str(root / "valid" / "a.png")
    convert.main([str(root), str(tmp_path / "out"), "--from", "coco", "--to", "dota", "--processes", "1"])
    assert len(read_split(tmp_path / "out", "val")[0]) == 1


def test_official_coco_beside_captions(tmp_path: Path) -> None:
    captions = {"images": [], "annotations": [{"caption": "a ship"}]}
    document = coco({"bbox": [2, 3, 10, 3], "segmentation": [BOX], "iscrowd": 1})
    files = {
        f"annotations/{kind}_{split}2017.json": contents
        for split in ("train", "val")
        for kind, contents in (
            ("instances", document),
            ("captions", captions),
            ("person_keypoints", document),
        )
    }
    root = write(tmp_path, {**files, "train2017/a.png": None})
    for source in (root, root / "annotations" / "instances_train2017.json"):
        (found,), _ = read_split(source, "train")
        assert found.image_path == str(root / "train2017" / "a.png")
        assert found.difficult.tolist() == [1]
    explicit, _ = read_split(root, "annotations/instances_val2017.json")
    assert len(explicit) == 1
    others = list(root.glob("annotations/instances*"))
    for path in others:
        path.rename(path.with_name(path.name.replace("instances", "objects")))
    with pytest.raises(AnnotationError, match=r"expected one file for the split 'train', found .* name one"):
        read_split(root, "train")


def test_a_file_without_a_split_means_all_splits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path, {"labels.json": coco({"bbox": [2, 3, 10, 3]}), "photos/a.png": None})
    for split in ("train", "val"):
        assert len(read_split(root / "labels.json", split)[0]) == 1
    assert "has no splits: the split 'val' means all of its images" in caplog.text


LOSSES = [
    (
        {"segmentation": [[0, 0, 9, 0, 12, 5, 9, 9, 0, 9]]},
        "polygons of more than 4 vertices",
        "",
    ),
    ({"segmentation": [BOX, BOX]}, "in one case, segmentations of several parts", ""),
    (
        {"segmentation": {"counts": [5], "size": [30, 40]}, "bbox": [2, 3, 10, 3]},
        "in one case, masks in run lengths",
        "",
    ),
    (
        {"bbox": [20, 15, 10, 4, 0.5]},
        "rotated boxes whose file does not say the unit",
        "--angle degrees",
    ),
]


@pytest.mark.parametrize(("row", "message", "option"), LOSSES)
def test_what_would_be_lost_or_guessed_stops(
    row: dict[str, Any], message: str, option: str, tmp_path: Path
) -> None:
    root = write(tmp_path / "set", {"annotations/train.json": coco(row), "images/a.png": None})
    for source in (root, root / "annotations" / "train.json"):
        with pytest.raises(AnnotationError, match=message) as caught:
            read_split(source, "train")
        words = str(caught.value).partition("python -m datasets_tools.convert ")[2].split()
        assert words[1] == str(tmp_path / "set_dota")
        assert option in str(caught.value)
        assert "\n" not in str(caught.value)
        convert.main([*words, "--processes", "1"])
        assert len(read_split(tmp_path / "set_dota", "train")[0][0].labels) == 1


def test_yolo_polygons_and_pixels_stop(tmp_path: Path) -> None:
    polygon, pixels = "0 0.1 0.1 0.3 0.1 0.35 0.2 0.3 0.3 0.1 0.3\n", "0 20 10 30 10 30 20 20 20\n"
    for text, message in (
        (polygon, "in one case, polygons of more than 4"),
        (pixels, "shares of its sides were expected"),
    ):
        root = write(tmp_path, {"images/a.png": None, "labels/a.txt": text})
        with pytest.raises(AnnotationError, match=message):
            read_split(root, "train")
    yaml = {"data.yaml": "names: [a]\nkpt_shape: [17, 3]\ntrain: images\n"}
    with pytest.raises(AnnotationError, match="keypoints are not read"):
        read_split(write(tmp_path, yaml), "train")


def test_a_closed_ring_of_four_is_a_quad(tmp_path: Path) -> None:
    document = coco({"segmentation": [[*BOX, *BOX[:2]]]}, {"segmentation": [], "bbox": [1, 1, 2, 2]})
    (found,), _ = read_split(write(tmp_path, {"train.json": document, "a.png": None}), "train")
    np.testing.assert_allclose(found.quads[0].ravel(), BOX)


def test_no_objects_and_missing_images(tmp_path: Path) -> None:
    root = write(tmp_path, {"train.json": coco(), "images/a.png": None})
    (found,), classes = read_split(root, "train")
    assert found.quads.shape == (0, 4, 2)
    assert classes == ("ship", "car")
    assert not split_is_labelled(root, "train")
    (root / "images" / "a.png").unlink()
    with pytest.raises(AnnotationError, match=r"found no image 'a[.]png' below"):
        read_split(root, "train")
    empty = write(tmp_path / "empty", {"train.json": coco(images=[]), "b.png": None})
    with pytest.raises(AnnotationError, match="expected at least one image"):
        read_split(empty, "train")


def test_bad_lines_can_be_skipped(tmp_path: Path) -> None:
    lines = "0 0.175 0.15 0.25 0.1\n\n0 0.1 0.2\n7 0.175 0.15 0.25 0.1\n"
    root = write(tmp_path, {"images/a.png": None, "labels/a.txt": lines, "classes.txt": "ship"})
    with pytest.raises(AnnotationError, match=r"a.txt:3: expected a class and 8 coordinates"):
        read_split(root, "train")
    faults = Faults(skip=True)
    (found,), _ = read_split(root, "train", faults=faults)
    assert len(found.labels) == 1
    assert [message.partition(": ")[0][-5:] for message in faults.messages] == ["txt:3", "txt:4"]
