"""The three scripts from the outside: what they leave behind, and how they end on bad input."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import predict
import test as evaluation
import train_GGHL
from dataloadR.demo.scenes import write_demo_scenes
from datasets_tools import convert, show
from utils.cli import run_script

pytestmark = pytest.mark.xdist_group("scripts")
ROOT = Path(__file__).parents[1]
CLASSES = "data.classes=[court,plane,ship,vehicle]"
QUICK = [
    CLASSES,
    "data.image_size=64",
    "train.epochs=2",
    "train.eval_every=1",
    "train.batch_size=2",
    "data.workers=0",
]
Main = Callable[[Sequence[str]], None]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DOTA folder of four small scenes, and a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    return write_demo_scenes(tmp_path / "data", train=3, val=1, size=(96, 96))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working folder of one short training."""
    folder = tmp_path_factory.mktemp("work")
    root = write_demo_scenes(folder / "data", train=3, val=1, size=(96, 96))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_GGHL.main([f"data.root={root}", *QUICK])
    return folder


def run(main: Main, words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["script", *words])
    return run_script(main)


def assert_refused(
    main: Main, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """Run, expect exit code 2 and exactly one error line, and return that line."""
    assert run(main, words, monkeypatch) == 2
    lines = capsys.readouterr().err.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert lines[place:] == lines[place : place + 1]
    return lines[place]


def test_training_leaves_what_it_announces(trained: Path) -> None:
    run_folder = trained / "runs" / "data"
    for name in ("config.yaml", "results.csv", "last.pt", "best.pt", "curves.png", "predictions.jpg"):
        assert (run_folder / name).stat().st_size > 0
    with (run_folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(np.isfinite(float(row["total"])) for row in rows)
    assert {"lr", "AP50", "AP75", "AP50:95", "foreground", "iou", "glide"} <= set(rows[0])
    best = torch.load(run_folder / "best.pt", weights_only=True)
    assert best["classes"] == ["court", "plane", "ship", "vehicle"]
    last = torch.load(run_folder / "last.pt", weights_only=True)
    expected = {"format", "config", "classes", "model", "ema", "optimizer", "scheduler", "scaler", "position"}
    assert expected <= set(last)


def test_a_second_training_never_overwrites(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    before = (trained / "runs/data/best.pt").read_bytes()
    train_GGHL.main([f"data.root={trained}/data", *QUICK, "train.epochs=1"])
    assert (trained / "runs/data-2/best.pt").is_file()
    assert (trained / "runs/data/best.pt").read_bytes() == before


@pytest.mark.parametrize("weights", ["runs/data", "runs/data/last.pt"])
def test_evaluation_leaves_metrics_and_result_files(
    weights: str, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    assert run(evaluation.main, [weights, "data.workers=0"], monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("mAP50 0.") for line in lines) == 1
    assert sum(line.startswith("mAP75 0.") for line in lines) == 1
    (line,) = (line for line in lines if line.startswith("results: "))
    folder = trained / line.removeprefix("results: ")
    assert folder.name.startswith("eval-val")
    assert {path.name for path in (folder / "Task1").iterdir()} == {
        f"Task1_{name}.txt" for name in ("court", "plane", "ship", "vehicle")
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["protocol"]["split"] == "val"
    assert metrics["task1"]["voc07"]["AP50"]["mean"] is not None
    assert (folder / "predictions.jpg").stat().st_size > 0


def test_evaluations_that_differ_share_no_folder(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    best = (trained / "runs/data/best.pt").read_bytes()
    (tmp_path / "run/best.pt").write_bytes(best)
    words = ["run", "data.workers=0"]
    for more, folder in (
        ([], "eval-val"),
        (["eval.nms_iou=0.3"], "eval-val-2"),
        (["eval.nms_iou=0.3", "eval.batch_size=1"], "eval-val-2"),
        (["sweep=score"], "eval-val"),
    ):
        assert run(evaluation.main, [*words, *more], monkeypatch) == 0
        assert f"results: run/{folder}\nreport: run/{folder}/report/index.html\n" in capsys.readouterr().out
        settings = json.loads(Path("run", folder, "metrics.json").read_text())["protocol"]["settings"]
        assert settings["eval.nms_iou"] == (0.45 if folder == "eval-val" else 0.3)
        assert settings["data.image_size"] == [64, 64]
    assert Path("run/eval-val/sweep.csv").is_file()
    assert {path.name for path in Path("run").iterdir()} == {"best.pt", "eval-val", "eval-val-2"}
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "predict_settings", lambda *_: pytest.fail("refused before the work"))
        line = assert_refused(evaluation.main, [*words, "eval.flips=both", "out=run/eval-val"], patch, capsys)
    assert line.startswith("error: out=run/eval-val: has eval.flips none, now both; expected a new folder, ")
    (tmp_path / "run/last.pt").write_bytes(best + b"\0")  # other bytes, the same weights
    assert run(evaluation.main, ["run/last.pt", "data.workers=0"], monkeypatch) == 0
    assert "results: run/eval-val-3\n" in capsys.readouterr().out
    assert run(evaluation.main, ["compare=run/eval-val,run", "bootstrap=3"], monkeypatch) == 0
    assert "B: run/eval-val-3/Task1\n" in capsys.readouterr().out


def test_an_unlabelled_split_gets_result_files_alone(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    (tmp_path / "test/images").mkdir(parents=True)
    (tmp_path / "test/labelTxt").mkdir()
    for path in (trained / "data/val/images").iterdir():
        (tmp_path / "test/images" / path.name).write_bytes(path.read_bytes())
    words = ["runs/data", f"data.root={tmp_path}", "eval.split=test", "data.workers=0"]
    assert run(evaluation.main, words, monkeypatch) == 0
    assert "no labels" in capsys.readouterr().out
    assert (trained / "runs/data/eval-test/Task1/Task1_ship.txt").is_file()
    assert not (trained / "runs/data/eval-test/metrics.json").exists()
    record = json.loads((trained / "runs/data/eval-test/protocol.json").read_text())
    assert record["protocol"]["settings"]["data.image_size"] == [64, 64]
    assert record["protocol"]["objects"] == 0
    line = assert_refused(evaluation.main, [*words, "sweep=score"], monkeypatch, capsys)
    assert line == "error: sweep: expected a split with labels, test has none"
    next((tmp_path / "test/images").iterdir()).rename(tmp_path / "test/images/two words.jpg")
    assert run(evaluation.main, [*words, f"out={tmp_path}/out"], monkeypatch) == 0
    assert "there are neither metrics nor result files" in capsys.readouterr().out
    assert not (tmp_path / "out/Task1").exists()


def test_prediction_writes_pictures_and_text(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    out = tmp_path / "out"
    words = [str(trained / "data/val/images"), "--out", str(out), "predict.score_threshold=0.0"]
    assert run(predict.main, words, monkeypatch) == 0
    (text,) = out.glob("*.txt")
    (picture,) = out.glob("*.jpg")
    fields = text.read_text().splitlines()[0].split()
    assert len(fields) == 10
    assert fields[8] in ("court", "plane", "ship", "vehicle")
    height, width, _ = cv2.imread(str(picture)).shape  # enlarged as the objects need it, above a legend
    assert width % 96 == 0
    assert height > width


def test_results_of_images_that_share_a_stem_keep_apart() -> None:
    paths = [Path("a.jpg"), Path("a.png"), Path("b.png")]
    assert list(predict.output_names(paths).values()) == ["a.jpg", "a.png", "b"]


def test_large_images_are_predicted_in_tiles(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((200, 300, 3), np.uint8))
    words = [str(tmp_path / "large.png"), "--out", str(tmp_path / "out")]
    assert run(predict.main, words, monkeypatch) == 0
    assert (tmp_path / "out/large.txt").is_file()


@pytest.mark.parametrize("main", [train_GGHL.main, evaluation.main, predict.main])
@pytest.mark.parametrize(
    "words", [["--settings"], ["--settings", "train.epochs"], ["a", "--settings", "epochs"]]
)
def test_settings_are_listed_without_data_and_run(
    main: Main,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        run(main, words, monkeypatch)
    assert caught.value.code == 0
    assert "  train.epochs=100  (whole number from 1)" in capsys.readouterr().out.splitlines()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ["weights=runs/data", "out=OUT", "formats=csv,dota", "overwrite=true", "predict.classes=ship,plane"],
        [
            "--weights=runs/data",
            "--out=OUT",
            "--formats=[csv,dota]",
            "--overwrite",
            "--predict.classes=ship,plane",
        ],
        [
            "--weights",
            "runs/data",
            "--out",
            "OUT",
            "--formats",
            "csv,dota",
            "--predict.classes",
            "ship,plane",
        ],
    ],
)
def test_each_spelling_of_options(
    words: list[str], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained)
    image = next((trained / "data/val/images").iterdir())
    words = [word.replace("OUT", str(tmp_path / "out")) for word in words]
    assert run(predict.main, [*words, str(image), "predict.score_threshold=0"], monkeypatch) == 0
    found = (tmp_path / "out" / f"{image.stem}.txt").read_text().splitlines()
    assert {line.split()[8] for line in found} <= {"ship", "plane"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        ".predictions",
        f"{image.stem}.txt",
        "detections.csv",
    }


def write_label(data: Path, line: str) -> Path:
    path = next(iter(sorted((data / "train/labelTxt").iterdir())))
    path.write_text(line + "\n")
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1 1 9 1 9 9 1 9 boat 0", "'boat'"),
        ("1 1 9 1 9 9 ship", "7 fields"),
        ("1 1 9 1 9 x9 1 9 ship 0", "x9"),
    ],
    ids=["unknown class", "seven fields", "no number"],
)
def test_bad_labels(
    line: str,
    expected: str,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_label(data, line)
    words = [f"data.root={data}", *QUICK]
    error = assert_refused(train_GGHL.main, words, monkeypatch, capsys)
    assert f"{path}:1" in error
    assert expected in error


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["data.root=nowhere"], "nowhere"),
        (["data.train=learning"], "learning"),
        (["data.image_siz=64"], "data.image_siz"),
        (["train.epochs=many"], "train.epochs"),
        (["data.image_size=100"], "multiples of 32"),
        (["data.image_size=abc"], "data.image_size"),
        (["train.name=a/b"], "train.name"),
        (["model.dropblock=1.0"], "model.dropblock"),
        (["data.classes=[ship,ship]"], "data.classes"),
        (["train.device=tpu9"], "train.device"),
        (["train.device=99"], "train.device=cuda:99: not usable here: "),
        (["train.device=0,1"], "NGPU=2 sh train_GGHL_dist.sh"),
        (["epochs=3"], "unknown key 'epochs'; did you mean 'train.epochs'?"),
        (["--batch-size", "8"], "unknown key 'batch-size'; did you mean 'train.batch_size'"),
        (["weights=none.pt"], "none.pt: no such file"),
        (["--train.epochs", "0"], "train.epochs"),
        (["model.weights=nosuch.weights"], "nosuch.weights"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_bad_settings(
    words: list[str],
    expected: str,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = assert_refused(train_GGHL.main, [f"data.root={data}", *QUICK, *words], monkeypatch, capsys)
    assert expected in error


def test_empty_split(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (data / "val/images").iterdir():
        path.unlink()
    error = assert_refused(train_GGHL.main, [f"data.root={data}", *QUICK], monkeypatch, capsys)
    assert "val" in error


def test_no_object_at_all(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "train/labelTxt").rename(data / "train/labels")
    error = assert_refused(train_GGHL.main, [f"data.root={data}", *QUICK], monkeypatch, capsys)
    assert "no object in 3 images" in error


def test_results_never_overwrite_the_images(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    images = trained / "data/val/images"
    before = {path: path.read_bytes() for path in images.iterdir()}
    error = assert_refused(predict.main, [str(images), "--out", str(images)], monkeypatch, capsys)
    assert "overwrite" in error
    assert {path: path.read_bytes() for path in images.iterdir()} == before


def test_names_with_blanks_are_scored_without_result_files(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    for folder in ("images", "labelTxt"):
        (tmp_path / "blank" / folder).mkdir(parents=True)
        for path in (trained / "data/val" / folder).iterdir():
            (tmp_path / "blank" / folder / f"my {path.name}").write_bytes(path.read_bytes())
    words = ["runs/data", f"data.root={tmp_path}/blank", "data.workers=0"]
    assert run(evaluation.main, words, monkeypatch) == 0
    assert "mAP50 0." in capsys.readouterr().out


@pytest.mark.parametrize("workers", [0, 1])
def test_truncated_image(
    workers: int, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (data / "train/images").iterdir():
        path.write_bytes(path.read_bytes()[:-200])
    words = [f"data.root={data}", *QUICK, f"data.workers={workers}"]
    error = assert_refused(train_GGHL.main, words, monkeypatch, capsys)
    assert "truncated" in error
    assert "train/images" in error


def test_images_far_larger_than_the_input(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data.root={data}", *QUICK, "data.image_size=32"]
    error = assert_refused(train_GGHL.main, words, monkeypatch, capsys)
    assert "datasets_tools.split" in error
    assert "96 x 96" in error


def test_checkpoint_of_other_classes(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    error = assert_refused(evaluation.main, ["runs/data", "data.classes=[ship,plane]"], monkeypatch, capsys)
    assert "trained on 4 classes" in error
    best = torch.load("runs/data/best.pt", weights_only=True)
    torch.save(best | {"classes": ["ship"]}, "other.pt")
    error = assert_refused(evaluation.main, ["other.pt"], monkeypatch, capsys)
    assert "other.pt" in error
    assert "class" in error


@pytest.mark.parametrize("main", [evaluation.main, lambda words: predict.main([".", "--weights", *words])])
def test_weights_that_are_no_checkpoint(
    main: Main, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.png").write_bytes(next((data / "val/images").iterdir()).read_bytes())
    Path("weights.pt").write_text("no weights")
    assert "weights.pt" in assert_refused(main, ["weights.pt"], monkeypatch, capsys)
    assert "missing.pt" in assert_refused(main, ["missing.pt"], monkeypatch, capsys)


@pytest.mark.slow
def test_exit_code_of_a_process() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "train_GGHL.py", "data.root=nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", ["dota", "yolo-obb/data.yaml", "coco", "coco/annotations/instances_train.json"]
)
def test_one_epoch_from_every_format(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained, scored from the same root, and shown; the classes are those of the file."""
    monkeypatch.chdir(tmp_path)
    demo, form = write_demo_scenes(tmp_path / "demo", train=4, val=2, size=(96, 96)), source.partition("/")[0]
    words = ["--from", "dota", "--to", form, "--processes", "1", "--classes", "vehicle,ship,plane,court"]
    convert.main([str(demo), form, *words])
    quick = [word for word in QUICK if not word.startswith(("data.classes", "train.epochs"))]
    words = [f"data.root={source}", *quick, "train.epochs=1", "model.size=nano", "train.name=own"]
    words += [CLASSES] if form == "dota" else []
    assert run(train_GGHL.main, words, monkeypatch) == 0
    best = torch.load("runs/own/best.pt", weights_only=True)
    if form != "dota":
        assert best["classes"] == ["vehicle", "ship", "plane", "court"]
    assert run(evaluation.main, ["runs/own"], monkeypatch) == 0
    results = "results=runs/own/eval-val/Task1"
    assert run(evaluation.main, [results, f"data.root={source}", "data.split=val"], monkeypatch) == 0
    names = "".join(f"{path.name}\n" for path in sorted((demo / "val" / "images").iterdir()))
    Path("names.txt").write_text(names)
    listed = [results, f"data.root={source}", "data.images=names.txt", "data.split=val", "out=listed"]
    assert run(evaluation.main, listed, monkeypatch) == 0
    folders = (Path("runs/own/eval-val/Task1/eval-val"), Path("listed"))
    one, other = (json.loads((folder / "metrics.json").read_text()) for folder in folders)
    assert one["task1"] == other["task1"]
    assert run(show.main, [source, "look", "--number", "0"], monkeypatch) == 0
    assert len(list(Path("look").glob("*.png"))) == 4
