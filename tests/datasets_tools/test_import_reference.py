"""What the tool writes, that all of the project takes it, and that nothing is written after bad input."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import predict
from cfg.load import config_text, file_words, load_config, load_config_text
from datasets_tools import import_reference
from datasets_tools.import_reference import PRESETS, reference_settings
from evalR.inference.detector import Detector
from evalR.inference.slicing import whole_scale
from modelR.build import build_for_training
from tests.modelR.published import hollow_state, in_form, seeded_state
from utils.checkpoint import CheckpointError, load_checkpoint
from utils.errors import UserError
from utils.files import file_hash

ROOT = Path(__file__).parents[2]


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A file of 15 classes with the right shapes."""
    torch.save(in_form(hollow_state(), "training-ddp"), tmp_path / "last.pt")
    return tmp_path / "last.pt"


def test_help_imports_no_torch() -> None:
    code = "import sys; from datasets_tools.import_reference import build_parser as b; b().format_help()"
    code += "; assert not {'torch', 'cv2', 'numba'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.slow
def test_what_is_written(published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "dota.pt"
    out.parent.mkdir()
    out.write_bytes(b"old")
    import_reference.main([str(published), str(out), "--classes", "dota", "--overwrite"])
    checkpoint = load_checkpoint(out)
    config = load_config_text(checkpoint["config"], "dota.pt")
    dota = load_config(ROOT / "cfg" / "dota.yaml")
    assert checkpoint["classes"] == list(config.data.classes) == list(dota.data.classes)
    assert config.model.size == "large"
    assert config.data.image_size == 800
    assert config.data.training_scale == (1.0, 1.0, 1.0)
    assert config.train == dota.train
    assert checkpoint["origin"]["sha256"] == file_hash(published)
    assert checkpoint["origin"]["file"] == "last.pt"
    assert "GPL-3.0" in checkpoint["origin"]["licence"]
    printed = capsys.readouterr().out
    for words in (
        file_hash(published),
        "all 464 tensors",
        "15 classes: plane, baseball-diamond, ",
        "GPL-3.0",
        "academic use",
    ):
        assert words in printed
    with pytest.raises(CheckpointError, match=r"dota\.pt: a checkpoint of this project already"):
        import_reference.main([str(out), str(tmp_path / "again.pt"), "--classes", "dota"])
    assert [path.name for path in out.parent.iterdir()] == ["dota.pt"]


@pytest.mark.parametrize(
    ("word", "count", "last"),
    [
        ("dota", 15, "helicopter"),
        ("dota15", 16, "container-crane"),
        ("dota2", 18, "helipad"),
        ("hrsc", 1, "ship"),
        ("sku110k", 1, "object"),
        ("car,bus", 2, "bus"),
        ("car", 1, "car"),
    ],
)
def test_classes(word: str, count: int, last: str) -> None:
    config = reference_settings(word)
    assert len(config.data.classes) == count
    assert config.data.classes[-1] == last
    assert (config.data.training_scale == (1.0, 1.0, 1.0)) == word.startswith("dota")


def test_a_file_of_class_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("car\nsmall bus\n", encoding="utf-8")
    assert reference_settings(str(tmp_path / "names.txt")).data.classes == ("car", "small bus")
    assert all(reference_settings(word).data.image_size == 800 for word in PRESETS)


@pytest.mark.parametrize(
    ("name", "words", "line"),
    [
        (
            "out.pt",
            ["--classes", "dota2"],
            r"last\.pt: expected a name for each of 15 classes, got 18 \(plane, ",
        ),
        ("out.pt", ["--classes", "dota1.0"], r"each of 15 classes, got 1 \(dota1\.0\)$"),
        ("out.pt", ["--classes", "a,b,a"], r"expected each once, got 'a' twice"),
        (
            "out.pt",
            ["--classes", ","],
            r"--classes ',': expected dota, dota15, dota2, hrsc, sku110k, or names",
        ),
        ("out.pth", ["--classes", "dota"], r"out\.pth: expected a name that ends in \.pt"),
        ("last.pt", ["--classes", "dota"], r"last\.pt: expected another file than the one that is read"),
        ("other.pt", ["--classes", "dota"], r"other\.pt: is there already; --overwrite replaces it"),
    ],
)
def test_nothing_is_written_after_bad_input(
    name: str, words: list[str], line: str, published: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.pt").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=line):
        import_reference.main([str(published), str(tmp_path / name), *words])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_process_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    words = [tmp_path / "best.pt", tmp_path / "out.pth", "--classes", "dota"]
    done = subprocess.run(
        [sys.executable, "-m", "datasets_tools.import_reference", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"error: {tmp_path / 'out.pth'}: expected a name that ends in .pt\n"


@pytest.mark.slow
def test_the_project_takes_it_as_one_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(seeded_state(), "best.pt")
    import_reference.main(["best.pt", "dota.pt", "--classes", "dota"])
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    cv2.imwrite("a.png", image)
    detector = Detector("dota.pt", "cpu", quiet=True, **{"data.image_size": 96})
    assert detector.classes == tuple(load_config(ROOT / "cfg" / "dota.yaml").data.classes)
    found = detector("a.png")
    predict.main(["a.png", "weights=dota.pt", "out=out", "train.device=cpu", "data.image_size=96"])
    assert len(Path("out/a.txt").read_text().splitlines()) == len(found) > 0

    config = load_config(None, ["model.size=large", "train.init=dota.pt"])
    fresh = build_for_training(config, ["ship"], torch.device("cpu"), resumed=False)
    taken, own = load_checkpoint("dota.pt")["model"], fresh.state_dict()
    different = {key for key, tensor in own.items() if not torch.equal(tensor, taken[key])}
    assert different == set(fresh.class_outputs())


def test_as_published_scores_and_shows_as_that_code() -> None:
    words = file_words(ROOT / "cfg" / "presets" / "as_published.yaml")
    config = load_config_text(config_text(reference_settings("dota")), "dota.pt", words)
    assert config.eval.vote_iou == 1.0
    assert not config.eval.ratio_check
    assert config.eval.class_weight == 0.5
    assert config.eval.nms_iou == 0.45
    assert [whole_scale(size, config) for size in ((800, 800), (400, 300), (1600, 900), (3000, 3000))] == [
        1.0,
        2.0,
        0.5,
        None,
    ]
