"""The commands of docs/recipes.md that prepare a data set, run on small trees like the real downloads."""

import importlib
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dataloadR.annotations import find_splits, read_split
from tests.datasets_tools.formats.text_samples import ucas_aod, write_files
from tests.datasets_tools.formats.xml_samples import DIOR_R, HRSC2016, ROLABELIMG, SSDD

RECIPES = (Path(__file__).parents[2] / "docs/recipes.md").read_text()


def named(text: str, name: str) -> str:
    return text.replace(">P1", f">{name}")


def hrsc(root: Path) -> None:
    names = {"train": "100000001", "val": "100000002", "test": "100000003"}
    files = {f"FullDataSet/Annotations/{name}.xml": named(HRSC2016, name) for name in names.values()}
    images = {f"FullDataSet/AllImages/{name}.bmp": None for name in names.values()}
    write_files(root / "HRSC2016_original", {**files, **images})
    sets = {f"ImageSets/{split}.txt": f"{name}\n" for split, name in names.items()}
    write_files(root / "HRSC2016_original", sets)


def dior(root: Path) -> None:
    names = {"train": "00001", "val": "00002", "test": "11726"}
    folder = "Annotations/Oriented Bounding Boxes"
    files = {f"{folder}/{name}.xml": named(DIOR_R, name) for name in names.values()}
    images = {f"JPEGImages-{'test' if s == 'test' else 'trainval'}/{n}.jpg": None for s, n in names.items()}
    sets = {f"ImageSets/Main/{split}.txt": f"{name}\n" for split, name in names.items()}
    write_files(root / "DIOR-R_original", {**files, **images, **sets})


def sku(root: Path) -> None:
    for split in ("train", "val", "test"):
        image = {"id": 1, "file_name": f"{split}_0.jpg", "width": 40, "height": 30}
        item = {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [14, 10, 12, 10],
            "rbbox": [20, 15, 9, 4, 30],
        }
        document = {"images": [image], "annotations": [item], "categories": [{"id": 1, "name": "object"}]}
        files = {f"annotations/sku110k-r_{split}.json": document, f"images/{split}_0.jpg": None}
        write_files(root / "SKU110K_original", files)


def ssdd(root: Path) -> None:
    for split, name in (("train", "000002"), ("test", "000001")):
        files = {f"Annotations_{split}/{name}.xml": named(SSDD, name), f"JPEGImages_{split}/{name}.jpg": None}
        write_files(root / "SSDD_original/RBox_SSDD/voc_style", files)


def ucas(root: Path) -> None:
    source = ucas_aod(root / "UCAS-AOD_original")
    write_files(source, {f"Neg/P{number:04}.png": None for number in range(2, 12)})


def hit_uav(root: Path) -> None:
    names = ["0_100_30_0_03260", "0_100_30_0_03261", "1_60_30_0_00009", "1_70_60_1_00010", "0_80_90_0_00011"]
    text = ROLABELIMG.replace(">storage tank", ">Car")
    classes = ["Person", "Car", "Bicycle", "OtherVehicle", "DontCare"]
    files = {
        f"Annotations/{n}.xml": named(text, n).replace(">ship", f">{c}")
        for n, c in zip(names, classes, strict=True)
    }
    images = {f"JPEGImages/{n}.jpg": None for n in names}
    sets = {"train": names[:1], "val": names[1:2], "test": names[2:], "trainval": names[:2]}
    lists = {f"ImageSets/Main/{split}.txt": "\n".join(listed) for split, listed in sets.items()}
    write_files(root / "HIT-UAV_original/rotate_xml", {**files, **images, **lists})


TREES: dict[str, tuple[Callable[[Path], None], str, list[str]]] = {  # of each section: tree, result, splits
    "HRSC2016": (hrsc, "HRSC2016", ["test", "train", "trainval", "val"]),
    "DIOR-R": (dior, "DIOR-R", ["test", "train", "val"]),
    "SKU110K-R": (sku, "SKU110K-R", ["test", "train", "val"]),
    "SSDD": (ssdd, "SSDD", ["test", "train"]),
    "UCAS-AOD": (ucas, "UCAS-AOD", ["test", "train", "val"]),
    "HIT-UAV": (hit_uav, "HIT-UAV", ["train", "val"]),
}


def commands(section: str, root: Path) -> list[list[str]]:
    text = re.split(r"^## ", RECIPES.partition(f"\n## {section}\n")[2], flags=re.MULTILINE)[0]
    lines = re.findall(
        r"^(?:mkdir|cp|python -m datasets_tools\.(?:convert|make_list)) .+$", text, re.MULTILINE
    )
    return [shlex.split(line.replace("/data/", f"{root}/")) for line in lines]


@pytest.mark.parametrize("section", TREES)
def test_the_commands_prepare_the_tree(section: str, tmp_path: Path) -> None:
    make, name, splits = TREES[section]
    make(tmp_path)
    for words in commands(section, tmp_path):
        if words[0] == "python":
            importlib.import_module(words[2]).main(words[3:])
        else:
            subprocess.run(words, check=True)
    assert find_splits(tmp_path / name) == splits
    assert all(read_split(tmp_path / name, split)[0] for split in splits)
