"""Cuts against an evaluation of what is left after them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from evalR.scoring.columns import Found, Truth
from evalR.scoring.evaluate import Scored, score
from evalR.scoring.matching import FALSE, RIGHT_IOU, TRUE, judge
from evalR.scoring.sweep import POOLED, SCORES, Swept, parse_sweep, score_curve, write_sweep
from tests.evalR.small_scenes import CLASSES, scene, square
from utils.errors import UserError


def random_scene(seed: int) -> Scored:
    rng = np.random.default_rng(seed)
    truth = [(square(30.0 * n), int(rng.integers(2))) for n in range(20)]
    found = [
        (square(30.0 * int(rng.integers(20)) + float(rng.normal(0, 2))), int(rng.integers(2)), float(s))
        for s in rng.uniform(0, 1, 60).round(2)  # equal scores, and scores at the cuts
    ]
    return scene(found, truth, difficult=(3, 4))


def cut_before(scored: Scored, least: float) -> Scored:
    kept = scored.found.scores >= least
    return score(Found(*(column[kept] for column in scored.found)), scored.truth, scored.classes)


@pytest.mark.parametrize("seed", range(3))
def test_a_cut_is_an_evaluation_of_what_is_left(seed: int) -> None:
    scored = random_scene(seed)
    table = score_curve(scored)
    for column, least in enumerate(SCORES):
        left = cut_before(scored, least)
        verdicts = judge(left.matches, RIGHT_IOU)
        for row, labels in enumerate(([0], [1], [0, 1])):
            own = np.isin(left.found.labels, labels)
            true, false = int((verdicts[own] == TRUE).sum()), int((verdicts[own] == FALSE).sum())
            objects = int(left.matches.counted[labels].sum())
            precision, recall, f1 = table[row, column]
            assert np.isnan(precision) if true + false == 0 else precision == true / (true + false)
            assert recall == true / objects
            expected = 0.0 if true == 0 else 2 * precision * recall / (precision + recall)
            assert f1 == pytest.approx(expected)


def test_nothing_found_and_nothing_there() -> None:
    table = score_curve(scene([], [(square(0), 0)]))
    assert np.isnan(table[..., 0]).all()
    assert (table[[0, 2], :, 1:] == 0).all()
    assert np.isnan(table[1, :, 1:]).all()  # a class without ground truth
    table = score_curve(scene([(square(0), 0, 0.9)], []))
    assert (table[[0, 2], 0, 0] == 0).all()
    assert np.isnan(table[..., 1:]).all()


def test_the_files(tmp_path: Path) -> None:
    good = scene([(square(0), 0, 0.92), (square(40), 1, 0.31)], [(square(0), 0), (square(40), 1)])
    poor = scene([(square(0), 0, 0.92)], [(square(0), 0), (square(40), 1)])
    text = write_sweep(tmp_path / "out", [Swept(0.2, poor), Swept(0.45, good)], "voc12").splitlines()
    assert text[0].split() == ["NMS", "IoU", "AP50", "AP75", "AP50:95"]
    assert text[1].split() == ["0.2", "50.00", "50.00", "50.00"]
    assert text[2].split() == ["0.45", "100.00", "100.00", "100.00", "<-", "best"]
    assert text[3] == "all classes together, IoU 0.5, NMS IoU 0.45"
    assert [line for line in text[4:] if "best" in line] == [
        "      0.05    100.00    100.00    100.00  <- best"
    ]
    assert (tmp_path / "out/sweep.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "out/sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (len(CLASSES) + 1) * (1 + len(SCORES))
    pooled = [row for row in rows if row["class"] == POOLED and row["nms_iou"] == "0.45"]
    assert (pooled[0]["score"], pooled[0]["AP50"], pooled[0]["f1"]) == ("", "1", "")
    (half,) = [row for row in pooled if row["score"] == "0.5"]
    assert [half[name] for name in ("precision", "recall", "f1", "AP50")] == ["1", "0.5", "0.666667", ""]


def test_no_objects_and_no_classes(tmp_path: Path) -> None:
    assert "best" in write_sweep(tmp_path, [Swept(None, scene([], []))], "voc07")
    none, columns = np.zeros(0, np.int64), np.zeros((0, 4, 2))
    found = Found(none, none, np.zeros(0), columns)
    empty = score(found, Truth(none, none, np.zeros(0, np.bool_), columns), [])
    assert "n/a" in write_sweep(tmp_path, [Swept(0.3, empty), Swept(0.5, empty)], "voc12")


def test_words() -> None:
    assert parse_sweep("score") == ()
    assert parse_sweep("0.1,0.45,0.1") == (0.1, 0.45)
    assert parse_sweep("[0, 1]") == (0.0, 1.0)


@pytest.mark.parametrize("text", ["", "scores", "0.1,", "1.5", "-0.1", "nan", "0.1;0.2"])
def test_bad_words(text: str) -> None:
    with pytest.raises(UserError, match=r"^sweep=.*: expected `score`, or NMS IoUs from 0 to 1"):
        parse_sweep(text)
