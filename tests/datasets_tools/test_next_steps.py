"""What `convert` and `check` say to type next can be typed, and leads to a data set that trains."""

import contextlib
import io
import shlex
from pathlib import Path

import pytest

from cfg.load import load_config
from dataloadR.demo.scenes import write_demo_scenes
from dataloadR.splits import load_split
from datasets_tools import check, convert, make_list
from datasets_tools.next_steps import class_setting, split_settings
from tests.datasets_tools.formats.text_samples import labelme, write_image


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo_scenes(tmp_path_factory.mktemp("data") / "demo", train=6, val=4, size=(96, 96))


def commands(text: str) -> list[list[str]]:
    """Return the commands of a text, each in words without `python`."""
    lines = [line.strip() for line in text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("python ")]


def check_training(words: list[str]) -> tuple[int, int]:
    """Return how many images both splits have for training with these words."""
    assert words[0] == "train_GGHL.py"
    data = load_config(None, words[1:]).data
    annotations, classes = load_split(data, data.train, data.classes)
    val, _ = load_split(data, data.val, classes)
    assert {"court", "vehicle", "ship"} >= set(classes) or len(classes) == 4
    assert any(len(annotation.labels) for annotation in annotations)
    return len(annotations), len(val)


@pytest.mark.parametrize("form", ["dota", "list", "yolo-obb", "coco"])
def test_with_splits_training_comes_next(
    form: str, demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    convert.main([str(demo), str(tmp_path / "a b"), "--from", "dota", "--to", form, "--processes", "1"])
    (train,) = commands(capsys.readouterr().out)
    assert check_training(train) == (6, 4)


@pytest.mark.parametrize("form", ["dota", "list", "yolo-obb", "coco"])
@pytest.mark.parametrize("source", ["train", "split"])
def test_without_splits_they_are_made_first(
    form: str, source: str, demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--from", "dota", "--to", form, "--processes", "1"]
    words += ["--split", "train"] if source == "split" else []
    convert.main([str(demo / "train"), str(tmp_path / "a b"), *words])
    text = capsys.readouterr().out
    split, train = commands(text)
    assert split[:2] == ["-m", "datasets_tools.make_list"]
    written = [Path(split[3]) / f"{name}.txt" for name in ("train", "val")]
    assert f"to write {written[0]} and {written[1]}:" in text
    make_list.main(split[2:])
    assert all(path.is_file() for path in written)
    assert sum(check_training(train)) == 6


def test_nothing_comes_next_where_nobody_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = labelme(tmp_path / "source")
    for target, words in (
        ("labelme", []),
        ("dota", ["--images", "none"]),
        ("dota", []),  # one image has a split, the other has none
    ):
        convert.main([str(source), str(tmp_path / target), "--from", "labelme", "--to", target, *words])
        assert not commands(capsys.readouterr().out)


def test_names_of_splits_and_classes() -> None:
    assert split_settings(["train", "val", "test"]) == []
    assert split_settings(["trainval", "test"]) == ["data.train=trainval", "data.val=test"]
    assert split_settings(["train"]) is None
    assert split_settings([]) is None
    for names in (["a-b", "c"], ["large vehicle", "1"], ["yes", "a: b", "é,"], []):
        assert load_config(None, [class_setting(names)]).data.classes == tuple(names)


def examine(root: Path, out: Path, *words: str) -> tuple[int, str]:
    with contextlib.redirect_stdout(io.StringIO()) as text:
        code = check.main([str(root), "--out", str(out), "--processes", "1", "--fast", *words])
    return code, text.getvalue()


def advised(text: str) -> list[str]:
    """Return the words of make_list's command in a report."""
    (line,) = [line for line in text.splitlines() if "datasets_tools.make_list" in line]
    return shlex.split(line.partition("datasets_tools.make_list")[2].partition(";")[0])


@pytest.mark.parametrize("form", ["dota", "yolo-obb"])
def test_check_reports_missing_splits_with_the_command(form: str, demo: Path, tmp_path: Path) -> None:
    root = tmp_path / "a b"
    convert.main([str(demo / "train"), str(root), "--from", "dota", "--to", form, "--processes", "1"])
    code, text = examine(root, tmp_path / "out")
    assert "[no-splits]" in text
    assert code == 0  # training begins, and warns
    make_list.main(advised(text))
    made = root if form == "dota" else root / "lists"
    assert f"then data.root={made}" in text
    code, text = examine(made, tmp_path / "out")
    assert "[no-splits]" not in text


def test_check_reports_a_missing_val_as_the_error_it_is(demo: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    words = ["--from", "dota", "--to", "dota", "--processes", "1", "--split"]
    convert.main([str(demo / "train"), str(root), *words, "train"])
    code, text = examine(root, tmp_path / "out")
    assert (code, "[split-missing]" in text) == (1, True)
    assert "val: found train" in text
    make_list.main(advised(text))
    assert "[split-missing]" not in examine(root / "train", tmp_path / "out")[1]
    assert "[split-missing]" not in examine(root, tmp_path / "out", "--splits", "train")[1]


def test_check_names_the_settings_of_other_names(tmp_path: Path) -> None:
    for split in ("trainval", "test"):
        write_image(tmp_path / "set" / split / "images" / f"{split}.png")
        (tmp_path / "set" / split / "labelTxt").mkdir()
        (tmp_path / "set" / split / "labelTxt" / f"{split}.txt").write_text("2 3 12 3 12 6 2 6 ship 0\n")
    _, text = examine(tmp_path / "set", tmp_path / "out")
    code = "split-names"
    assert f"[{code}]" in text
    assert "train with data.train=trainval data.val=test" in text
