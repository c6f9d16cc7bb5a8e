"""How a script reads its words and how it ends."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from cfg.load import ConfigError
from utils.cli import (
    finite_number,
    parse_options,
    parse_words,
    pick_device,
    run_script,
    user_line,
    whole_number,
)
from utils.errors import UserError
from utils.images import ImageError


class Broken(Dataset[int]):
    """Fails on its only item as a missing image does."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        raise ImageError(f"images/{index}.png: no such image: expected a file")


def ends_with(error: BaseException | None) -> int:
    def main(_: Sequence[str]) -> None:
        if error is not None:
            raise error

    return run_script(main)


def test_a_script_gets_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(sys, "argv", ["train_GGHL.py", "cfg/demo.yaml", "train.epochs=1"])
    assert run_script(seen.extend) == 0
    assert seen == ["cfg/demo.yaml", "train.epochs=1"]


@pytest.mark.parametrize("kind", [ConfigError, UserError, ImageError])
def test_bad_input_ends_in_one_line(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(kind("a.txt:3: expected 8 coordinates, got 7")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: a.txt:3: expected 8 coordinates, got 7\n"


def test_an_interruption_and_our_own_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == "interrupted; what was saved before is complete\n"
    with pytest.raises(ZeroDivisionError):
        ends_with(ZeroDivisionError())
    with pytest.raises(ValueError, match="ours"):
        ends_with(ValueError("ours"))


def test_what_the_disk_refuses_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()

    def main(_: Sequence[str]) -> None:
        (file / "folder").mkdir()

    assert run_script(main) == 2
    assert capsys.readouterr().err == f"error: {file / 'folder'}: Not a directory\n"
    assert ends_with(OSError(28, "No space left on device")) == 2
    assert capsys.readouterr().err == "error: No space left on device\n"
    with pytest.raises(OSError, match="of a library"):
        ends_with(OSError("of a library"))


def test_numbers_of_the_command_line() -> None:
    assert [whole_number(text) for text in ("0", "12")] == [0, 12]
    assert [finite_number(text) for text in ("-1e-3", "5")] == [-1e-3, 5.0]
    for text in ("-1", "1.5", "", "x"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 0"):
            whole_number(text)
    for text in ("nan", "inf", "-inf", "", "x"):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a finite number"):
            finite_number(text)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_loader_process_ends_in_the_same_line(
    workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script(lambda _: [*DataLoader(Broken(), num_workers=workers)].clear()) == 2
    assert capsys.readouterr().err == "error: images/0.png: no such image: expected a file\n"


def test_other_messages_stay_whole() -> None:
    assert user_line(UserError("two\nlines: here")) == "two\nlines: here"
    assert user_line(UserError("")) == ""


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser()
    result.add_argument("config", nargs="?")
    result.add_argument("--resume")
    result.add_argument("--fast", action="store_true")
    return result


@pytest.mark.parametrize(
    "line",
    [
        "mine.yaml train.lr=1 data.root=a=b --resume last.pt --fast",
        "--fast train.lr=1 mine.yaml --resume=last.pt data.root=a=b",
        "train.lr=1 data.root=a=b --resume last.pt mine.yaml --fast",
    ],
)
def test_settings_may_stand_anywhere(line: str) -> None:
    arguments, overrides = parse_words(parser(), line.split())
    assert overrides == ["train.lr=1", "data.root=a=b"]
    assert (arguments.config, arguments.resume, arguments.fast) == ("mine.yaml", "last.pt", True)


def test_no_words_and_unknown_words(capsys: pytest.CaptureFixture[str]) -> None:
    arguments, overrides = parse_words(parser(), [])
    assert (arguments.config, overrides) == (None, [])
    with pytest.raises(ConfigError, match="unknown key 'fats'; did you mean 'fast='"):
        parse_words(parser(), ["--fats"])
    with pytest.raises(SystemExit) as caught:
        parse_options(parser(), ["--fats"])
    assert caught.value.code == 2
    assert "--fats" in capsys.readouterr().err


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda")


@pytest.mark.parametrize("name", ["gpux", "", "cuda:99", "cpu:x", "cuda:-1", "meta", "hpu", "lazy"])
def test_unusable_devices_are_named(name: str) -> None:
    with pytest.raises(UserError) as caught:
        pick_device(name)
    assert str(caught.value).startswith(f"train.device={name}: not usable here: ")
    assert "\n" not in str(caught.value)


def test_files_with_an_equals_sign_are_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("run=3.png").touch()
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    arguments, overrides = parse_words(parser, ["run=3.png", "train.epochs=3"])
    assert (arguments.source, overrides) == ("run=3.png", ["train.epochs=3"])
    long = "data.classes=" + ",".join(f"class-{k}" for k in range(100))  # no file has such a name
    assert parse_words(argparse.ArgumentParser(), [long])[1] == [long]


@pytest.mark.parametrize("count", [0, 2])
def test_a_gpu_that_is_not_there(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(UserError, match="no such GPU, there are 2$" if count else "there is no GPU$"):
        pick_device("cuda:7")


def tool() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser()
    add = result.add_argument
    add("src")
    add("dst")
    add("--size", type=int, default=800)
    add("--max-side", type=int)
    add("--rates", type=float, nargs="+", default=[1.0])
    add("--split", nargs="+", metavar="NAME=SHARE")
    add("--map", action="append", default=[], metavar="OLD=NEW")
    add("--fast", action="store_true")
    return result


@pytest.mark.parametrize(
    "line",
    [
        "a b --size 64 --rates 0.5 1 --fast --max-side 9",
        "a b size=64 rates=0.5,1 fast=true max_side=9",
        "size=64 rates=0.5,1 a --fast b --max-side=9",
        "--rates=0.5,1 a b --fast=yes --size=64 max-side=9",
        "a b --rates 0.5,1 size=64 --fast --max-s 9",
        "a --rates 0.5 1 --size 64 b --fast fast=false --max-side 9",
        "rates=0.5,1 fast=1 max_side=9 size=8 size=64 -- a b",
    ],
)
def test_the_options_of_a_tool_in_each_spelling(line: str) -> None:
    given = parse_options(tool(), line.split())
    assert (given.src, given.dst, given.size, given.max_side) == ("a", "b", 64, 9)
    assert given.rates == [0.5, 1.0]
    assert given.fast


@pytest.mark.parametrize(
    "line",
    [
        "a b --map size=c --map fast= --split train=0.8 size=0.2",
        "a b --map size=c map=fast= split=train=0.8,size=0.2",
        "map=size=c,fast= a b --split train=0.8,size=0.2",
    ],
)
def test_pairs_are_values_and_no_options(line: str) -> None:
    given = parse_options(tool(), line.split())
    assert given.map == ["size=c", "fast="]
    assert given.split == ["train=0.8", "size=0.2"]
    assert given.size == 800


def test_words_of_a_tool_that_are_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("size=3").touch()
    given = parse_options(tool(), ["size=3", "out/size=4"])
    assert (given.src, given.dst, given.size) == ("size=3", "out/size=4", 800)
    assert parse_options(tool(), ["a", "b=c"]).dst == "b=c"
    with pytest.raises(UserError, match="fast: expected true or false, got 'perhaps'"):
        parse_options(tool(), ["a", "b", "fast=perhaps"])


@pytest.mark.parametrize(
    ("line", "settings"),
    [
        ("mine.yaml --train.epochs 3 --fast", ["train.epochs=3"]),
        ("--train.epochs=3 mine.yaml --fast", ["train.epochs=3"]),
        ("--fast=true --train.amp false mine.yaml", ["train.amp=false"]),
        ("--train.compile mine.yaml --fast", ["train.compile=true"]),
        ("fast=true mine.yaml --train.compile", ["train.compile=true"]),
        ("--data.image_size 64,96 mine.yaml --augment.shift_share 0 --fast", None),
    ],
)
def test_settings_with_dashes(line: str, settings: list[str] | None) -> None:
    arguments, overrides = parse_words(parser(), line.split())
    assert (arguments.config, arguments.fast) == ("mine.yaml", True)
    assert overrides == (settings or ["data.image_size=64,96", "augment.shift_share=0"])


@pytest.mark.parametrize("words", [["--train.epochs"], ["--train.epochs", "--fast"]])
def test_a_setting_without_its_value(words: list[str]) -> None:
    with pytest.raises(UserError, match=r"--train\.epochs: expected a value behind it"):
        parse_words(parser(), words)


@pytest.mark.parametrize(
    "words", [["--epochs", "3"], ["--epochs=3"], ["epochs=3"], ["mine.yaml", "epochs=3"]]
)
def test_words_of_other_trainers(words: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"^command line: unknown key 'epochs'; did you mean 'train\.epochs'\?$"
    ):
        parse_words(parser(), words)


def test_words_of_the_script_are_proposed() -> None:
    with pytest.raises(ConfigError, match="unknown key 'resum'; did you mean 'resume='"):
        parse_words(parser(), ["resum=last.pt"])


def test_all_settings_are_shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit) as caught:
        parse_words(parser(), ["--settings"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "  train.epochs=100  (whole number from 1)\n      Passes over" in shown
    assert "  data.classes=none  (list of: text)" in shown
    lines = [line for line in shown.splitlines() if " " in line.strip()]  # a value is not torn, to be copied
    assert max(map(len, lines)) <= 60 + len("geopackage,")
    spellings = [
        ["--settings", "EPOCHS"],
        ["--settings=epochs"],
        ["settings=epochs"],
        ["--setting", "epochs"],
    ]
    for words in (["mine.yaml", "--settings", "epochs"], *spellings):
        with pytest.raises(SystemExit):
            parse_words(parser(), words)
        found = capsys.readouterr().out
        assert "train.epochs=100" in found
        assert "data.root=" not in found


def test_generators_that_an_error_leaves_are_closed_before_the_script_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python would close them at its own end, when what their processes need is gone."""
    closed, kept = [], []

    def results() -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            closed.append(True)

    def main(_: Sequence[str]) -> None:
        try:
            found = results()
            for _ in found:
                raise UserError("bad.png: no image")
        except UserError as error:
            kept.append(error)  # whoever keeps an error keeps its frames
            raise

    monkeypatch.setattr(sys, "argv", ["tool"])
    assert run_script(main) == 2
    assert kept
    assert closed
