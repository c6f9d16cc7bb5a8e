"""Splits are found however a program spells them, in each place that names them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from dataloadR.annotations import read_split
from dataloadR.formats.yolo_folders import find_yolo
from dataloadR.split_names import called_alike
from datasets_tools.convert import main
from tests.datasets_tools.formats.text_samples import write_files

LINE = "1 2 9 2 9 5 1 5 ship 0\n"
YOLO = "0 0.2 0.2 0.5 0.25 0.48 0.5 0.18 0.45\n"


def labels_of(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("labelTxt/*.txt"))


def convert(source: Path, form: str, *options: str) -> list[str]:
    target = source.with_name(f"{source.name}_new")
    main([str(source), str(target), "--from", form, "--to", "dota", *options])
    return labels_of(target)


@pytest.mark.parametrize(
    ("split", "names", "expected"),
    [
        ("val", ["train", "valid"], "valid"),
        ("train", ["Train", "Test"], "Train"),
        ("val", ["Validation", "val"], "val"),
        ("validation", ["val"], "val"),
        ("test", [], "test"),
        ("fold1", ["fold2"], "fold1"),
    ],
)
def test_synonyms(split: str, names: Sequence[str], expected: str) -> None:
    assert called_alike(split, names) == expected


def cvat(root: Path, folders: Sequence[str], subsets: Sequence[str]) -> Path:
    shape = '<polygon label="ship" points="1,2;9,2;9,5;1,5"></polygon>'
    images = [
        f'<image id="0" name="a.png" subset="{subset}" width="40" height="30">{shape}</image>'
        for subset in subsets
    ]
    pictures = {f"images/{folder}/a.png": None for folder in folders}
    return write_files(root, {"annotations.xml": f"<annotations>{''.join(images)}</annotations>", **pictures})


@pytest.mark.parametrize(
    ("folders", "subsets", "splits"),
    [
        (("Train", "Validation"), ("Train", "Validation"), ("train", "val")),
        (("train", "valid"), ("Train", "Val"), ("train", "val")),
        (("Train", "Fold 2"), ("train", "fold 2"), ("fold-2", "train")),
    ],
)
def test_images_of_one_name_in_folders_of_subsets(
    folders: Sequence[str], subsets: Sequence[str], splits: Sequence[str], tmp_path: Path
) -> None:
    source = cvat(tmp_path / "set", folders, subsets)
    assert convert(source, "cvat") == [f"{split}/labelTxt/a.txt" for split in splits]


def test_splits_are_ignored_when_asked_for(tmp_path: Path) -> None:
    source = cvat(tmp_path / "set", ("Train", "Test"), ("Train", "Test"))
    assert convert(source, "cvat", "--splits", "ignore") == ["labelTxt/test_a.txt", "labelTxt/train_a.txt"]
    boxes = {"annotations.xml": (source / "annotations.xml").read_text(), "images/Test/a.png": None}
    write_files(tmp_path / "again", {**boxes, "images/Train/a.png": None})
    new = convert(tmp_path / "again", "cvat", "--splits", "ignore", "--split", "val")
    assert new == ["val/labelTxt/test_a.txt", "val/labelTxt/train_a.txt"]


@pytest.mark.parametrize("folder", ["valid", "Val", "validation", "val"])
def test_folders_of_splits_are_read_by_any_synonym(folder: str, tmp_path: Path) -> None:
    files = {f"{folder}/images/a.png": None, f"{folder}/labelTxt/a.txt": LINE}
    write_files(tmp_path, {**files, "Train/images/b.png": None, "Train/labelTxt/b.txt": LINE * 2})
    assert [len(a.labels) for a in read_split(tmp_path, "val")[0]] == [1]
    assert [len(a.labels) for a in read_split(tmp_path, "train")[0]] == [2]


def test_name_files_of_splits_are_read_by_any_synonym(tmp_path: Path) -> None:
    files = {"images/a.png": None, "images/b.png": None, "labelTxt/a.txt": LINE, "labelTxt/b.txt": ""}
    sets = {"ImageSets/Train.txt": "a\n", "ImageSets/valid.txt": "b\n"}
    source = write_files(tmp_path / "set", {**files, **sets})
    assert [a.image_path[-5:] for a in read_split(source, "val")[0]] == ["b.png"]
    assert convert(source, "dota") == ["train/labelTxt/a.txt", "val/labelTxt/b.txt"]
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>5</ymax></bndbox>"
    text = f"<annotation><object><name>ship</name>{box}</object></annotation>"
    sets = {"ImageSets/Main/Training.txt": "a\n", "ImageSets/Main/validation.txt": "b\n"}
    files = {"JPEGImages/a.png": None, "JPEGImages/b.png": None}
    source = write_files(
        tmp_path / "voc", {**files, **sets, "Annotations/a.xml": text, "Annotations/b.xml": text}
    )
    assert convert(source, "voc") == ["train/labelTxt/a.txt", "val/labelTxt/b.txt"]


@pytest.mark.parametrize("yaml", ["train: ../train/images\nval: ../valid/images\nnames: ['ship']\n", None])
def test_yolo_of_roboflow_is_its_own_folder_not_its_neighbour(yaml: str | None, tmp_path: Path) -> None:
    files = {"train/images/a.png": None, "train/labels/a.txt": YOLO}
    files |= {"valid/images/b.png": None, "valid/labels/b.txt": YOLO, **({"data.yaml": yaml} if yaml else {})}
    source = write_files(tmp_path / "set", files)
    write_files(tmp_path, {"train/images/other.png": None, "train/labels/other.txt": YOLO})
    assert find_yolo(source).splits == {
        "train": (source / "train/images",),
        "val": (source / "valid/images",),
    }
    assert convert(source, "yolo") == ["train/labelTxt/a.txt", "val/labelTxt/b.txt"]


def test_coco_of_roboflow_keeps_its_splits(tmp_path: Path) -> None:
    def document(name: str) -> dict[str, object]:
        box = {"id": 0, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 12], "segmentation": []}
        image = {"id": 1, "width": 40, "height": 30, "file_name": name}
        return {"images": [image], "categories": [{"id": 1, "name": "ship"}], "annotations": [box]}

    files = {f"{folder}/_annotations.coco.json": document("a.png") for folder in ("Train", "valid", "test")}
    pictures = {f"{folder}/a.png": None for folder in ("Train", "valid", "test")}
    source = write_files(tmp_path / "set", {**files, **pictures})
    assert convert(source, "coco") == [f"{split}/labelTxt/a.txt" for split in ("test", "train", "val")]
    assert all(len(read_split(source, split)[0]) == 1 for split in ("train", "val", "test"))
