"""Folders of evaluations: new ones, taken ones, and what those leave that end early."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evalR.scoring.folders import COMPARISON, EVALUATION, evaluation_folder, find_evaluations
from utils.errors import UserError

ROOT = Path(__file__).parents[3]
ONE, OTHER = ({"settings": {"eval.nms_iou": iou, "eval.split": "val"}} for iou in (0.45, 0.3))


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")


def write(folder: str, protocol: dict, given: bool = False, record: str = "metrics.json") -> Path:
    """Write an evaluation as test.py does, and return where it is."""
    with evaluation_folder(Path(folder), protocol, given) as place:
        (place.draft / "Task1").mkdir()
        (place.draft / "Task1/Task1_ship.txt").write_text(str(protocol))
        (place.draft / record).write_text(json.dumps({"protocol": protocol}))
    return place.folder


def files(folder: str = ".") -> list[str]:
    return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file())


def fail(folder: str) -> None:
    """Begin an evaluation that ends with an error."""
    with pytest.raises(KeyError), evaluation_folder(Path(folder), ONE, given=True) as place:
        (place.draft / "metrics.csv").write_text({}["nothing"])


def test_an_evaluation_appears_whole() -> None:
    with evaluation_folder(Path("a/b/eval-val"), ONE, given=False) as place:
        (place.draft / "metrics.json").write_text("{}")
        assert [path.name for path in Path("a/b/eval-val").iterdir()] == [EVALUATION.draft]
    assert files() == ["a/b/eval-val/metrics.json"]
    assert [path.name for path in Path("a/b/eval-val").iterdir()] == ["metrics.json"]


def test_an_error_leaves_nothing() -> None:
    for kept in (False, True):
        fail("a/eval-val")
        assert Path("a").exists() == kept, "a folder that was there stays"
        Path("a").mkdir(exist_ok=True)
    assert list(Path("a").iterdir()) == []


def test_an_error_leaves_what_was_complete() -> None:
    write("eval-val", ONE)
    before = files()
    fail("eval-val")
    assert files() == before


def test_a_folder_that_is_given_is_never_another() -> None:
    write("out", ONE, given=True)
    write("out", ONE, given=True)
    expected = r"^out=out: has eval\.nms_iou 0\.45, now 0\.3; expected a new folder, or one of the same eval"
    with pytest.raises(UserError, match=expected), evaluation_folder(Path("out"), OTHER, given=True):
        pytest.fail("refused before the work")
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("")
    assert write("mine", ONE, given=True) == Path("mine"), "a folder of other things is none of an evaluation"
    assert files("mine") == ["mine/Task1/Task1_ship.txt", "mine/metrics.json", "mine/notes.txt"]


def test_what_says_nothing_of_itself_is_not_overwritten(caplog: pytest.LogCaptureFixture) -> None:
    Path("eval-test/Task1").mkdir(parents=True)  # of an older version, without labels
    assert write("eval-test", ONE, record="protocol.json") == Path("eval-test-2")
    assert "eval-test has Task1, but no metrics.json that says how it was made: results go to" in caplog.text
    assert write("eval-test", ONE, record="protocol.json") == Path("eval-test-2")
    for text in ("{", "[]", '{"protocol": null}', '{"AP50": 1}'):
        Path("out").mkdir(exist_ok=True)
        Path("out/metrics.json").write_text(text)
        with pytest.raises(UserError, match=r"out=out: has a metrics\.json without a protocol"):
            write("out", ONE, given=True)


def test_one_folder_for_an_evaluation_and_for_a_comparison() -> None:
    write("out", ONE, given=True)
    with evaluation_folder(Path("out"), OTHER, given=True, kind=COMPARISON) as place:
        (place.draft / "compare.json").write_text(json.dumps({"protocol": OTHER}))
    write("out", ONE, given=True)
    assert files("out") == ["out/Task1/Task1_ship.txt", "out/compare.json", "out/metrics.json"]


def test_two_at_the_same_time() -> None:
    with evaluation_folder(Path("eval-val"), ONE, given=False) as first:
        for protocol in (ONE, OTHER):
            with pytest.raises(UserError, match="out=eval-val: is being written by another process"):
                write("eval-val", protocol, given=True)
        assert write("eval-val", OTHER) == Path("eval-val-2")
        (first.draft / "metrics.json").write_text(json.dumps({"protocol": ONE}))
    assert write("eval-val", ONE) == Path("eval-val")


KILLED = """
import json, os, signal
from pathlib import Path
from evalR.scoring.folders import evaluation_folder
with evaluation_folder(Path("eval-val"), {}, given=False) as place:
    (place.draft / "metrics.json").write_text(json.dumps({"protocol": {}}))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_one_that_was_killed_blocks_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, timeout=100
    )
    assert done.returncode == -signal.SIGKILL
    assert {Path(name).parts[1] for name in files()} == {EVALUATION.draft}
    assert find_evaluations(Path(), "val") == []
    assert write("eval-val", OTHER) == Path("eval-val")
    assert files() == ["eval-val/Task1/Task1_ship.txt", "eval-val/metrics.json"]


def test_one_that_ends_while_it_moves_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    write("eval-val", ONE)
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if path.name == "metrics.json":
            raise OSError("disk full")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        write("eval-val", ONE)
    monkeypatch.setattr(Path, "replace", replace)
    assert not Path("eval-val/metrics.json").exists()
    assert find_evaluations(Path(), "val") == [], "it does not look complete"
    assert write("eval-val", OTHER) == Path("eval-val")
    assert find_evaluations(Path(), "val") == [Path("eval-val")]


def test_the_newest_evaluation_of_a_split() -> None:
    split_val_2 = {"settings": {"eval.split": "val-2"}}
    assert write("eval-val", ONE) == Path("eval-val")
    assert write("eval-val-2", split_val_2) == Path("eval-val-2")
    assert write("eval-val", OTHER) == Path("eval-val-3")
    for second, number in enumerate(("-3", "", "-2")):
        os.utime(f"eval-val{number}/metrics.json", (second, second))
    assert find_evaluations(Path(), "val") == [Path("eval-val-3"), Path("eval-val")]
    assert find_evaluations(Path(), "val-2") == [Path("eval-val-2")]
    assert find_evaluations(Path(), "va") == find_evaluations(Path("nowhere"), "val") == []


@pytest.mark.parametrize("settings", [None, "text", 3, [], [{}], {"eval.split": None}, {"eval.split": [1]}])
def test_a_record_that_does_not_say_its_split_is_of_that_of_its_folder(settings: object) -> None:
    write("eval-val", {"settings": settings})
    assert find_evaluations(Path(), "val") == [Path("eval-val")]
