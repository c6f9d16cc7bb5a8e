"""test.py from the outside: result files without a model, where things go, and several processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import test as evaluation
import train_GGHL
from dataloadR.demo.scenes import write_demo_scenes
from evalR.inference.predictor import Predictor
from evalR.inference.splits import predict_settings, predict_shared
from tests.paths import GOLDEN
from utils.cli import run_script
from utils.records import Annotation, Detections
from utils.runlog import read_results_table

ROOT = Path(__file__).parents[1]
DEVKIT = GOLDEN / "dota_eval"
CLASSES = "data.classes=[court,plane,ship,vehicle]"
QUAD = "10 10 30 10 30 20 10 20"


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["test.py", *words])
    return run_script(evaluation.main)


def refused(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run on `results`, expect exit code 2 and one error line, and return it."""
    assert run(["results=found", "data.root=.", "data.images=list.txt", *words], monkeypatch) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Labels and detections of two images that are nowhere."""
    for folder in ("labelTxt", "found"):
        (tmp_path / folder).mkdir()
    (tmp_path / "labelTxt/P1.txt").write_text(f"{QUAD} ship 0\n")
    (tmp_path / "labelTxt/P2.txt").write_text("")
    (tmp_path / "list.txt").write_text("P1\nP2.png\n")
    (tmp_path / "found/Task1_ship.txt").write_text(f"P1 0.9 {QUAD}\n")
    return tmp_path


@pytest.mark.skipif(not DEVKIT.exists(), reason=f"no {DEVKIT}")
@pytest.mark.parametrize("task", [1, 2])
def test_result_files_without_a_model(task: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"results={DEVKIT}/Task{task}", f"data.root={DEVKIT}", f"data.images={DEVKIT}/images.txt"]
    assert run([*words, f"out={tmp_path}/out"], monkeypatch) == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    expected = json.loads((DEVKIT / "expected.json").read_text())["mean"]
    for metric in ("voc07", "voc12"):
        for percent in (50, 75):
            value = metrics[f"task{task}"][metric][f"AP{percent}"]["mean"]
            assert value == pytest.approx(expected[f"task{task}_iou{percent}_{metric}"], abs=1e-6)
    assert metrics["protocol"]["images"] == 70
    assert metrics["protocol"]["objects"] == 4073
    assert metrics["protocol"]["difficult_objects"] == 328
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "metrics.json",
        "metrics.csv",
        "metrics.txt",
        "report",
    }


def test_names_of_classes(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"results={results}/found", f"data.root={results}", f"data.images={results}/list.txt"]
    assert run(words, monkeypatch) == 0
    assert "mAP50 1.000" in capsys.readouterr().out
    metrics = json.loads((results / "found/eval-val/metrics.json").read_text())
    assert metrics["task1"]["voc12"]["AP50"]["per_class"] == {"ship": 1.0}
    yaml = results / "two.yaml"
    yaml.write_text("data.classes: [plane, ship]\n")
    assert run([str(yaml), *words, f"out={results}/out"], monkeypatch) == 0
    metrics = json.loads((results / "out/metrics.json").read_text())
    assert metrics["task1"]["voc12"]["AP50"]["per_class"] == {"plane": None, "ship": 1.0}


def test_result_files_that_changed_are_another_evaluation(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results)
    words = ["results=found", "data.root=.", "data.images=list.txt"]

    def folder(*more: str) -> str:
        assert run([*words, *more], monkeypatch) == 0
        return capsys.readouterr().out.partition("results: ")[2].partition("\n")[0]

    assert folder() == folder("eval.nms_iou=0.9") == "found/eval-val", "a model's settings made no such file"
    Path("found/Task1_ship.txt").write_text("")
    assert folder() == "found/eval-val-2"
    assert json.loads(Path("found/eval-val/metrics.json").read_text())["task1"]["detections"] == {"ship": 1}
    Path("labelTxt/P2.txt").write_text(f"{QUAD} ship 0\n")
    assert folder() == "found/eval-val-3", "the labels, too"
    assert folder() == "found/eval-val-3"
    expected = r"out=found/eval-val: has objects 1, now 2; labels_sha256 \w{12}, now \w{12}; results_sha256 "
    assert re.search(expected, refused(["out=found/eval-val"], monkeypatch, capsys))


def test_comparisons_that_differ_share_no_folder(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results)
    shutil.copytree("found", "other")
    words = ["compare=other,found", "data.root=.", "data.images=list.txt"]
    for draws, name in ((5, "compare"), (6, "compare-2"), (5, "compare")):
        assert run([*words, f"bootstrap={draws}"], monkeypatch) == 0
        assert f"results: found/{name}\n" in capsys.readouterr().out
    assert run([*words, "bootstrap=7", "out=found/compare"], monkeypatch) == 2
    assert "error: out=found/compare: has bootstrap.draws 5, now 7; expected" in capsys.readouterr().err
    Path("other/Task1_ship.txt").write_text("")
    assert run([*words, "bootstrap=5"], monkeypatch) == 0
    assert "results: found/compare-3\n" in capsys.readouterr().out


def test_labels_of_a_split(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / "train").mkdir()
    (results / "labelTxt").rename(results / "train/labelTxt")
    words = [f"results={results}/found", f"data.root={results}", f"data.images={results}/list.txt"]
    assert run([*words, "data.split=train", f"out={results}/out"], monkeypatch) == 0
    assert json.loads((results / "out/metrics.json").read_text())["protocol"]["objects"] == 1


@pytest.fixture
def splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two splits with images of one name and other labels, one more image in train, and what was found."""
    for split, corner in (("train", "50 50 70 50 70 60 50 60"), ("val", QUAD)):
        for folder in ("images", "labelTxt"):
            (tmp_path / split / folder).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / "images/P1.png"), np.full((80, 80, 3), 90, np.uint8))
        (tmp_path / split / "labelTxt/P1.txt").write_text(f"{corner} ship 0\n")
    cv2.imwrite(str(tmp_path / "train/images/P2.png"), np.full((80, 80, 3), 90, np.uint8))
    (tmp_path / "train/labelTxt/P2.txt").write_text(f"{QUAD} ship 0\n{QUAD} ship 1\n")
    (tmp_path / "found").mkdir()
    (tmp_path / "found/Task1_ship.txt").write_text(f"P1 0.9 {QUAD}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "split", "objects", "ap"),
    [
        (["data.images=val/images"], "val", 1, 1.0),
        (["data.images=val"], "val", 1, 1.0),
        (["data.images=train/images"], "train", 2, 0.0),  # another object than that of val
        (["data.images=train"], "train", 2, 0.0),
        (["data.images=train", "data.split=val"], "train", 2, 0.0),
        (["data.images=list.txt"], "val", 2, 0.5),  # P2 is in train alone
        (["data.images=list.txt", "data.split=train"], "train", 2, 0.0),
    ],
)
def test_labels_are_those_of_the_folder_of_images(
    words: list[str], split: str, objects: int, ap: float, splits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (splits / "list.txt").write_text("P1.png\ntrain/images/P2.png\n")
    assert run(["results=found", "data.root=.", *words, "out=out"], monkeypatch) == 0
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert metrics["protocol"]["data"]["split"] == split
    assert metrics["protocol"]["objects"] == objects
    assert metrics["task1"]["voc12"]["AP50"]["mean"] == ap


def test_evaluations_elsewhere_are_compared(
    splits: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(splits / "found", "other")
    for name in ("found", "other"):
        words = [f"results={name}", "data.root=.", "data.images=val", f"out=scores/{name}"]
        assert run(words, monkeypatch) == 0
    capsys.readouterr()
    assert run(["compare=scores/found,scores/other", "bootstrap=5", "out=c"], monkeypatch) == 0
    values = json.loads(Path("c/compare.json").read_text())
    assert [side["folder"] for side in values["protocol"]["sides"].values()] == ["found", "other"]
    assert not values["differences_of_protocol"]
    Path("other/Task1_ship.txt").write_text("")
    words = ["compare=scores/found,scores/other", "bootstrap=5", "out=d"]
    assert run(words, monkeypatch) == 2
    assert "made of other, whose result files have changed since" in capsys.readouterr().err
    shutil.rmtree("other")
    assert run(words, monkeypatch) == 2
    assert "made of other, where no Task1_CLASS.txt is found; give their folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["results=nowhere"], "nowhere: expected a folder of result files"),
        (["data.images=nowhere.txt"], "nowhere.txt: expected a folder of images or a list"),
        (["data.root=found"], "found: expected label files in labelTxt/, val/labelTxt/ or Annotations/"),
        (["weights=best.pt"], "weights, results: expected one of them"),
        (["a.yaml", "b.yaml"], "expected one YAML and one checkpoint at most, got a.yaml b.yaml"),
        (["data.imags=list.txt"], "data.imags"),
        (["data.classes=[plane]"], "unknown class 'ship'"),
        (["sweep=0.3"], "sweep=0.3: result files are suppressed already, expected sweep=score"),
        (["sweep=0.2,many"], "sweep=0.2,many: expected `score`, or NMS IoUs from 0 to 1"),
        (["compare=found,found"], "results, compare: expected one of them"),
        (["best.pt"], "checkpoint best.pt, results: expected one of them"),
        (["bootstrap=5"], "bootstrap: expected with compare"),
        (["out="], "out=: expected a value, got nothing"),
        (["out=list.txt"], "out=list.txt: expected a folder, "),
        (["data.split=val", "eval.split=val"], "data.split, eval.split: expected one of them"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_words(
    words: list[str],
    expected: str,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(results)
    assert expected in refused(words, monkeypatch, capsys)


def test_a_sweep_over_scores(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"results={results}/found", f"data.root={results}", f"data.images={results}/list.txt"]
    assert run([*words, "sweep=score", f"out={results}/out"], monkeypatch) == 0
    assert "      0.05    100.00    100.00    100.00  <- best" in capsys.readouterr().out.splitlines()
    lines = (results / "out/sweep.csv").read_text().splitlines()
    assert lines[:3] == [
        "nms_iou,class,score,precision,recall,f1,AP50,AP75,AP50:95",
        ",ship,,,,,1,1,1",
        ",ship,0.05,1,1,1,,,",
    ]
    assert lines[20] == ",ship,0.95,,0,0,,,"
    assert (results / "out/sweep.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "Task1_ship.txt",
            f"P1 0.9 {QUAD}\nP3 0.9 {QUAD}\n",
            "Task1_ship.txt:2: expected an image of the list",
        ),
        ("Task1_boat.txt", f"P1 0.9 {QUAD}\n", "Task1_boat.txt: expected one of the classes"),
        ("Task1_ship.txt", "P1 0.9 1 2 3 4\n", "Task1_ship.txt:1: expected 10 fields, got 6"),
        ("Task1_ship.txt", f"P1 nan {QUAD}\n", "Task1_ship.txt:1: expected 9 finite numbers"),
        ("Task1_ship.txt", f"P1 .9 {QUAD}\n" * 2, "Task1_ship.txt:2: expected each detection once"),
        ("Task1_ship.txt", "P1 \udcff\n", "Task1_ship.txt:1: expected UTF-8 text"),
        ("Task1_ship.txt", None, "found: expected result files such as"),
    ],
    ids=["image", "class", "fields", "nan", "twice", "bytes", "empty folder"],
)
def test_bad_files_leave_nothing(
    name: str,
    content: str | None,
    expected: str,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(results)
    Path("found/Task1_ship.txt").unlink()
    if content is not None:
        Path("found", name).write_text(content, errors="surrogateescape")
    assert expected in refused(["out=out"], monkeypatch, capsys)
    assert not Path("out").exists()


def test_two_folders_are_compared(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results)
    Path("less").mkdir()
    Path("less/Task1_ship.txt").write_text("")
    words = ["compare=less,found", "bootstrap=50", "data.root=.", "data.images=list.txt"]
    assert run(words, monkeypatch) == 0
    assert "results: found/compare" in capsys.readouterr().out
    values = json.loads(Path("found/compare/compare.json").read_text())
    assert (values["rows"][0]["a"], values["rows"][0]["b"], values["rows"][0]["name"]) == (0.0, 1.0, "mAP50")
    assert 0 < values["rows"][0]["draws"] < 50, "resamples without P1 have no objects"
    assert values["protocol"]["bootstrap"] == {"draws": 50, "seed": 0, "percentiles": [2.5, 97.5]}
    (image,) = values["images"]
    assert (image["name"], image["a"], image["b"], image["fewer_errors"]) == ("P1", [0, 1, 0], [1, 0, 0], 1)
    assert Path("found/compare/compare.csv").read_text().startswith("name,objects,a,b,difference,low,high,")
    assert "http" not in Path("found/compare/compare.html").read_text()


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("best.pt", "checkpoint best.pt, compare: expected one of them"),
        ("bootstrap=99999999999", "bootstrap: expected a whole number from 1 to 1000000, got '99999999999'"),
        ("sweep=score", "sweep: expected with a model or results"),
    ],
)
def test_bad_words_beside_compare(
    word: str,
    expected: str,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(results)
    assert run(["compare=found,found", "data.root=.", "data.images=list.txt", word], monkeypatch) == 2
    assert capsys.readouterr().err == f"error: {expected}\n"


def test_images_of_a_list_are_shown_where_they_are_at_hand(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [f"results={results}/found", f"data.root={results}", f"data.images={results}/list.txt"]
    (results / "found/Task1_ship.txt").write_text(f"P2 0.9 {QUAD}\n")
    page = results / "out/report/index.html"
    assert run([*words, f"out={results}/out"], monkeypatch) == 0
    assert page.read_text().count("data:image") == 0
    (results / "images").mkdir()
    cv2.imwrite(str(results / "images/P2.png"), np.zeros((64, 64, 3), np.uint8))
    assert run([*words, f"out={results}/out"], monkeypatch) == 0
    assert page.read_text().count("data:image") == 1, "the false detection; P1, which has the miss, is away"


def test_data_that_both_sides_name_need_not_be_given(
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(results)
    shutil.copytree("found", "other")
    for folder in ("found", "other"):
        words = [f"results={folder}", "data.root=.", "data.images=list.txt", "data.classes=[plane,ship]"]
        assert run(words, monkeypatch) == 0
    assert run(["compare=found,other", "bootstrap=5", "out=out"], monkeypatch) == 0
    assert json.loads(Path("out/compare.json").read_text())["protocol"]["images"] == 2
    assert run(["results=other", "data.root=.", "data.images=labelTxt/../list.txt"], monkeypatch) == 0
    assert run(["compare=found,other", "out=more"], monkeypatch) == 2
    assert "compare: expected data.root=ROOT" in capsys.readouterr().err
    caplog.clear()
    words = ["compare=found,other", "bootstrap=5", "out=more", "data.root=.", "data.images=list.txt"]
    assert run(words, monkeypatch) == 0
    assert "made differently: data.images: list.txt in A, labelTxt/../list.txt in B" in caplog.text


def jittered(annotation: Annotation, row: int) -> Detections:
    """Return detections near the objects, more or less well placed."""
    rng = np.random.default_rng(row)
    quads = annotation.quads + rng.uniform(-2, 2, (len(annotation.labels), 1, 2))
    scores = rng.uniform(0.1, 0.9, len(quads))
    return Detections(*(torch.from_numpy(values) for values in (quads, scores, annotation.labels)))


@pytest.mark.slow
def test_training_logs_what_the_evaluation_of_its_checkpoint_says(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table on the screen, results.csv, TensorBoard and metrics.json of best.pt: the same numbers.

    One epoch finds nothing, so the figures are those of jittered labels; the network's own detections are
    kept and compared, too.
    """
    own = []

    def keep(annotations: list[Annotation], found: list[Detections]) -> list[Detections]:
        own.append(found)
        return [jittered(annotation, row) for row, annotation in enumerate(annotations)]

    def shared(model: Any, annotations: list[Annotation], *others: Any) -> list[Detections]:
        return keep(annotations, predict_shared(model, annotations, *others))

    def settings_of(predictor: Predictor, annotations: list[Annotation]) -> list[list[Detections]]:
        return [keep(annotations, predict_settings(predictor, annotations)[0])]

    monkeypatch.setattr(train_GGHL, "predict_shared", shared)
    monkeypatch.setattr(evaluation, "predict_settings", settings_of)
    settings = ["train.epochs=1", "train.eval_every=1", "eval.score_threshold=0.0001", "train.name=one"]
    train_GGHL.main([*words, *settings])
    printed = capsys.readouterr().out
    assert run(["weights=runs/one"], monkeypatch) == 0
    again = capsys.readouterr().out
    assert sum(len(found.scores) for found in own[0]) > 0
    for one, two in zip(*own, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one, two, strict=True))
    values = json.loads(Path("runs/one/eval-val/metrics.json").read_text())["task1"]["voc12"]
    board = EventAccumulator("runs/one/tensorboard").Reload()
    logged = {tag: board.Scalars(tag)[-1] for tag in board.Tags()["scalars"]}
    row = read_results_table("runs/one/results.csv")[-1]
    for name in ("AP50", "AP75", "AP50:95"):
        mean = values[name]["mean"]
        assert 0 < mean < 1
        assert (logged[name].value, logged[name].step) == (pytest.approx(mean, rel=1e-6), 1)
        assert float(row[name]) == pytest.approx(mean, rel=1e-5)
        assert f"m{name} {mean:.3f}" in again
        known = {label: value for label, value in values[name]["per_class"].items() if value is not None}
        for label, value in known.items():
            assert logged[f"{name}/{label}"].value == pytest.approx(value, rel=1e-6)
    starts = ("class", "mean", *values["AP50"]["per_class"])
    table = [line for line in printed.splitlines() if line.startswith(starts)]
    assert len(table) == 6
    assert "\n".join(table) in again


@pytest.mark.slow
def test_two_processes_give_the_same_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = write_demo_scenes(tmp_path / "data", train=4, val=5, size=(96, 96))
    quick = [
        "data.image_size=64",
        "train.epochs=1",
        "train.batch_size=4",
        "data.workers=0",
        "model.size=nano",
    ]
    train_GGHL.main([f"data.root={root}", CLASSES, *quick, "train.name=one"])
    words = ["weights=runs/one", "eval.batch_size=2", "eval.score_threshold=0.0001", "train.amp=false"]
    words += ["sweep=0.2,0.6", "eval.flips=both", "eval.scales=[1,1.5]", "eval.merge_iou=0.5"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for out, start in (("one", []), ("two", launcher)):
        command = [sys.executable, *start, str(ROOT / "test.py"), *words, f"out={out}"]
        subprocess.run(command, env=environment, check=True, timeout=200)
    metrics = json.loads(Path("one/metrics.json").read_text())
    assert sum(metrics["task1"]["detections"].values()) > 0
    assert len(metrics["protocol"]["checkpoint_sha256"]) == 64
    assert metrics["protocol"]["flips"] == "both"
    assert metrics["protocol"]["scales"] == [1.0, 1.5]
    sweep = Path("one/sweep.csv").read_text().splitlines()
    assert {line.partition(",")[0] for line in sweep[1:]} == {"0.2", "0.45", "0.6"}
    assert set(json.loads(Path("one/speed.json").read_text())["milliseconds_per_image"]) == {
        *("data", "network", "postprocessing", "sweep")
    }
    for name in ("metrics.json", "metrics.csv", "sweep.csv"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()
    assert json.loads(Path("two/speed.json").read_text())["processes"] == 2
