"""Whole recipes, from a tree like the download to the zip or the trained network, on small images."""

import importlib
import json
import re
import shlex
import shutil
import subprocess
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import test as evaluation
import train_GGHL
from dataloadR.annotations import find_splits, read_split
from dataloadR.demo.scenes import write_demo_scenes
from tests.datasets_tools.test_recipe_trees import RECIPES

ROOT = Path(__file__).parents[1]
TINY = {"data.image_size": "64", "data.max_downscale": "100", "data.workers": "0", "model.size": "nano"}
TINY |= {"train.epochs": "1", "train.batch_size": "4", "train.eval_every": "1"}
NAMES = {"court": "tennis-court", "vehicle": "small-vehicle", "plane": "plane", "ship": "ship"}  # of DOTA
HEADER = "imagesource:GoogleEarth\ngsd:0.146343590398\n"


def lines_of(section: str, root: Path) -> list[list[str]]:
    """Return the commands of a section for a data folder of our own."""
    text = re.split(r"^## ", RECIPES.partition(f"\n## {section}\n")[2], flags=re.MULTILINE)[0]
    lines = re.findall(r"^(?:mkdir|cp|python) .+$", text, re.MULTILINE)
    return [shlex.split(line.replace("/data/", f"{root}/")) for line in lines]


def run(words: list[str]) -> None:
    """Run one command in the working folder; trainings are tiny."""
    if words[0] != "python":
        subprocess.run(words, check=True)
    elif words[1] == "-m":
        assert not importlib.import_module(words[2]).main(words[3:])
    elif words[1] == "test.py":
        evaluation.main(words[2:])
    else:
        kept = [word for word in words[2:] if word.partition("=")[0] not in TINY]
        kept = [str(ROOT / word) if word.endswith(".yaml") else word for word in kept]
        train_GGHL.main([*kept, *(f"{key}={value}" for key, value in TINY.items())])


def dota_download(root: Path) -> dict[str, int]:
    """Write DOTA as it comes, in parts; return the objects of train and val."""
    scenes = write_demo_scenes(root / "scenes", train=3, val=2, size=(1000, 900))
    objects = {}
    for split in ("train", "val"):
        base = root / "DOTA_original" / split
        texts = sorted((scenes / split / "labelTxt").iterdir())
        objects[split] = 0
        for number, text in enumerate(texts):
            name = f"P{number if split == 'train' else 1000 + number:04}"
            place = base / "images" / f"part{number % 2 + 1}" / "images" / f"{name}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place), cv2.imread(str(scenes / split / "images" / f"{text.stem}.jpg")))
            rows = [row for line in text.read_text().splitlines() if len(row := line.split()) == 10]
            names = [NAMES[row[8]] if split == "train" else "ship" for row in rows]  # which train has, too
            lines = "".join(f"{' '.join(row[:8])} {n} {row[9]}\n" for row, n in zip(rows, names, strict=True))
            objects[split] += len(rows)
            for folder in ("labelTxt-v1.0/labelTxt", f"labelTxt-v1.5/DOTA-v1.5_{split}"):
                (base / folder).mkdir(parents=True, exist_ok=True)
                (base / folder / f"{name}.txt").write_text(HEADER + lines)
            boxes = base / "labelTxt-v1.0" / f"{split}set_reclabelTxt"
            boxes.mkdir(parents=True, exist_ok=True)
            (boxes / f"{name}.txt").write_text(HEADER + "1 1 9 1 9 9 1 9 ship 0\n")
    rng = np.random.default_rng(0)
    for part in (1, 2):
        folder = root / "DOTA_original/test/images" / f"part{part}" / "images"
        folder.mkdir(parents=True)
        assert cv2.imwrite(str(folder / f"P000{part}.png"), rng.integers(0, 255, (900, 1000, 3), np.uint8))
    return objects


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder, with a working folder beside it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


@pytest.mark.slow
def test_dota_from_the_download_to_the_zip(data: Path) -> None:
    objects = dota_download(data)
    for words in lines_of("DOTA v1.0", data):
        run(words)
    for split, count in objects.items():
        annotations, classes = read_split(data / "DOTA", split)
        assert sum(len(annotation.labels) for annotation in annotations) == count
        assert set(classes) <= set(NAMES.values())
    assert find_splits(data / "DOTA_800") == ["test", "train", "trainval", "val"]
    tiles = {split: len(read_split(data / "DOTA_800", split)[0]) for split in ("train", "val", "trainval")}
    assert tiles == {"train": 3 * 4, "val": 2 * 4, "trainval": 5 * 4}  # an image of 1000 x 900 is four of 800
    metrics = json.loads(Path("runs/dota/eval-val/metrics.json").read_text())
    assert metrics["protocol"]["images"] == tiles["val"]
    assert len(metrics["protocol"]["classes"]) == 15
    assert not Path("runs/dota-trainval/eval-test/metrics.json").exists()  # nobody has the labels of test
    with zipfile.ZipFile("runs/task1.zip") as file:
        assert len(file.namelist()) == 15
        rows = [line.split() for name in file.namelist() for line in file.read(name).decode().splitlines()]
    assert {row[0] for row in rows} <= {"P0001", "P0002"}  # whole images, no tiles
    merged = sum(len(p.read_text().splitlines()) for p in Path("runs/dota-trainval/merged").glob("*.txt"))
    assert len(rows) == merged


@pytest.mark.slow
def test_dota_15_and_2(data: Path) -> None:
    objects = dota_download(data)
    for words in lines_of("DOTA v1.5 and v2.0", data):
        if any("DOTA2" in word for word in words) and not (data / "DOTA2").exists():
            shutil.copytree(data / "DOTA15", data / "DOTA2")  # whose labels are converted likewise
        run(words)
    for name in ("DOTA15", "DOTA2"):
        annotations, _ = read_split(data / name, "train")
        assert sum(len(annotation.labels) for annotation in annotations) == objects["train"]
    assert len(json.loads(Path("runs/dota2/eval-val/metrics.json").read_text())["protocol"]["classes"]) == 18


AI_TOD = ("airplane", "bridge", "storage-tank", "ship", "swimming-pool", "vehicle", "person", "wind-mill")


def ai_tod_download(root: Path, folders: dict[str, str]) -> dict[str, int]:
    """Write AI-TOD as its toolkit leaves it: COCO JSON with upright boxes; return the objects of each split.

    Args:
        folders: of the images of each split.
    """
    rng, numbers = np.random.default_rng(0), {"train": range(6), "val": range(6, 8), "test": range(8, 10)}
    numbers["trainval"] = range(8)
    objects: dict[str, list[list[int]]] = {}
    for split in ("train", "val", "test"):
        (root / "AI-TOD" / folders[split]).mkdir(parents=True, exist_ok=True)
        for number in numbers[split]:
            image = rng.integers(60, 90, (800, 800, 3), np.uint8)
            boxes = []
            for _ in range(12 if number else 0):  # one image without objects
                (x, y), (w, h) = rng.integers(20, 760, 2).tolist(), rng.integers(3, 24, 2).tolist()
                image[y : y + h, x : x + w] = 220
                boxes.append([x, y, w, h])
            objects[str(number)] = boxes
            assert cv2.imwrite(str(root / "AI-TOD" / folders[split] / f"{number:05}.png"), image)
    (root / "AI-TOD/annotations").mkdir()
    for split, rows in numbers.items():
        images = [{"id": n, "file_name": f"{n:05}.png", "width": 800, "height": 800} for n in rows]
        boxes = [(n, box) for n in rows for box in objects[str(n)]]
        nodes = [
            {"id": k + 1, "image_id": n, "category_id": k % 8 + 1, "bbox": box, "area": box[2] * box[3]}
            | {"iscrowd": 0, "segmentation": []}
            for k, (n, box) in enumerate(boxes)
        ]
        kinds = [{"id": k + 1, "name": name, "supercategory": name} for k, name in enumerate(AI_TOD)]
        document = {"info": {}, "images": images, "annotations": nodes, "categories": kinds}
        (root / "AI-TOD/annotations" / f"aitod_{split}_v1.json").write_text(json.dumps(document))
    return {split: sum(len(objects[str(n)]) for n in rows) for split, rows in numbers.items()}


AI_TOD_FOLDERS = [
    {split: split for split in ("train", "val", "test")},
    {split: f"images/{split}" for split in ("train", "val", "test")},
    {"train": "trainval", "val": "trainval", "test": "test"},
]


@pytest.mark.parametrize("folders", AI_TOD_FOLDERS)
def test_ai_tod_is_read_as_it_comes(folders: dict[str, str], data: Path) -> None:
    objects = ai_tod_download(data, folders)
    assert find_splits(data / "AI-TOD") == ["test", "train", "trainval", "val"]
    for split, count in objects.items():
        annotations, classes = read_split(data / "AI-TOD", split)
        assert classes == AI_TOD
        assert sum(len(annotation.labels) for annotation in annotations) == count
        quads = np.concatenate([annotation.quads for annotation in annotations])
        sides = np.ptp(quads, axis=1)
        assert (sides >= 3).all()
        assert (quads == quads.round()).all()  # upright boxes in whole pixels, as they were written
    labels = np.concatenate([annotation.labels for annotation in read_split(data / "AI-TOD", "test")[0]])
    assert labels.tolist() == [k % 8 for k in range(24)]


@pytest.mark.slow
def test_ai_tod_from_the_download_to_its_figures(data: Path) -> None:
    objects = ai_tod_download(data, AI_TOD_FOLDERS[0])
    for words in lines_of("AI-TOD", data):
        run(words)
    metrics = json.loads(Path("runs/ai_tod-gghl_pro/eval-test/metrics.json").read_text())
    assert metrics["protocol"]["classes"] == list(AI_TOD)
    assert metrics["protocol"]["objects"] == objects["test"]
    values = metrics["task1"]
    assert list(values["coco"]["AR"]) == ["1", "100", "1500"]
    sizes = {name: sum(row["objects"].values()) for name, row in values["sizes"]["ai_tod"].items()}
    assert sum(sizes.values()) >= objects["test"]
    assert "Size, as in AI-TOD" in Path("runs/ai_tod-gghl_pro/eval-test/metrics.txt").read_text()
    assert json.loads(Path("runs/check/ai-tod/check.json").read_text())["verdict"].startswith("0 errors")


def labelme_export(root: Path) -> int:
    """Write what an annotator has: a folder of pictures, each with its JSON beside it; return the objects."""
    scenes = write_demo_scenes(root / "scenes", train=20, val=1, size=(160, 160))
    folder = root / "ships_labelme"
    folder.mkdir()
    objects = 0
    for number, text in enumerate(sorted((scenes / "train/labelTxt").iterdir())):
        name = f"harbour_{number:02}.jpg"
        shutil.copy(scenes / "train/images" / f"{text.stem}.jpg", folder / name)
        rows = [row for line in text.read_text().splitlines() if len(row := line.split()) == 10]
        shapes = [
            {
                "label": row[8],
                "points": np.array(row[:8], float).reshape(4, 2).tolist(),
                "group_id": None,
                "description": "",
                "shape_type": "polygon",
                "flags": {},
                "mask": None,
            }
            for row in rows
        ]
        document = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": None}
        document |= {"imageHeight": 160, "imageWidth": 160}
        (folder / f"{Path(name).stem}.json").write_text(json.dumps(document))
        objects += len(rows)
    return objects


@pytest.mark.slow
def test_your_own_data_from_labelme_to_a_network(data: Path) -> None:
    objects = labelme_export(data)
    for words in lines_of("Your own data", data):
        run(words)
    found = {split: read_split(data / "ships", split)[0] for split in find_splits(data / "ships")}
    counts = {split: len(annotations) for split, annotations in found.items()}
    assert sum(counts.values()) == 20  # dealt out by their classes, so not to the image
    assert counts["train"] >= 14
    assert min(counts.values()) >= 1
    assert set(counts) == {"train", "val", "test"}
    assert sum(len(a.labels) for annotations in found.values() for a in annotations) == objects
    assert len(list(Path("runs/show/ships").glob("harbour*.png"))) == counts["train"]
    assert Path("runs/show/ships/contact_sheet.png").is_file()
    assert json.loads(Path("runs/check/ships/check.json").read_text())["verdict"].startswith("0 errors")
    assert (next(Path("runs").glob("*/best.pt"))).is_file()


@pytest.mark.slow
def test_the_two_lines_for_each_data_set(data: Path) -> None:
    write_demo_scenes(data / "mine", train=12, val=2, size=(96, 96))
    for words in lines_of("What is the same for all", data):
        run(words)
    assert Path("runs/check/mine/check.html").is_file()
    assert len(list(Path("runs/show/mine").glob("*.png"))) == 12 + 1
