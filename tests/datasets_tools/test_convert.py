"""The command from the outside: what it leaves behind, and how it ends on bad input."""

import json
import os
import shutil
import sys
from inspect import signature
from pathlib import Path

import numpy as np
import pytest

from cfg.schema import Config
from dataloadR.annotations import read_split
from dataloadR.formats.angles import ANGLES
from dataloadR.formats.notes import Notes
from datasets_tools import convert, converting
from datasets_tools.known_formats import READERS, WRITERS, Reader, Writer, format_readers, writers
from tests.datasets_tools.formats.text_samples import (
    EXPECTED,
    QUAD,
    SAMPLES,
    coco,
    dota,
    labelme,
    write_files,
)
from utils.cli import run_script
from utils.errors import Faults, UserError
from utils.images import read_image

TRAINS_ON = ("dota", "list")


def run(source: Path, target: Path, source_format: str, target_format: str, *words: str) -> None:
    formats = ["--from", source_format, "--to", target_format, "--processes", "1"]
    convert.main([str(source), str(target), *formats, *words])


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("source_format", SAMPLES)
def test_every_pair_of_formats(source_format: str, tmp_path: Path) -> None:
    """Objects and images arrive; a conversion on to DOTA gives the same as the direct one."""
    source = SAMPLES[source_format](tmp_path / "source")
    run(source, tmp_path / "direct", source_format, "dota")
    direct = objects_of(tmp_path / "direct", "dota")
    assert len(direct) == len(EXPECTED[source_format])
    for target_format in writers((), "degrees"):
        target = tmp_path / target_format
        run(source, target, source_format, target_format)
        back = {"coco-rotated": "coco"}.get(target_format, target_format)
        run(target, tmp_path / f"{target_format}-dota", back, "dota")
        again = objects_of(tmp_path / f"{target_format}-dota", "dota")
        assert len(again) == len(direct)
        assert sorted(c for classes in again.values() for c in classes) == sorted(
            c for classes in direct.values() for c in classes
        )


def objects_of(root: Path, form: str) -> dict[str, list[str]]:
    """Return the classes of each image that has its file."""
    images = format_readers((), "degrees")[form](root, Faults(skip=False), Notes())
    assert form == "dota"
    found = {}
    for image in images:
        assert (root / image.split / "images" / image.name).is_file()
        found[f"{image.split}/{Path(image.name).stem}"] = image.classes
    return found


@pytest.mark.parametrize("source_format", SAMPLES)
@pytest.mark.parametrize("target_format", TRAINS_ON)
def test_the_result_can_be_trained_on(source_format: str, target_format: str, tmp_path: Path) -> None:
    source = SAMPLES[source_format](tmp_path / "source")
    run(source, tmp_path / "data", source_format, target_format, "--split", "train")
    splits = {split or "train" for split, _ in EXPECTED[source_format]}
    count = 0
    for split in splits:
        name = split if target_format == "dota" else f"{split}.txt"
        annotations, classes = read_split(tmp_path / "data", name)
        for annotation in annotations:
            assert read_image(annotation.image_path).shape == (30, 40, 3)
            count += len(annotation.labels)
            assert set(annotation.labels.tolist()) <= set(range(len(classes)))
    assert count == sum(map(len, EXPECTED[source_format].values()))


def test_the_readme_line_trains_on_the_result() -> None:
    """The splits that the samples are written as are those a training reads by default."""
    assert (Config().data.train, Config().data.val) == ("train", "val")


def test_classes_are_renamed_left_out_and_in_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = coco(tmp_path / "source")
    words = ["--map", "ship=boat", "--map", "large vehicle=", "--classes", "plane,boat"]
    run(source, tmp_path / "yolo", "coco", "yolo-obb", *words)
    assert "names:\n  0: plane\n  1: boat\n" in (tmp_path / "yolo/data.yaml").read_text()
    lines = (tmp_path / "yolo/labels/train/P1.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "1", "1"]
    assert "in one case, objects were left out by --map" in caplog.text
    assert "in one case, classes have no object: plane" in caplog.text
    run(source, tmp_path / "dota", "coco", "dota", "--classes", "large vehicle")
    assert (tmp_path / "dota/train/labelTxt/P1.txt").read_text() == "2 3 12 3 12 6 2 6 large-vehicle 2\n"
    assert "3 objects of the class 'ship' were left out" in caplog.text
    assert "in one case, class names with blanks got hyphens" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--map", "boat=ship"], "--map boat=...: no such class, found large vehicle, ship"),
        (["--map", "ship"], "--map ship: expected OLD=NEW"),
        (["--map", "ship=a", "--map", "ship=b"], "--map ship=b: expected OLD=NEW, each OLD once"),
        (["--classes", "a,b,a"], "expected each once, got 'a' twice"),
        (["--split", "../x"], "--split ../x: expected a word"),
        (["--image-dir", "nowhere"], "nowhere: expected a folder of images"),
    ],
)
def test_bad_words(words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(coco(tmp_path / "source"), tmp_path / "out", "coco", "dota", *words)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_names_of_indices_may_stand_in_a_file(tmp_path: Path) -> None:
    lists = {"list/train.txt": "images/a.png 0,0,4,4,1,0,0,4,0,4,4,0,4,1,0\n", "list/images/a.png": None}
    write_files(tmp_path, {**lists, "names.txt": "car\nship\n"})
    run(tmp_path / "list", tmp_path / "out", "list", "dota", "--names", str(tmp_path / "names.txt"))
    assert (tmp_path / "out/train/labelTxt/a.txt").read_text() == "0 0 4 0 4 4 0 4 ship 0\n"


@pytest.mark.parametrize(("mode", "links"), [("link", 2), ("copy", 1)])
def test_images_are_linked_or_copied(mode: str, links: int, tmp_path: Path) -> None:
    source = dota(tmp_path / "source")
    run(source, tmp_path / "out", "dota", "dota", "--images", mode)
    image = tmp_path / "out/train/images/P1.png"
    assert image.stat().st_nlink == links
    assert image.read_bytes() == (source / "images/P1.png").read_bytes()


def test_without_links_images_are_copied_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(Path, "symlink_to", refuse)
    run(dota(tmp_path / "source"), tmp_path / "out", "dota", "dota")
    assert (tmp_path / "out/train/images/P1.png").stat().st_nlink == 1
    assert "2 images were copied, as the file system has no links" in caplog.text


def test_across_file_systems_links_are_symbolic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("another device")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    source = dota(tmp_path / "source")
    run(source, tmp_path / "out", "dota", "dota")
    image = tmp_path / "out/train/images/P1.png"
    assert image.is_symlink()
    assert image.resolve() == (source / "images/P1.png").resolve()


def test_without_images_labels_need_none(tmp_path: Path) -> None:
    source = dota(tmp_path / "source")
    shutil.rmtree(source / "images")
    run(source, tmp_path / "out", "dota", "dota", "--images", "none")
    assert sorted(files_of(tmp_path / "out")) == ["train/labelTxt/P1.txt"]
    with pytest.raises(UserError, match=r"found no image 'P1'; say where it is with --image-dir"):
        run(source, tmp_path / "other", "dota", "dota")
    with pytest.raises(UserError, match="as the labels need its size"):
        run(source, tmp_path / "other", "dota", "yolo-obb", "--images", "none")
    assert not (tmp_path / "other").exists()


def test_a_list_without_images_names_the_originals(tmp_path: Path) -> None:
    source = dota(tmp_path / "source")
    run(source, tmp_path / "out", "dota", "list", "--images", "none")
    annotations, _ = read_split(tmp_path / "out", "train.txt")
    assert annotations[0].image_path == str((source / "images/P1.png").resolve())


def test_images_elsewhere_are_found_by_name(tmp_path: Path) -> None:
    source = labelme(tmp_path / "source")
    shutil.move(source / "images", tmp_path / "pictures")
    os.rename(tmp_path / "pictures/P1.png", tmp_path / "pictures/P1.jpg")  # noqa: PTH104
    shutil.copy(source / "val/P2.png", tmp_path / "pictures/P2.png")
    with pytest.raises(UserError, match=r"found no image 'images/P1.png'"):
        run(source, tmp_path / "out", "labelme", "dota")
    run(source, tmp_path / "out", "labelme", "dota", "--image-dir", str(tmp_path / "pictures"))
    assert (tmp_path / "out/images/P1.jpg").is_file()


def test_of_images_of_one_name_the_split_decides_or_it_is_an_error(tmp_path: Path) -> None:
    line = "1 2 3 4 5 6 7 8 ship 0\n"
    files = {f"{split}/{name}": None for split in ("train", "val") for name in ("images/a.png",)}
    labels = {"train/labelTxt/a.txt": line, "val/labelTxt/a.txt": line}
    source = write_files(tmp_path / "source", {**files, **labels})
    (source / "val/images/a.png").write_bytes((source / "val/images/a.png").read_bytes() + b"other")
    run(source, tmp_path / "out", "dota", "dota")
    for split in ("train", "val"):
        path = f"{split}/images/a.png"
        assert (tmp_path / "out" / path).read_bytes() == (source / path).read_bytes()
    with pytest.raises(UserError, match=r"a: expected one image of this name, found .* and .*"):
        run(source / "train/labelTxt", tmp_path / "x", "dota", "dota", "--image-dir", str(source))


def test_running_again_changes_nothing_and_other_files_are_not_overwritten(tmp_path: Path) -> None:
    source, target = dota(tmp_path / "source"), tmp_path / "out"
    run(source, target, "dota", "dota", "--images", "copy")
    before = files_of(target)
    run(source, target, "dota", "dota", "--images", "copy")
    assert files_of(target) == before
    (target / "train/labelTxt/P1.txt").write_text("1 1 5 1 5 5 1 5 ship 0\n")
    mine = files_of(target)
    with pytest.raises(
        UserError, match=r"1 file there with other contents, such as .*P1.txt; choose another"
    ):
        run(source, target, "dota", "dota")
    assert files_of(target) == mine
    run(source, target, "dota", "dota", "--overwrite")
    assert files_of(target) == before


def test_a_source_can_be_its_own_target(tmp_path: Path) -> None:
    source = dota(tmp_path / "source")
    images = {name: data for name, data in files_of(source).items() if name.endswith(".png")}
    run(source, source, "dota", "coco")
    run(source, source, "dota", "list", "--images", "none")
    found = files_of(source)
    assert {"annotations/instances_train.json", "train.txt", "images/train/P1.png"} <= set(found)
    assert images.items() <= found.items()


def test_what_is_converted_is_never_replaced(tmp_path: Path) -> None:
    """Neither in the folder itself, nor one above or through a link; --overwrite changes nothing in that."""
    source = labelme(tmp_path / "data")
    for path in source.rglob("*.json"):  # whose pictures inside would be lost
        path.write_text(path.read_text().replace('"imageData": null', '"imageData": "AAAA"'))
    before = files_of(source)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "val").symlink_to(source / "val")
    for folder, target in ((source, source), (source / "val", source), (source, tmp_path / "linked")):
        with pytest.raises(UserError, match=r"\.json: belongs to .* and is never replaced"):
            run(folder, target, "labelme", "xanylabeling", "--split", "val", "--overwrite")
    assert files_of(source) == before


def test_a_target_inside_the_source_would_be_read_again(tmp_path: Path) -> None:
    source = labelme(tmp_path / "source")
    with pytest.raises(UserError, match=r"out: expected a folder outside .*source"):
        run(source, source / "out", "labelme", "xanylabeling")
    assert not (source / "out").exists()


def test_suffixes_in_capitals_are_read(tmp_path: Path) -> None:
    source = labelme(tmp_path / "source")
    run(source, tmp_path / "small", "labelme", "dota")
    for path in list(source.rglob("*.json")):
        path.rename(path.with_suffix(".JSON"))
    run(source, tmp_path / "capitals", "labelme", "dota")
    assert files_of(tmp_path / "capitals") == files_of(tmp_path / "small")


def test_names_with_dots_are_different_images(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("P1.v2", "P1.v3"):
        (source / f"{name}.txt").write_text("20.5 5 30 9.25 26 18 16.5 13.75 car 0\n")
    run(source, tmp_path / "out", "dota", "dota", "--images", "none")
    assert set(files_of(tmp_path / "out")) == {"labelTxt/P1.v2.txt", "labelTxt/P1.v3.txt"}


def test_the_first_bad_label_stops_before_anything_is_written(tmp_path: Path) -> None:
    source = dota(tmp_path / "source")
    (source / "labelTxt/P2.v2.txt").write_text("1 2 3\n")
    with pytest.raises(UserError, match=r"P2.v2.txt:1: expected 8 coordinates"):
        run(source, tmp_path / "out", "dota", "coco")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_with_skip_bad_labels_and_images_are_left_out_and_listed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = dota(tmp_path / "source")
    (source / "labelTxt/P1.txt").write_text("1 2 3 4 5 6 7 ship 0\n20.5 5 30 9.25 26 18 16.5 13.75 car\n")
    (source / "images/P2.v2.png").write_bytes(b"no image")
    (source / "labelTxt/P3.txt").write_text("")
    run(source, tmp_path / "out", "dota", "coco", "--on-error", "skip")
    document = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())
    assert [row["segmentation"] for row in document["annotations"]] == [[QUAD]]
    assert "left out 3 files or lines" in caplog.text
    for name in ("P1.txt:1", "P2.v2.png", "'P3'"):
        assert name in caplog.text


def test_an_interrupted_run_leaves_no_labels_and_the_next_one_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = dota(tmp_path / "source"), tmp_path / "out"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(converting, "move_files", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(source, target, "dota", "dota")
    assert sorted(files_of(target)) == ["train/images/P1.png", "val/images/P2.v2.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]
    run(source, target, "dota", "dota")
    assert len(files_of(target)) == 4


def test_names_that_only_folders_tell_apart_get_them(tmp_path: Path) -> None:
    run(SAMPLES["ucas-aod"](tmp_path / "source"), tmp_path / "out", "ucas-aod", "dota")
    names = sorted(path.name for path in (tmp_path / "out/images").iterdir())
    assert names == ["CAR_P0001.png", "Neg_P0001.png", "PLANE_P0001.png"]


@pytest.mark.parametrize("name", ["..", "a" * 300 + ".png", "."])
def test_names_no_file_can_have_are_errors(name: str, tmp_path: Path) -> None:
    document = {"images": [{"id": 1, "file_name": name, "width": 4, "height": 4}], "annotations": []}
    source = write_files(tmp_path / "source", {"a.json": {**document, "categories": []}})
    with pytest.raises(UserError, match=r"source: expected an image name of 1 to 200 bytes"):
        run(source, tmp_path / "out", "coco", "dota", "--images", "none")


def test_the_same_image_twice_is_an_error(tmp_path: Path) -> None:
    lines = "images/a.png\nimages/a.png 0,0,4,4,2,0,0,4,0,4,4,0,4,1,0\n"  # other than one line twice
    source = write_files(tmp_path / "source", {"a.txt": lines, "images/a.png": None})
    with pytest.raises(UserError, match=r"expected each image once, got 'images/a.png' and 'images/a.png'"):
        run(source, tmp_path / "out", "list", "dota")


def test_no_images_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write_files(tmp_path / "source", {"a.json": {"images": [], "annotations": [], "categories": []}})
    for form in writers((), "degrees"):
        run(source, tmp_path / form, "coco", form)
        assert (tmp_path / form).is_dir()
    assert "data set has no images" in caplog.text


def test_what_cannot_be_written_is_an_error_that_names_the_target(tmp_path: Path) -> None:
    source = dota(tmp_path / "source")
    (source / "labelTxt/P1.txt").write_text("2 3 12 3 12 6 2 6 ship\x13 0\n")
    with pytest.raises(UserError, match=r"out/annotations.xml: expected characters that XML can hold"):
        run(source, tmp_path / "out", "dota", "cvat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="out: expected a folder to write, got a file"):
        run(dota(tmp_path / "source"), tmp_path / "out", "dota", "dota")
    assert (tmp_path / "out").read_text() == "mine"


def test_the_script_ends_with_its_summary_or_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = dota(tmp_path / "source")
    words = ["convert", str(source), str(tmp_path / "out"), "--from", "dota", "--to", "coco"]
    monkeypatch.setattr(sys, "argv", words)
    assert run_script(convert.main) == 0
    summary = capsys.readouterr().out.splitlines()
    assert summary == [
        f"{tmp_path / 'out'}: 2 images, 3 objects",
        "  train: 1 image",
        "  val: 1 image",
        "  large-vehicle: 1 object",
        "  ship: 2 objects",
        "train on it:",
        f"  python train_GGHL.py data.root={tmp_path / 'out'}",
    ]
    monkeypatch.setattr(sys, "argv", [*words[:1], str(tmp_path / "nowhere"), *words[2:]])
    assert run_script(convert.main) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"error: {tmp_path / 'nowhere'}: no such folder"


def test_quads_in_huge_images_keep_a_hundredth_of_a_pixel(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    quads = rng.uniform(0, 30_000, (50, 8))
    lines = "".join(f"{' '.join(map(repr, quad.tolist()))} ship 0\n" for quad in quads)
    source = write_files(tmp_path / "source", {"labelTxt/a.txt": lines, "images/a.png": None})
    for form in ("coco", "labelme", "list", "xanylabeling", "yolo-obb"):
        run(source, tmp_path / form, "dota", form)
        run(tmp_path / form, tmp_path / f"{form}-back", form, "dota")
        (path,) = (tmp_path / f"{form}-back").rglob("a.txt")
        back = np.array([line.split()[:8] for line in path.read_text().splitlines()], float)
        order = np.sort if form == "list" else np.asarray  # a list turns the vertices
        np.testing.assert_allclose(order(back), order(quads), atol=1e-4)


def test_the_words_of_the_command_line_are_those_that_are_known() -> None:
    """They stand in `convert` as text, so that --help need not load what reads and writes them."""
    assert sorted(ANGLES) == list(convert.ANGLES)


@pytest.mark.parametrize("side", [*READERS.values(), *WRITERS.values()])
def test_formats_take_what_they_are_given(side: Reader | Writer) -> None:
    assert set(side.takes) <= set(signature(side.function()).parameters)
