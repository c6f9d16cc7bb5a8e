"""Comparisons against resampling in plain loops, and where their two sides are found."""

import html
import json
import os
from pathlib import Path

import numpy as np
import pytest

from evalR.report.comparison import comparison_table, page, write_comparison
from evalR.scoring.bootstrap import rank_detections, resample
from evalR.scoring.columns import Found, Truth
from evalR.scoring.compare import (
    Side,
    compare,
    compare_ap,
    find_sides,
    image_counts,
    known_data,
    protocol_differences,
    warn_of,
)
from evalR.scoring.evaluate import known_mean, score
from evalR.scoring.result_sets import Labels
from tests.evalR.cases import empty_case, random_case
from tests.evalR.scoring.test_bootstrap import repeated
from tests.evalR.small_scenes import scene, square
from utils.errors import UserError

CLASSES = ("a", "b", "never there")
HOW = {"metric": "voc12", "images": 3, "bootstrap": {"draws": 5, "seed": 0}}


def two_cases(seed: int) -> tuple[Found, Found, Truth]:
    """Return two sets of detections of the same objects."""
    found, truth = random_case(seed)
    worse = found._replace(shapes=found.shapes + np.random.default_rng(seed).normal(0, 2, found.shapes.shape))
    return worse, found, truth


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_intervals_are_those_of_repeated_images(seed: int) -> None:
    *both, truth = two_cases(seed)
    sides = [score(found, truth, CLASSES) for found in both]
    ap = resample(tuple(rank_detections(side) for side in sides), 3, "voc12", 15, seed)
    aps = [side.result.ap["voc12"] for side in sides]
    rows = {row.name: row for row in compare_ap(aps[0], aps[1], ap, CLASSES, sides[0].matches.counted)}
    rng, draws = np.random.default_rng(seed), []
    for _ in range(15):
        weights = np.bincount(rng.integers(0, 3, 3), minlength=3)
        draws.append([repeated(side, weights)["voc12"] for side in sides])
    for name, columns in (("mAP50", [0]), ("mAP75", [5]), ("mAP50:95", list(range(10)))):
        differences = [known_mean(b[:, columns]) - known_mean(a[:, columns]) for a, b in draws]
        differences = [value for value in differences if value == value]
        row = rows[name]
        assert (row.low, row.high) == pytest.approx(np.percentile(differences, [2.5, 97.5]), abs=1e-12)
        assert row.b_better == pytest.approx(np.mean([value > 0 for value in differences]))
        assert row.draws == len(differences)
        assert row.b - row.a == row.difference
    own = [b[1, 0] - a[1, 0] for a, b in draws if a[1, 0] == a[1, 0]]
    assert rows["b"].low == pytest.approx(np.percentile(own, 2.5), abs=1e-12)
    assert np.isnan(rows["never there"].low)
    assert rows["never there"].draws == 0


def test_counts_of_an_image_by_hand() -> None:
    truth = [(square(0), 0), (square(20), 0), (square(40), 1), (square(60), 0)]
    found = [(square(0), 0, 0.9), (square(20), 0, 0.8), (square(90), 0, 0.1), (square(70), 1, 0.7)]
    found += [(square(60), 0, 0.6)]
    assert image_counts(scene(found, truth, difficult=(3,)), 2).tolist() == [[2, 1, 1], [0, 0, 0]]


def results(folder: Path, text: str = "", protocol: dict | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "Task1_ship.txt").write_text(text)
    if protocol is not None:
        metrics = {"protocol": protocol, "task1": {"objects": {"ship": 1, "plane": 0}}}
        (folder.parent / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_where_results_are_found(tmp_path: Path) -> None:
    plain = results(tmp_path / "plain")
    run = results(tmp_path / "run/eval-val/Task1", protocol={"split": "val"})
    for word in (run, run.parent, tmp_path / "run"):
        a, b = find_sides(f"{plain},{word}", "val")
        assert (a.folder, a.metrics) == (plain, {})
        assert b.folder == run
        assert b.metrics["protocol"] == {"split": "val"}
    with pytest.raises(UserError, match=r"run: expected one of .*; there is eval-val, data\.split=SPLIT"):
        find_sides(f"{plain},{tmp_path}/run", "test")


def test_of_several_evaluations_the_newest_is_compared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    run = tmp_path / "run"
    for number, second in (("", 5), ("-2", 9), ("-3", 7)):
        settings = {"settings": {"eval.split": "val", "eval.nms_iou": second}}
        results(run / f"eval-val{number}/Task1", protocol=settings)
        os.utime(run / f"eval-val{number}/metrics.json", (second, second))
    Path(run / "eval-val-4/.unfinished/files/Task1").mkdir(parents=True)
    a, b = find_sides(f"{run},{run}/eval-val", "val")
    assert a.folder == run / "eval-val-2/Task1"
    assert a.metrics["protocol"]["settings"]["eval.nms_iou"] == 9
    assert b.folder == run / "eval-val/Task1"
    said = f"{run}: comparing {a.folder}, the newest of eval-val, eval-val-3, eval-val-2"
    assert said in caplog.messages
    assert f"{run}/eval-val: comparing {b.folder}" in caplog.messages


def test_a_split_without_labels_has_a_record(tmp_path: Path) -> None:
    folder = results(tmp_path / "run/eval-test/Task1")
    (folder.parent / "protocol.json").write_text(json.dumps({"protocol": {"split": "test"}}))
    a, b = find_sides(f"{tmp_path}/run,{folder}", "test")
    assert a.metrics == b.metrics == {"protocol": {"split": "test"}}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("plain", "compare=plain: expected two folders with a comma between them"),
        ("plain,plain,plain", "expected two folders"),
        ("plain,", "expected two folders"),
        ("plain,nowhere", "nowhere: expected a folder, found none"),
        ("plain,empty", r"empty: expected one of empty/Task1_CLASS\.txt, .*, found none$"),
    ],
)
def test_what_cannot_be_compared(
    words: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results(Path("plain"))
    Path("empty").mkdir()
    with pytest.raises(UserError, match=expected) as caught:
        find_sides(words, "val")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"AP50": 1}',
        '{"protocol": null}',
        '{"protocol": {"data": "x"}}',
        '{"protocol": {"data": {"root": 3}}}',
        '{"protocol": {}, "task1": 5}',
        '{"protocol": {}, "task1": {"objects": 5}}',
    ],
)
def test_other_metrics_are_passed_over(text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain, other = results(tmp_path / "plain"), results(tmp_path / "other")
    (other / "metrics.json").write_text(text)
    assert [side.metrics for side in find_sides(f"{plain},{other}", "val")] == [{}, {}]
    assert "metrics.json has no protocol as test.py writes it" in caplog.text


def side(**protocol: object) -> Side:
    return Side("x", Path("x"), {"protocol": protocol, "task1": {"objects": {"ship": 1}}} if protocol else {})


def test_what_metrics_say_of_the_data() -> None:
    data = {"root": "here", "split": "val", "images": "list.txt"}
    alike = (side(data=data), side(data=data))
    words, images = known_data(alike, [])
    assert words == ['data.root="here"', 'eval.split="val"', 'data.classes=["ship"]']
    assert images == "list.txt"
    assert known_data(alike, ["eval.split=train"])[1] is None
    for other in (side(), side(data=data | {"root": "there"}), side(split="val")):
        with pytest.raises(UserError, match=r"compare: expected data\.root=ROOT"):
            known_data((alike[0], other), [])
        assert known_data((alike[0], other), ["data.root=here"])[1] is None


def test_differences_of_protocols() -> None:
    a = side(split="val", images=9, thresholds={"score": 0.005, "iou": [0.5]})
    b = side(split="val", images=9, thresholds={"score": 0.05, "iou": [0.5]})
    assert list(map(str, protocol_differences((a, b)))) == ["eval.score_threshold: 0.005 in A, 0.05 in B"]
    assert protocol_differences((a, a)) == protocol_differences((a, side())) == []


def test_each_difference_is_said_everywhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    how = [{"settings": {"eval.merge": "<i>", "eval.turns": [0]}}, {"settings": {"eval.merge": "nms"}}]
    sides = tuple(
        Side(name, results(tmp_path / name), {"protocol": one}) for name, one in zip("ab", how, strict=True)
    )
    truth = Truth(np.zeros(1, int), np.zeros(1, int), np.zeros(1, bool), np.array([square(0)], float))
    comparison = compare(sides, Labels(truth, ["P1"], ("ship",)), "voc12", 5, 0)
    lines = ["eval.merge: <i> in A, nms in B", "eval.turns: [0] in A, not recorded in B"]
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"A and B were made differently: {lines[0]}",
        "A and B may differ in what one did not record: eval.turns",
    ]
    write_comparison(tmp_path / "out", comparison, HOW)
    assert json.loads((tmp_path / "out/compare.json").read_text())["differences_of_protocol"] == lines
    text = (tmp_path / "out/compare.html").read_text()
    assert all(f"<li>{html.escape(line)}</li>" in text for line in lines)


def test_a_side_that_says_nothing_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    warn_of([], (side(split="val"), Side("theirs", Path("theirs"), {})))
    assert caplog.messages == ["theirs: not recorded how it was made"]


def test_a_side_compared_with_itself(tmp_path: Path) -> None:
    folder = results(tmp_path / "a", "<b> 0.9 0 0 10 0 10 10 0 10\n")
    sides = (Side("a", folder, {}), Side("a", folder, {}))
    truth = Truth(np.zeros(1, int), np.zeros(1, int), np.zeros(1, bool), np.array([square(0)], float))
    comparison = compare(sides, Labels(truth, ["<b>"], ("ship",)), "voc12", 5, 0)
    assert {(row.a, row.difference, row.low, row.high, row.b_better) for row in comparison.rows} == {
        (1.0, 0.0, 0.0, 0.0, 0.0)
    }
    assert not comparison.images
    assert "ship       100.00   100.00    +0.00" in comparison_table(comparison, HOW)


def test_names_are_escaped_and_nothing_is_na(tmp_path: Path) -> None:
    sides = tuple(
        Side(name, results(tmp_path / name, text), {})
        for name, text in (("<i>a", ""), ("b", "<b> 0.9 0 0 10 0 10 10 0 10\n"))
    )
    truth = Truth(np.zeros(1, int), np.zeros(1, int), np.zeros(1, bool), np.array([square(0)], float))
    text = page(compare(sides, Labels(truth, ["<b>"], ("ship",)), "voc12", 5, 0), HOW)
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "<i>" not in text
    assert "+100.00" in text
    comparison = compare(sides, Labels(empty_case()[1], ["<b>"], ("ship",)), "voc12", 5, 0)
    assert comparison.rows[0].draws == 0
    assert "n/a" in page(comparison, HOW)
    assert "n/a" in comparison_table(comparison, HOW)
