"""The list of all settings."""

import pytest

from cfg.listing import WIDEST, default_text, kind_text, settings_text
from cfg.words import kinds


def keys_in(text: str) -> list[str]:
    return [
        line.strip().partition("=")[0] for line in text.splitlines() if line[:3].strip() and line[0] == " "
    ]


def test_every_setting_is_listed_once_with_its_meaning() -> None:
    text = settings_text()
    assert keys_in(text) == list(kinds())
    flat = " ".join(text.split())
    for kind in kinds().values():
        assert " ".join(kind["description"].split()) in flat
    for section in ("data", "predict"):
        assert f"\n{section}: " in f"\n{text}"


@pytest.mark.parametrize("width", [20, 80, 500])
def test_lines_fit(width: int) -> None:
    longest = max(settings_text(width=width).splitlines(), key=len)
    assert len(longest) <= min(width, WIDEST) or " " not in longest.strip()


@pytest.mark.parametrize(
    ("words", "found", "missing"),
    [
        (["epochs"], "train.epochs", "data.root"),
        (["LEARNING rate"], "train.lr", "data.root"),
        (["nms_iou", "workers"], "data.workers", "train.lr"),
        (["predict."], "predict.tile", "data.root"),
    ],
)
def test_words_choose(words: list[str], found: str, missing: str) -> None:
    keys = keys_in(settings_text(words))
    assert found in keys
    assert missing not in keys


def test_a_word_that_nothing_has() -> None:
    assert settings_text(["qqq"]).startswith("no setting has 'qqq' in its key or meaning; ")
    assert "did you mean 'data.image_size'?" in settings_text(["imgsz"])


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("train.epochs", "whole number from 1"),
        ("train.lr", "number above 0, or none"),
        ("train.momentum", "number from 0 below 1"),
        ("train.amp", "true, false"),
        ("train.optimizer", "sgd, adamw, muon"),
        ("data.classes", "list of: text"),
        ("data.image_size", "whole number, or 2 values, each a whole number"),
        ("augment.hsv_gains", "3 values, each a number from 0 to 1"),
    ],
)
def test_types(key: str, kind: str) -> None:
    assert kind_text(kinds()[key]) == kind


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "none"), ([], "none"), (True, "true"), (5e-4, "0.0005"), ([0.7, 1.4], "0.7,1.4"), ("", "")],
)
def test_defaults(value: object, text: str) -> None:
    assert default_text(value) == text
