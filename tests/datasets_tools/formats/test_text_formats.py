"""Each text and JSON format is read as its documentation says; expected quads were worked out by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataloadR.formats.coco import read_coco
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.yolo import read_yolo
from dataloadR.formats.yolo_folders import read_names
from datasets_tools.formats.label_studio import read_label_studio
from datasets_tools.formats.labelme import read_labelme
from datasets_tools.known_formats import format_readers
from tests.datasets_tools.formats.text_samples import (
    EXPECTED,
    HEIGHT,
    QUAD,
    SAMPLES,
    TURNED,
    WIDTH,
    label_studio,
    labelme,
    write_files,
    yolo,
)
from utils.errors import Faults, UserError


def read(form: str, source: Path, skip: bool = False, **settings: Any) -> tuple[list[LabelledImage], Notes]:
    notes = Notes()
    names, angle = settings.get("names", ()), settings.get("angle", "degrees")
    return list(format_readers(names, angle)[form](source, Faults(skip), notes)), notes


@pytest.mark.parametrize("form", SAMPLES)
def test_the_sample_says_what_was_worked_out_by_hand(form: str, tmp_path: Path) -> None:
    images, _ = read(form, SAMPLES[form](tmp_path))
    assert {(image.split, image.name) for image in images} == set(EXPECTED[form])
    for image in images:
        objects = EXPECTED[form][image.split, image.name]
        assert image.quads.dtype == np.float64
        assert image.difficult.dtype == np.int8
        assert image.size in (None, (HEIGHT, WIDTH))
        assert image.classes == [name for name, _, _ in objects]
        assert image.difficult.tolist() == [flag for _, _, flag in objects]
        expected = np.array([quad for _, quad, _ in objects], np.float64).reshape(-1, 4, 2)
        np.testing.assert_allclose(image.quads, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "source"),
    [
        ("coco", "annotations/instances_train2017.json"),
        ("dota", "labelTxt"),
        ("label-studio", "export.json"),
        ("labelme", "labels/P1.json"),
        ("list", "train.txt"),
        ("yolo-obb", "data.yaml"),
    ],
)
def test_one_file_or_folder_of_labels_is_a_source_too(form: str, source: str, tmp_path: Path) -> None:
    images, _ = read(form, SAMPLES[form](tmp_path) / source)
    assert sum(len(image.classes) for image in images) == max(map(len, EXPECTED[form].values()))


@pytest.mark.parametrize("form", SAMPLES)
def test_a_source_that_is_not_there_is_named(form: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        read(form, tmp_path / "nowhere")


def test_dota_layouts(tmp_path: Path) -> None:
    line = "1 2 3 4 5 6 7 8 ship 0\n"
    files = {"train/labelTxt/a.txt": line, "valid/labelTxt/a.txt": line, "test/images/b.tif": None}
    images, _ = read("dota", write_files(tmp_path / "folders", {**files, "test/labelTxt/c.txt": ""}))
    assert [(image.split, image.name) for image in images] == [
        ("test", "b.tif"),
        ("test", "c"),
        ("train", "a"),
        ("val", "a"),
    ]
    files = {"JPEGImages/a.b.png": None, "Annotations/a.b.txt": "1 1 2 3 4 5 6 7 8\n"}
    sets = {"ImageSets/Main/train.txt": "a.b.png\n", "ImageSets/Main/trainval.txt": "a.b\n"}
    (image,), _ = read("dota", write_files(tmp_path / "voc", {**files, **sets}), names=["car", "ship"])
    assert (image.split, image.name, image.classes) == ("train", "a.b.png", ["ship"])


def test_class_indices_without_names_get_some(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.txt": "x.png 0,0,4,4,2,0,0,4,0,4,4,0,4,1,0\n"})
    (image,), _ = read("list", tmp_path)
    assert image.classes == ["class2"]
    (image,), _ = read("list", tmp_path, names=["a", "b", "c"])
    assert image.classes == ["c"]


@pytest.mark.parametrize(
    ("angle", "value"),
    [("degrees", 30), ("radians", 0.5235988), ("degrees-ccw", -30), ("radians-ccw", -0.5235988)],
)
def test_angles_of_rotated_boxes(angle: str, value: float, tmp_path: Path) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [20, 15, 10, 4, value]}],
        "categories": [{"id": 1, "name": "ship"}],
    }
    (image,), _ = read("coco", write_files(tmp_path, {"a.json": document}), angle=angle)
    np.testing.assert_allclose(image.quads[0].ravel(), TURNED, atol=1e-5)


def test_segmentations_of_several_parts_masks_and_polygons(tmp_path: Path) -> None:
    row = {"image_id": 1, "category_id": 1}
    octagon = [10, 0, 20, 0, 30, 10, 30, 20, 20, 30, 10, 30, 0, 20, 0, 10]
    document = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [
            {**row, "segmentation": [[0, 0, 1, 0, 1, 1], QUAD]},
            {**row, "segmentation": {"counts": [5, 2], "size": [5, 5]}, "bbox": [1, 2, 3, 4]},
            {**row, "segmentation": [octagon]},
        ],
        "categories": [{"id": 1, "name": "ship"}],
    }
    (image,), notes = read("coco", write_files(tmp_path, {"a.json": document}))
    assert image.quads[0].ravel().tolist() == QUAD
    assert image.quads[1].tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]
    assert len(notes.counts) == 3


BAD_COCO = [
    ("images[0].file_name", 5, "a text"),
    ("images[0].id", None, "the key 'id'"),
    ("annotations[0].category_id", 2, "the id of a category"),
    ("annotations[0].image_id", "x", "the id of an image"),
    ("annotations[0].bbox", [1, 2, 3], "cx, cy, width, height and angle"),
    ("annotations[0].bbox", [1, 2, -3, 4], "at least 0"),
    ("annotations[0].bbox[2]", float("nan"), "a finite number"),
    ("annotations[0].bbox[0]", 1e12, "at most 1e[+]07"),
    ("annotations[0].bbox[1]", "7", "a number"),
    ("annotations[0].difficult", 3, "0, 1 or 2"),
    ("annotations[0].iscrowd", "no", "true or false"),
    ("annotations[0].segmentation", [[1, 2, 3, 4, 5]], "an even number"),
    ("categories", {}, "a list"),
    ("images[0].width", 3.5, "a whole number"),
    ("annotations[0].bbox", [1, 2, 3, 4, 361], "at most a full turn"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD_COCO)
def test_bad_values_are_named_by_file_and_key(key: str, value: Any, message: str, tmp_path: Path) -> None:
    document: Any = {
        "images": [{"id": 1, "file_name": "a.png", "width": 5, "height": 5}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4, 5]}],
        "categories": [{"id": 1, "name": "ship"}],
    }
    place = document
    *parents, last = key.replace("[", ".").replace("]", "").split(".")
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    place[int(last) if last.isdigit() else last] = value
    (tmp_path / "a.json").write_text(json.dumps(document))
    named = key.partition("[0].id")[0] if value is None else key
    with pytest.raises(UserError, match=message) as caught:
        list(read_coco(tmp_path / "a.json", Faults(skip=False), Notes()))
    assert f"a.json: {named}" in str(caught.value)
    faults = Faults(skip=True)
    list(read_coco(tmp_path / "a.json", faults, Notes()))
    assert faults.messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n"b" 2}', "a.json:2: expected JSON, got expecting ':' delimiter in column 5"),
        ('{"a":\n"\xff"}', "a.json:2: expected UTF-8 text"),
        ("[" * 100_000, "a.json: expected JSON of an ordinary depth"),
        ("[" + "1" * 5000 + "]", "a.json: expected JSON of an ordinary depth and numbers"),
        ("[]", "a.json: expected an object with keys"),
        ("", "a.json:1: expected JSON"),
    ],
)
def test_files_that_are_no_json(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as caught:
        list(read_coco(path, Faults(skip=False), Notes()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.1 0.1 0.2 0.1 0.9", "P1.txt:1: expected a class and 8 coordinates, the 4 numbers of a box"),
        ("0 0.5 0.5 -0.1 0.2", "P1.txt:1: expected a width and a height of at least 0"),
        ("2 0 0 1 0 1 1 0 1", "P1.txt:1: expected a class index below 2, got 2"),
        ("0 0 0 1 0 x 1 0 1", "P1.txt:1: expected a number for x3, got 'x'"),
        ("-1 0 0 1 0 1 1 0 1", "P1.txt:1: expected a whole number for the class index, got '-1'"),
    ],
)
def test_bad_yolo_lines(line: str, message: str, tmp_path: Path) -> None:
    (yolo(tmp_path) / "labels/train/P1.txt").write_text(f"{line}\n")
    with pytest.raises(UserError) as caught:
        list(read_yolo(tmp_path, Faults(skip=False), Notes()))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [a\n", "data.yaml:2: expected YAML"),
        ("names: {1: a}\n", "expected a list of names"),
        ("", "names"),
    ],
)
def test_bad_names_of_yolo(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_names(tmp_path / "data.yaml")
    assert read_names(tmp_path / "none.yaml") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\t2\t3", "CAR/P0001.txt:1: expected 13 numbers, got 3"),
        ("\t".join("abcdefghijklm"), "CAR/P0001.txt:1: expected a number for x1, got 'a'"),
    ],
)
def test_bad_ucas_lines(line: str, message: str, tmp_path: Path) -> None:
    (SAMPLES["ucas-aod"](tmp_path) / "CAR/P0001.txt").write_text(line)
    with pytest.raises(UserError) as caught:
        read("ucas-aod", tmp_path)
    assert message in str(caught.value)


def test_objects_among_the_negatives_are_an_error(tmp_path: Path) -> None:
    write_files(SAMPLES["ucas-aod"](tmp_path), {"Neg/P0001.txt": "\t".join("1234567890123")})
    with pytest.raises(UserError, match=r"Neg/P0001.txt:1: expected images without objects"):
        read("ucas-aod", tmp_path)


def test_other_shapes_are_counted_and_bad_ones_named(tmp_path: Path) -> None:
    path = labelme(tmp_path) / "labels/P1.json"
    _, notes = read("labelme", tmp_path)
    assert notes.counts == {"shapes of the type 'circle' were left out": 1}
    document = json.loads(path.read_text())
    document["shapes"][0]["points"] = [[1, 2], [3, 4]]
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=r"P1.json: shapes\[0\].points: expected a polygon of at least 3"):
        list(read_labelme(tmp_path, Faults(skip=False), Notes()))
    faults = Faults(skip=True)
    images = list(read_labelme(tmp_path, faults, Notes()))
    assert [len(image.classes) for image in images] == [1, 0]
    assert len(faults.messages) == 1


@pytest.mark.parametrize("written", ["../../etc/P1.png", "/far/away/P1.png", "C:\\pictures\\P1.png"])
def test_image_paths_from_other_machines_keep_their_name(written: str, tmp_path: Path) -> None:
    path = labelme(tmp_path) / "labels/P1.json"
    path.write_text(json.dumps({"shapes": [], "imagePath": written}))
    (image,), _ = read("labelme", path)
    assert Path(image.name).name == "P1.png"


def test_label_studio_counts_what_it_leaves_out_and_refuses_turned_images(tmp_path: Path) -> None:
    _, notes = read("label-studio", label_studio(tmp_path))
    assert notes.counts == {"results of the type 'keypointlabels' were left out": 1}
    text = (tmp_path / "export.json").read_text()
    (tmp_path / "export.json").write_text(text.replace('"image_rotation": 0', '"image_rotation": 90', 1))
    with pytest.raises(
        UserError, match=r"\[0\].annotations\[1\].result\[0\].image_rotation: expected an image that"
    ):
        list(read_label_studio(tmp_path, Faults(skip=False), Notes()))
