"""test.py from the outside: result files without a model, where things go, and several processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import test as evaluation
import train_GGHL
from dataloadR.demo_scenes import write_demo_scenes
from tests.paths import GOLDEN
from utils.cli import run_script

ROOT = Path(__file__).parents[1]
DEVKIT = GOLDEN / "dota_eval"
CLASSES = "data.classes=[court,plane,ship,vehicle]"
QUAD = "10 10 30 10 30 20 10 20"


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["test.py", *words])
    return run_script(evaluation.main)


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


def test_labels_of_a_split(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / "train").mkdir()
    (results / "labelTxt").rename(results / "train/labelTxt")
    words = [f"results={results}/found", f"data.root={results}", f"data.images={results}/list.txt"]
    assert run([*words, "data.split=train", f"out={results}/out"], monkeypatch) == 0
    assert json.loads((results / "out/metrics.json").read_text())["protocol"]["objects"] == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["results=nowhere"], "nowhere: expected a folder of result files"),
        (["data.images=nowhere.txt"], "nowhere.txt: expected a folder of images or a list"),
        (["data.root=found"], "found: expected label files in labelTxt/, val/labelTxt/ or Annotations/"),
        (["weights=best.pt"], "weights, results: expected one of the two"),
        (["a.yaml", "b.yaml"], "expected one YAML and one checkpoint at most, got a.yaml b.yaml"),
        (["data.imags=list.txt"], "data.imags"),
        (["data.classes=[plane]"], "unknown class 'ship'"),
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
    assert run(["results=found", "data.root=.", "data.images=list.txt", *words], monkeypatch) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert expected in line


def test_bad_lines_leave_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(results)
    Path("found/Task1_ship.txt").write_text(f"P1 0.9 {QUAD}\nP3 0.9 {QUAD}\n")
    assert run(["results=found", "data.root=.", "data.images=list.txt", "out=out"], monkeypatch) == 2
    assert "found/Task1_ship.txt:2: expected an image of the list" in capsys.readouterr().err
    assert not Path("out").exists()


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
    train_GGHL.main([f"data.root={root}", CLASSES, *quick])
    words = ["weights=runs/demo", "eval.batch_size=2", "eval.score_threshold=0.0001", "train.amp=false"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    for out, start in (("one", []), ("two", launcher)):
        command = [sys.executable, *start, str(ROOT / "test.py"), *words, f"out={out}"]
        subprocess.run(command, env=environment, check=True, timeout=200)
    metrics = json.loads(Path("one/metrics.json").read_text())
    assert sum(metrics["task1"]["detections"].values()) > 0
    assert len(metrics["protocol"]["checkpoint_sha256"]) == 64
    for name in ("metrics.json", "metrics.csv"):
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()
    assert json.loads(Path("two/speed.json").read_text())["processes"] == 2
