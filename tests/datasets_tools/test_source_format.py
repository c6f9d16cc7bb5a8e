"""The format of a source is told from its files, and none is taken for another."""

from pathlib import Path
from typing import Any

import pytest

from dataloadR.annotations import read_everything, read_split
from dataloadR.foreign import recognise
from dataloadR.label_lines import AnnotationError
from datasets_tools import convert
from datasets_tools.source_format import find_format
from tests.datasets_tools.formats import text_samples
from tests.datasets_tools.formats.test_xml_convert import write_sample
from tests.datasets_tools.formats.text_samples import QUAD, write_files
from tests.datasets_tools.formats.xml_samples import SAMPLES as XML
from tests.datasets_tools.test_foreign import command_of
from utils.errors import UserError

CORNERS = ",".join(map(str, QUAD))
UCAS = "\t".join(f"{value:.6e}" for value in [*QUAD, 24.1, 16.5, 5, 13.5, 13])  # as the files have them
VISDRONE = "4,5,10,6,1,4,0,0\n20,8,4,4,0,0,0,0\n"
TREES: dict[str, tuple[str, dict[str, Any], int]] = {  # format, files, objects
    "visdrone": (
        "visdrone",
        {
            "VisDrone2019-DET-train/images/a.jpg": None,
            "VisDrone2019-DET-train/annotations/a.txt": VISDRONE,
            "VisDrone2019-DET-val/images/b.jpg": None,
            "VisDrone2019-DET-val/annotations/b.txt": VISDRONE.replace("\n", ",\r\n"),  # as some files end
        },
        4,
    ),
    "visdrone in one folder": ("visdrone", {"images/a.jpg": None, "annotations/a.txt": VISDRONE}, 2),
    "visdrone beside images": ("visdrone", {"a.jpg": None, "a.txt": VISDRONE, "b.jpg": None, "b.txt": ""}, 2),
    "icdar 2015": (
        "icdar",
        {
            "ch4_training_images/img_1.jpg": None,
            "ch4_training_images/img_2.JPG": None,
            "ch4_training_gt/gt_img_1.txt": f"\ufeff{CORNERS},Fish, Chips\r\n{CORNERS},###\r\n",
            "ch4_training_gt/gt_img_2.txt": f"{CORNERS},2026\n{CORNERS},Fish\n",
        },
        4,
    ),
    "icdar mlt": (
        "icdar",
        {"images/a.png": None, "gt/a.txt": f"{CORNERS},Latin,Fish\n{CORNERS},Arabic,###\n"},
        2,
    ),
    "text with one flag": ("icdar", {"a.png": None, "a.txt": f'{CORNERS},1,"###"\n{CORNERS},0,"Fish"\n'}, 2),
    "text without a word": ("icdar", {"images/img_3.png": None, "gt/gt_img_3.txt": f"{CORNERS}\n"}, 1),
    "ucas-aod integrated": (
        "ucas-aod",
        {
            "AllImages/P0001.png": None,
            "AllImages/P0002.png": None,
            "Annotations/P0001.txt": f"car  {UCAS}\t\n",
            "Annotations/P0002.txt": f"airplane {UCAS}\n",
            "ImageSets/train.txt": "P0001\n",
            "ImageSets/test.txt": "P0002\n",
        },
        2,
    ),
}


@pytest.mark.parametrize("case", TREES)
def test_text_formats_are_recognised_by_every_command(case: str, tmp_path: Path) -> None:
    form, files, objects = TREES[case]
    root = write_files(tmp_path / "data", files)
    found = recognise(root)
    assert found is not None
    assert found.kind == form
    with pytest.raises(AnnotationError, match=f"--from {form} --to dota") as caught:
        read_split(root, "train")
    convert.main([*command_of(caught.value), "--processes", "1"])
    assert sum(len(a.labels) for a in read_everything(f"{root}_dota")[0]) == objects
    convert.main([str(root), str(tmp_path / "new"), "--to", "dota", "--processes", "1"])
    assert listing(tmp_path / "new") == listing(Path(f"{root}_dota"))
    example = found.example.relative_to(root)
    if form != "ucas-aod":  # whose lines alone do not say that they are some
        one = recognise(root / example)
        assert one is None or one.kind == form


def listing(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("labelTxt/*.txt")}


def test_illegible_and_difficult_texts(tmp_path: Path) -> None:
    lines = ["###", "Latin,###", "Fish,###", '1,"Fish"', '0,"###"', "1,Fish", "Fish", "None,###"]
    text = "".join(f"{CORNERS},{line}\n" for line in lines)
    root = write_files(tmp_path / "data", {"a.png": None, "a.txt": text})
    convert.main([str(root), str(tmp_path / "new"), "--from", "icdar", "--to", "dota", "--processes", "1"])
    (annotation,) = read_everything(tmp_path / "new")[0]
    assert annotation.difficult.tolist() == [1, 1, 1, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{VISDRONE}{CORNERS}\n", r"VisDrone has them \(--from visdrone\) and lines as ICDAR.*--from icdar"),
        ("1,2,10,6,1,4,0,0\n20,8,4,4,0,12,0,0\n", "--from visdrone.*--from icdar"),  # there is no category 12
        (f"{CORNERS},1\n{CORNERS},0\n", "more than 8 numbers.*--from icdar"),
        ("1,4,5,10,6,1,4,0,0,0\n", "more than 8 numbers.*not read"),  # VisDrone's videos
        (f"{CORNERS},ship,0\n{CORNERS},car,1\n", "a word between commas.*--from icdar.*--from dota"),
        (f"{CORNERS},ship\n{CORNERS},car\n" * 2, "a word between commas"),
    ],
)
def test_what_may_be_two_formats_is_an_error_that_names_them(
    text: str, expected: str, tmp_path: Path
) -> None:
    root = write_files(tmp_path / "data", {"images/a.png": None, "annotations/a.txt": text})
    for read in (lambda: recognise(root), lambda: read_split(root, "train"), lambda: find_format(root)):
        with pytest.raises(AnnotationError, match=expected) as caught:
            read()
        assert str(root / "annotations/a.txt") in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "files",
    [
        {"a.png": None, "b.txt": VISDRONE},  # no image of this name
        {"a.png": None, "a.txt": "a ship, 2 boats, 3, 4, 5, 6, 7, 8\n"},
        {"a.png": None, "a.txt": "1,2,3,4,5,6,7\n"},
        {"a.png": None, "a.txt": ",".join(map(str, range(28))) + ",####word\n"},  # a polygon of 14 points
        {"AllImages/a.png": None, "Annotations/a.txt": "1 2 3\n"},
        {"AllImages/a.png": None, "Annotations/a.txt": f"{UCAS} 3\n"},
        {"images/a.png": None, "Annotations/P0001.txt": f"car {UCAS}\n"},
    ],
)
def test_other_texts_are_none_of_them(files: dict[str, Any], tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", files)
    assert recognise(root) is None
    with pytest.raises(UserError, match="could not tell the format from the files; say it: --from FORMAT"):
        convert.main([str(root), str(tmp_path / "new"), "--to", "dota"])


def test_polygons_and_scores_between_commas_are_errors(tmp_path: Path) -> None:
    polygon = ",".join(map(str, range(14)))
    root = write_files(tmp_path / "data", {"a.png": None, "a.txt": f"{polygon},####word\n"})
    with pytest.raises(UserError, match=r"a.txt:1: expected 8 coordinates and a text"):
        convert.main([str(root), str(tmp_path / "new"), "--from", "icdar", "--to", "dota"])
    write_files(root, {"a.txt": "10,20,30,5,0.87,4,-1,-1\n"})  # what a detector found
    with pytest.raises(UserError, match=r"a.txt:1: expected 0 or 1 for the score, .* got '0.87'"):
        convert.main([str(root), str(tmp_path / "new"), "--from", "visdrone", "--to", "dota"])


@pytest.mark.parametrize("form", [*text_samples.SAMPLES, *XML])
def test_every_format_converts_alike_without_its_name(form: str, tmp_path: Path) -> None:
    root = tmp_path / "data"
    if form in text_samples.SAMPLES:
        text_samples.SAMPLES[form](root)
    else:
        write_sample(form, root)
    assert find_format(root).form == form
    for name, words in (("a", ["--from", form]), ("b", [])):
        convert.main([str(root), str(tmp_path / name), *words, "--to", "dota", "--processes", "1"])
    assert listing(tmp_path / "a") == listing(tmp_path / "b") != {}


def test_files_of_their_own_and_what_is_not_there(tmp_path: Path) -> None:
    root = text_samples.SAMPLES["list"](tmp_path / "list")
    assert find_format(root / "train.txt").form == "list"
    root = text_samples.SAMPLES["dota"](tmp_path / "dota")
    assert find_format(root / "labelTxt").form == "dota"
    root = text_samples.SAMPLES["labelme"](tmp_path / "labelme")
    assert find_format(root / "labels/P1.json") == ("labelme", root / "labels/P1.json", None)
    with pytest.raises(UserError, match="no such file or folder"):
        find_format(tmp_path / "nowhere")
    label = f"{' '.join(map(str, QUAD))} ship 0\n"
    with pytest.raises(UserError, match="call it labelTxt"):
        find_format(write_files(tmp_path / "odd", {"images/a.png": None, "labels/a.txt": label}))
