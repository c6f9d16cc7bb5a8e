import re
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from dataloadR.annotations import read_everything, read_split
from datasets_tools.make_list import main
from tests.paths import DATA
from utils.drawing import save_image
from utils.errors import UserError

SHARES = ["--split", "train=0.5", "val=0.25", "test=0.25"]
SPLITS = ("train", "val", "test")


def add_images(folder: Path, count: int, first: int = 0) -> None:
    """Draw images of three videos; each has a ship, every other one a plane, flagged difficult."""
    for number in range(first, first + count):
        name = f"video{number % 3}_{number:02d}"
        save_image(folder / "images" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
        lines = ["1.1 1 5 1.3 5 4 1 4 ship 0", "2 2 6 2 6 6 2 6.25 plane 1"][: 1 + number % 2]
        (folder / "labelTxt").mkdir(exist_ok=True)
        (folder / "labelTxt" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    add_images(tmp_path / "my data", 12)
    return tmp_path / "my data"


def names_of(folder: Path) -> dict[str, list[str]]:
    return {path.stem: path.read_text().split("\n")[:-1] for path in folder.glob("*.txt")}


@pytest.mark.parametrize("by", ["image", "class"])
def test_each_image_is_in_exactly_one_split(root: Path, by: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = root / "ImageSets"
    main([str(root), str(out), *SHARES, "--format", "names", "--by", by])
    names = names_of(out)
    assert {split: len(rows) for split, rows in names.items()} == {"train": 6, "val": 3, "test": 3}
    assert sorted(chain(*names.values())) == sorted(p.stem for p in (root / "images").iterdir())
    assert sum(len(read_split(root, split)[0]) for split in SPLITS) == 12
    table = capsys.readouterr().out
    assert re.search(r"^images +6 \( 50\.0%\) +3 \( 25\.0%\) +3 \( 25\.0%\)$", table, re.MULTILINE)
    for label, name in enumerate(("plane", "ship")):
        found = [read_split(root, split, ("plane", "ship"))[0] for split in SPLITS]
        counts = [sum(int((a.labels == label).sum()) for a in annotations) for annotations in found]
        pattern = rf"^{name} +{counts[0]} \(.+\) +{counts[1]} \(.+\) +{counts[2]} \(.+\)$"
        assert re.search(pattern, table, re.MULTILINE), table
        assert sum(counts) == (6, 12)[label]


def test_the_seed_decides(root: Path, tmp_path: Path) -> None:
    found = []
    for number, seed in enumerate("0012"):
        out = tmp_path / str(number)
        main([str(root), str(out), *SHARES, "--format", "names", "--seed", seed])
        found.append(names_of(out))
    assert found[0] == found[1]
    assert found[0] != found[2]
    assert found[2] != found[3]


def test_groups_do_not_cross(root: Path, tmp_path: Path) -> None:
    words = ["--split", "train=0.67", "val=0.33", "--by", "group", "--group", r"^(video\d)_"]
    main([str(root), str(tmp_path / "out"), *words, "--format", "names"])
    videos = {split: {name[:6] for name in names} for split, names in names_of(tmp_path / "out").items()}
    assert not videos["train"] & videos["val"]
    assert len(videos["train"]) == 2
    main([str(root), str(tmp_path / "even"), *words, "--by", "class", "--format", "names"])
    videos = {split: {name[:6] for name in names} for split, names in names_of(tmp_path / "even").items()}
    assert not videos["train"] & videos["val"]


def test_lists_hold_what_the_labels_say(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (root / "lists", tmp_path / "else" / "where"):
        main([str(root), str(out), *SHARES])
        assert (out / "classes.txt").read_text() == "plane\nship\n"
        assert "data.classes: [plane, ship]" in capsys.readouterr().out
        whole = {Path(a.image_path).name: a for a in read_everything(root)[0]}
        for split in SPLITS:
            for annotation in read_split(out, f"{split}.txt", ("plane", "ship"))[0]:
                expected = whole.pop(Path(annotation.image_path).name)
                assert Path(annotation.image_path).is_file()
                assert annotation.labels.tolist() == expected.labels.tolist()
                for quad, truth in zip(annotation.quads, expected.quads, strict=True):
                    assert sorted(quad.tolist()) == sorted(truth.tolist())
        assert not whole
    lines = (root / "lists" / "train.txt").read_text().splitlines()
    assert all(line.startswith("images/video") for line in lines)


def test_a_list_becomes_lists(root: Path) -> None:
    main([str(root), str(root / "lists"), *SHARES])
    words = ["--split", "a=0.5", "b=0.5", "--classes", "plane", "ship"]
    main([str(root / "lists" / "train.txt"), str(root / "again"), *words])
    found = [len(read_split(root / "again", f"{split}.txt", ("plane", "ship"))[0]) for split in "ab"]
    assert found == [3, 3]


def test_folders_of_splits_are_dealt_out_anew(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 8)):
        add_images(tmp_path / split, 8, first)
    main([str(tmp_path), str(tmp_path / "lists"), *SHARES])
    counts = {split: len(rows) for split, rows in names_of(tmp_path / "lists").items()}
    assert counts == {"train": 8, "val": 4, "test": 4, "classes": 2}
    with pytest.raises(UserError, match="--format names: expected images in one folder, found 2"):
        main([str(tmp_path), str(tmp_path / "out"), *SHARES, "--format", "names"])


def test_no_objects_at_all(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (root / "labelTxt").iterdir():
        path.unlink()
    main([str(root), str(tmp_path / "out"), *SHARES, "--by", "class"])
    assert {split: len(rows) for split, rows in names_of(tmp_path / "out").items()} == {
        "train": 6, "val": 3, "test": 3, "classes": 0
    }  # fmt: skip
    assert "objects" in capsys.readouterr().out


def test_what_is_there_is_kept(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [str(root), str(out), *SHARES]
    main(words)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "val.txt").unlink()  # as if interrupted
    main(words)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    with pytest.raises(UserError, match=r"out: [23] files there with other contents, such as .*\.txt"):
        main([*words, "--seed", "1"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    main([*words, "--seed", "1", "--overwrite"])
    assert {path.name: path.read_bytes() for path in out.iterdir()} != before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "train=0.8", "val=0.1"], r"--split: expected shares that sum to 1, got 0\.9"),
        (["--split", "train=0.5", "train=0.5"], "expected each name once"),
        (["--split", "train=0.5", "classes=0.5"], "expected another name than 'classes'"),
        (["--split", "train=0.99", "val=0.01"], r"--split val=0\.01: no image is left for it; there are 12"),
        ([*SHARES, "--by", "group"], "--by group: expected --group REGEX"),
        ([*SHARES, "--group", "(v)"], "--group: expected --by group or --by class"),
        ([*SHARES, "--by", "group", "--group", "(x)"], "matches none of 12 image names such as 'video"),
        (
            [*SHARES, "--by", "group", "--group", "(v)"],
            "no image is left for it; there are 12 images in 1 unit",
        ),
        ([*SHARES, "--classes", "ship"], "unknown class 'plane'"),
    ],
)
def test_refusals(root: Path, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main([str(root), str(tmp_path / "out"), *words])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("word", ["train", "train=", "train=x", "train=0", "=1", "a/b=1", "x=nan"])
def test_words_that_are_no_share(root: Path, tmp_path: Path, word: str) -> None:
    with pytest.raises(SystemExit):
        main([str(root), str(tmp_path / "out"), "--split", word])


@pytest.mark.skipif(not (DATA / "hit-uav").exists(), reason=f"no {DATA / 'hit-uav'}")
@pytest.mark.slow
def test_real_classes_are_shared_out_evenly(tmp_path: Path) -> None:
    words = ["--split", "train=0.8", "val=0.2", "--format", "names"]
    annotations, _ = read_everything(DATA / "hit-uav")
    labels = {Path(a.image_path).stem: a.labels for a in annotations}
    misses = {}
    for by in ("image", "class"):
        main([str(DATA / "hit-uav"), str(tmp_path / by), *words, "--by", by])
        names = names_of(tmp_path / by)
        held = {s: np.bincount(np.concatenate([labels[n] for n in names[s]]), minlength=3) for s in names}
        misses[by] = np.abs(held["val"] / (held["train"] + held["val"]) - 0.2).max()
        assert abs(len(names["val"]) / len(labels) - 0.2) < 0.01
    assert misses["class"] < 0.005
    assert misses["class"] < misses["image"]


def test_what_cannot_be_a_seed(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main([str(root), str(tmp_path / "out"), *SHARES, "--seed", "-1"])
    assert not (tmp_path / "out").exists()


def test_a_folder_in_the_way_stays(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "val.txt").mkdir(parents=True)
    with pytest.raises(UserError, match=r"1 file there with other contents, such as .*val\.txt"):
        main([str(root), str(out), *SHARES])
    assert [path.name for path in out.iterdir()] == ["val.txt"]


def test_the_list_that_is_split_stays(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists"
    main([str(root), str(out), *SHARES])
    before = (out / "train.txt").read_bytes()
    with pytest.raises(UserError, match=r"train\.txt: belongs to .* and is never replaced"):
        main([str(out / "train.txt"), str(out), "--split", "train=0.5", "val=0.5", "--overwrite"])
    assert (out / "train.txt").read_bytes() == before


def test_name_files_never_go_among_labels(root: Path) -> None:
    before = {path.name: path.read_bytes() for path in (root / "labelTxt").iterdir()}
    with pytest.raises(UserError, match=r"labelTxt: expected a folder for SPLIT\.txt, got one for images"):
        main([str(root), str(root / "labelTxt"), *SHARES, "--overwrite"])
    assert {path.name: path.read_bytes() for path in (root / "labelTxt").iterdir()} == before
