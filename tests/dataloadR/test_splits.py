import logging
import re
from pathlib import Path

import numpy as np
import pytest

from cfg.schema import DataConfig
from dataloadR.label_lines import AnnotationError
from dataloadR.splits import load_split
from tests.dataloadR.damaged import EARLY, LATE, mutate, picture, write
from utils.errors import UserError

LINES = [
    b"9.0 20.0 33.0 8.0 36.0 14.0 12.0 26.0 ship 0",
    b"9 20 33 8 36 14 12 26 plane",
    b"1 9.5 20 33 8 36 14 12 26 2",
]
TOKENS = (
    b"images/good.png 9,8,36,26,0,33,8,36,14,12,26,9,20,0.37,153.4 9,8,36,26,1,33,8,36,14,12,26,9,20,0.37,3"
)


def good(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "good.png"
    path.write_bytes(picture(np.random.default_rng(0), ".png"))
    return path


def data(root: Path, on_error: str, **more: object) -> DataConfig:
    return DataConfig.model_validate({"root": str(root), "on_error": on_error, **more})


def stops(config: DataConfig, classes: tuple[str, ...]) -> str | None:
    """The message of the error that stops the reading."""
    try:
        load_split(config, "train", classes)
    except UserError as error:
        return str(error)
    return None


def test_300_damaged_files_are_left_out_and_listed_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = write(tmp_path / "images", EARLY, 300)
    kept = good(tmp_path / "images")
    annotations, _ = load_split(data(tmp_path, "skip"), "train", ())
    assert [a.image_path for a in annotations] == [str(kept)]
    report = next(r.getMessage() for r in caplog.records if "left out" in r.getMessage())
    assert "left out 300 files or lines" in report
    assert all(report.count(f"{path}: ") == 1 for path in bad)
    assert len(report.splitlines()) == 301
    kept.unlink()
    with pytest.raises(AnnotationError, match="at least one readable image"):
        load_split(data(tmp_path, "skip"), "train", ())
    assert len(load_split(data(tmp_path, "stop"), "train", ())[0]) == 300  # read as before: not looked at


@pytest.mark.parametrize("classes", [(), ("ship", "plane")])
def test_1000_mutated_label_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, classes: tuple[str, ...]
) -> None:
    good(tmp_path / "images")
    rng = np.random.default_rng(1)
    lines = [mutate(LINES[k % 3], rng) for k in range(1000)]
    labels = tmp_path / "labelTxt/good.txt"
    labels.parent.mkdir()
    alone, wrong = tmp_path / "alone", set()
    good(alone / "images")
    (alone / "labelTxt").mkdir()
    for number, line in enumerate(lines, 1):  # which of them stop a reading, one by one
        (alone / "labelTxt/good.txt").write_bytes(line)
        if message := stops(data(alone, "stop"), classes):
            assert "good.txt:1: " in message
            wrong.add(number)
    assert 300 < len(wrong) < 1000
    labels.write_bytes(b"\n".join(lines))
    caplog.clear()
    (annotation,), _ = load_split(data(tmp_path, "skip"), "train", classes)
    report = next(r.getMessage() for r in caplog.records if "left out" in r.getMessage())
    named = [int(number) for number in re.findall(r"^  .*?good\.txt:(\d+): ", report, re.MULTILINE)]
    assert len(named) == len(set(named))
    assert wrong <= set(named)  # more are possible: a line may mix names and indices of the whole file
    assert classes == () or set(named) == wrong
    assert np.isfinite(annotation.quads).all()
    assert len(annotation.quads) == len(annotation.labels) == len(annotation.difficult)


def test_mutated_list_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good(tmp_path / "images")
    rng = np.random.default_rng(2)
    lines = [TOKENS, *(mutate(TOKENS, rng) for _ in range(300))]
    (tmp_path / "train.txt").write_bytes(b"\n".join(lines))
    with caplog.at_level(logging.WARNING):
        annotations, _ = load_split(data(tmp_path, "skip", train="train.txt"), "train.txt", ())
    report = next(r.getMessage() for r in caplog.records if "left out" in r.getMessage())
    assert 1 <= len(annotations) < 301
    assert f"left out {301 - len(annotations)} files or lines" in report
    with pytest.raises(UserError, match=r"train\.txt:\d+: "):
        load_split(data(tmp_path, "stop"), "train.txt", ())


def test_only_the_training_images_are_not_decoded(tmp_path: Path) -> None:
    write(tmp_path / "images", LATE, 4)
    good(tmp_path / "images")
    assert len(load_split(data(tmp_path, "skip"), "train", ())[0]) == 5  # replaced while training
    assert len(load_split(data(tmp_path, "skip"), "val", ())[0]) == 1


def test_names_without_an_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good(tmp_path / "images")
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/train.txt").write_bytes(b"gone\ngood\n\xff\xfe\n")
    annotations, _ = load_split(data(tmp_path, "skip"), "train", ())
    assert len(annotations) == 1
    assert "train.txt:1: expected one image for 'gone'" in caplog.text
    assert "train.txt:3: expected UTF-8 text" in caplog.text
    with pytest.raises(AnnotationError, match=r"train\.txt:1: expected one image for 'gone'"):
        load_split(data(tmp_path, "stop"), "train", ())
