"""Other tools' data sets are recognised by every command, and what it says to type works."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from dataloadR.annotations import read_everything, read_named, read_split
from dataloadR.foreign import DIRECT, FOREIGN_KINDS, NOT_CONVERTED, Foreign, recognise
from dataloadR.formats import sniff
from dataloadR.formats.sniff import json_kind, read_ends, xml_kind
from dataloadR.label_lines import AnnotationError
from datasets_tools import check, convert, make_list, show
from datasets_tools.doctor.files import locate_splits
from datasets_tools.split_sources import find_large_images as find_images
from tests.datasets_tools.formats import text_samples
from tests.datasets_tools.formats.test_xml_convert import draw, write_sample
from tests.datasets_tools.formats.text_samples import BOX, write_files
from tests.datasets_tools.formats.xml_samples import SAMPLES as XML
from utils.cli import run_script
from utils.errors import Faults

TEXTS = {form: write for form, write in text_samples.SAMPLES.items() if form not in ("dota", "list")}


def write(form: str, root: Path) -> Path:
    if form in TEXTS:
        return TEXTS[form](root)
    write_sample(form, root)
    return root


def command_of(error: BaseException | str) -> list[str]:
    """Return the words after the module's name in the command that a message ends with."""
    words = shlex.split(str(error)[str(error).index("python -m datasets_tools.convert") :])
    return words[3:]


@pytest.mark.parametrize("form", [*TEXTS, *XML])
def test_each_format_is_recognised_and_the_command_converts_it(form: str, tmp_path: Path) -> None:
    root = write(form, tmp_path / "my data")
    found = recognise(root)
    assert found is not None
    assert found.kind == form
    if form == "yolo-obb":  # nothing is lost
        assert len(read_everything(root)[0]) == 2
        return
    with pytest.raises(AnnotationError) as caught:
        read_everything(root)
    assert "\n" not in str(caught.value)
    assert FOREIGN_KINDS[found.kind] in str(caught.value) or found.kind in DIRECT
    words = command_of(caught.value)
    assert words[1] == str(tmp_path / "my data_dota")
    convert.main([*words, "--processes", "1"])
    annotations, _ = read_everything(words[1])
    assert sum(len(annotation.labels) for annotation in annotations) > 0


def test_every_command_says_the_same_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write("labelme", tmp_path / "data")
    lines = set()
    for main, words in (
        (check.main, [str(root)]),
        (show.main, [str(root), str(tmp_path / "look")]),
        (make_list.main, [str(root), str(tmp_path / "lists"), "--split", "train=1"]),
    ):
        monkeypatch.setattr(sys, "argv", ["tool", *words])
        assert run_script(main) == 2
        lines.add(capsys.readouterr().err.splitlines()[-1])
    (line,) = lines
    assert line == (
        f"error: {root}: found labelme JSON (such as {root / 'labels/P1.json'}), which is converted first: "
        f"python -m datasets_tools.convert {root} {root}_dota --from labelme --to dota"
    )
    with pytest.raises(AnnotationError, match="found labelme JSON"):
        read_named(root, ["P1"], "train")
    with pytest.raises(AnnotationError, match="found labelme JSON"):
        find_images(root, [], [], Faults(skip=False))


def test_our_own_layouts_are_ours_whatever_lies_beside_them(tmp_path: Path) -> None:
    label = " ".join(map(str, BOX)) + " ship 0\n"
    files: dict[str, Any] = {"images/a.png": None, "labelTxt/a.txt": label, "notes.json": {"shapes": []}}
    root = write_files(
        tmp_path, {**files, "labels/a.txt": "0 0.5 0.5 0.1 0.1", "data.yaml": "names: [a]\nnc: 1"}
    )
    assert recognise(root) is None
    assert read_split(root, "train")[1] == ("ship",)
    for name in ("train/labelTxt", "val/labelTxt"):
        (tmp_path / "split" / name).mkdir(parents=True)
    assert recognise(tmp_path / "split") is None
    voc = {"JPEGImages/a.png": None, "Annotations/a.txt": label, "Annotations/a.xml": "<annotation><bndbox>"}
    assert recognise(write_files(tmp_path / "voc", voc)) is None


def test_images_with_nothing_known_beside_them_are_ours(tmp_path: Path) -> None:
    files = {"images/a.png": None, "a.json": {"a": 1}, "images/a.tif.aux.xml": "<PAMDataset/>", "b.json": []}
    root = write_files(tmp_path, {**files, "captions.txt": "a ship\n"})
    assert recognise(root) is None
    assert recognise(tmp_path / "nowhere") is None


def test_dior_with_both_kinds_of_boxes_is_converted_from_the_oriented_ones(tmp_path: Path) -> None:
    """Horizontal and oriented files are called alike, and would both be read."""
    root = tmp_path / "DIOR-R"
    for name, form in (("Oriented Bounding Boxes", "dior-r"), ("Horizontal Bounding Boxes", "rolabelimg")):
        path = root / "Annotations" / name / "P1.xml"
        path.parent.mkdir(parents=True)
        path.write_text(XML[form][1])
    draw(root / "JPEGImages-trainval" / "P1.jpg")
    with pytest.raises(AnnotationError, match="DIOR-R XML") as caught:
        read_split(root, "train")
    words = command_of(caught.value)
    assert words[0] == str(root / "Annotations" / "Oriented Bounding Boxes")
    convert.main([*words, "--processes", "1"])
    assert len(read_everything(tmp_path / "DIOR-R_dota")[0]) == 1


def test_what_is_not_converted_is_said(tmp_path: Path) -> None:
    label = " ".join(map(str, BOX)) + " ship 0\n"
    root = write_files(tmp_path / "dota", {"images/a.png": None, "labels/a.txt": f"imagesource:x\n{label}"})
    with pytest.raises(AnnotationError, match="call it labelTxt"):
        read_split(root, "train")
    assert not set(NOT_CONVERTED) & set(DIRECT)


def test_odd_files_are_nothing_and_never_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.json", "a.xml", "data.yaml", "images/a.txt"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "b.json").write_bytes(b"\xff\x00" * 1000)
    (tmp_path / "c.json").mkdir()
    (tmp_path / "d.json").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "e.json").symlink_to(tmp_path / "nowhere")
    (tmp_path / "f.txt").write_bytes(bytes(range(256)) * 300)
    (tmp_path / "g.yaml").write_text("names: [")
    (tmp_path / "h.yaml").write_text("#" * (2 << 20))
    assert recognise(tmp_path) is None
    assert recognise(tmp_path / "a.json") is None  # no ordinary file
    for name in ("b.json", "d.json", "g.yaml", "h.yaml"):
        with pytest.raises(AnnotationError, match="expected a data set's folder"):
            recognise(tmp_path / name)
    assert recognise(tmp_path / "f.txt") is None

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    assert recognise(tmp_path) is None


def test_labels_are_found_among_more_images_than_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sniff, "MAX_KEPT", 3)
    document = {"images": [], "annotations": [], "categories": []}
    root = write_files(tmp_path, {"train/_annotations.coco.json": document})
    for number in range(50):
        (root / "train" / f"{number}.jpg").touch()
    found = recognise(root)
    assert found is not None
    assert found.kind == "coco"


def test_a_huge_file_is_told_from_its_ends(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.write(b'{"annotations": [' + b" " * 1000)
        file.seek(4 << 30)
        file.write(b'{}], "categories": [], "images": []}')
    assert len(read_ends(path)) == 1 << 17
    assert json_kind(path) == "coco"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"shapes": [], "imagePath": "a.png"}', "labelme"),
        ('\ufeff {"shapes": [{"direction": 1}], "imagePath": "a.png"}', "xanylabeling"),
        ('[{"data": {}, "annotations": []}]', "label-studio"),
        ('{"images": [], "annotations": [{"caption": "a ship"}]}', ""),
        ('{"type": "FeatureCollection", "features": []}', ""),
        ("[1, 2]", ""),
    ],
)
def test_kinds_of_json(text: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert json_kind(tmp_path / "a.json") == kind


def test_kinds_of_xml_without_objects(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<annotation><filename>a.png</filename></annotation>")
    (tmp_path / "b.xml").write_text("<project><a/></project>")
    assert xml_kind(tmp_path / "a.xml") == "rolabelimg"
    assert xml_kind(tmp_path / "b.xml") == ""


def test_single_files_and_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write("label-studio", tmp_path / "data")
    with pytest.raises(AnnotationError) as caught:
        read_split(root / "export.json", "train")
    words = command_of(caught.value)
    assert words[:2] == [str(root / "export.json"), str(root / "export_dota")]
    convert.main([*words, "--processes", "1"])
    assert len(read_everything(words[1])[0]) == 2
    monkeypatch.chdir(write("labelme", tmp_path / "boats"))
    with pytest.raises(AnnotationError) as caught:
        read_split(".", "train")
    assert command_of(caught.value)[:2] == [".", str(tmp_path / "boats_dota")]
    with pytest.raises(AnnotationError) as caught:
        read_split("labels/P1.json", "train")
    assert command_of(caught.value)[0] == "labels"


def test_check_reads_both_as_they_are(tmp_path: Path) -> None:
    root = write("yolo-obb", tmp_path / "yolo")
    assert list(locate_splits(root)) == ["train", "val"]
    assert check.main([str(root), "--out", str(tmp_path / "out"), "--processes", "1", "--fast"]) in (0, 1)
    report = json.loads((tmp_path / "out" / "check.json").read_text())
    assert report["classes"] == ["car", "ship"]
    assert isinstance(recognise(root / "data.yaml"), Foreign)


def test_a_format_of_another_suffix_is_recognised_by_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files of the folder are read: of those that the marks do not match none is left out."""
    monkeypatch.setitem(sniff.KIND_OF, ".quads", lambda path: "quads" if path.stat().st_size else "")
    monkeypatch.setitem(FOREIGN_KINDS, "quads", "quads by line")
    root = write_files(tmp_path / "data", {"train.quads": "a.png ship", "val.quads": "", "a.png": None})
    assert recognise(root) == Foreign(root, "quads", root / "train.quads", root, root)
    assert recognise(root / "train.quads") == Foreign(
        root / "train.quads", "quads", root / "train.quads", root
    )
