"""Each detector from its YAML: it trains, resumes to the bit, equals itself in two processes, and learns."""

from pathlib import Path

import pytest
import torch

import test as evaluation
import train_GGHL
from cfg.load import ConfigError, config_text, load_config, load_config_text
from dataloadR.demo.scenes import write_demo_scenes
from evalR.inference.load import load_detector
from evalR.scoring.evaluate import mean_ap
from tests.test_overfit import WORDS as OVERFIT
from tests.test_overfit import eight_images
from tests.test_training import PLAIN, AfterSteps
from tests.training_runs import ROOT, WORDS, assert_same, finish, last_state, start, table
from utils.checkpoint import CheckpointError
from utils.errors import UserError
from utils.interrupts import Interrupted
from utils.run_settings import run_settings

DETECTORS = sorted(path.stem for path in (ROOT / "cfg/detectors").glob("*.yaml"))
OF_RECIPES = {  # what their YAML has for networks that have learnt before
    "rtmdet_r": ["train.optimizer=adamw", "train.lr=none"]
}
OTHERS = [name for name in DETECTORS if name != "gghl"]  # which the other tests train

LEAST_AP = {"retinanet": 0.80, "yolov3_r": 0.80}  # of eight images by heart; all others 0.90
FUSION = "model.neck=fusion"  # deformable convolutions take three times as long on a CPU
LIGHT = {  # no size of ours makes ResNet-50 and MiT-B1 smaller
    "retinanet": ["model.backbone=darknet53"],
    "ttfnet_mitb1_ga": ["model.backbone=darknet53"],
    "ttfnet_ga": [FUSION],
    "retinanet_s_ga": [FUSION],
    "atss_ga": [FUSION],
}
SURE = {"ttfnet_mitb1_ga": LIGHT["ttfnet_mitb1_ga"]}  # each process leaves other blocks of MiT-B1 out


def yaml_of(name: str) -> str:
    return str(ROOT / "cfg/detectors" / f"{name}.yaml")


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    write_demo_scenes(tmp_path / "data", train=8, val=2, size=(64, 64))
    return ["data.root=data", *WORDS, "train.epochs=1", "train.eval_every=1"]


@pytest.mark.parametrize("name", OTHERS)
def test_trains_predicts_and_names_its_losses(name: str, words: list[str]) -> None:
    train_GGHL.main([yaml_of(name), *words, *LIGHT.get(name, [])])  # whole where it is slow
    (row,) = table(name)
    trained = load_detector(Path("runs", name, "best.pt"), [], lambda _: torch.device("cpu"))
    terms = trained.model.method.terms
    assert [column for column in row if column in terms] == list(terms)
    assert float(row["total"]) == pytest.approx(sum(float(row[term]) for term in terms), rel=1e-4)
    assert trained.config.model.detector == load_config(yaml_of(name)).model.detector
    quads, scores = trained.model.method.candidates(
        trained.model(torch.rand(1, 3, 64, 96)), trained.config.eval
    )
    assert quads.isfinite().all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_checkpoints_of_other_detectors_are_refused_in_one_line(words: list[str]) -> None:
    train_GGHL.main([yaml_of("yolov3_r"), *words])
    message = r"runs/yolov3_r/best\.pt: trained as yolov3_r, got model\.detector=retinanet; leave it out"
    with pytest.raises(CheckpointError, match=message) as refused:
        evaluation.main([yaml_of("retinanet"), "runs/yolov3_r"])
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(CheckpointError, match=r"trained as yolov3_r, got model\.detector=gghl"):
        evaluation.main(["runs/yolov3_r", "model.detector=gghl"])
    evaluation.main([yaml_of("yolov3_r"), "runs/yolov3_r"])
    message = r"own settings, got model\.detector=retinanet \(the run has yolov3_r\), model\.backbone="
    with pytest.raises(UserError, match=message) as refused_run:
        train_GGHL.main([yaml_of("retinanet"), *words, "train.epochs=2", "train.resume=runs/yolov3_r"])
    assert "retinanet.scale" not in str(refused_run.value)
    assert len(str(refused_run.value).splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_resumes_to_the_bit(name: str, words: list[str]) -> None:
    words = [word for word in words if not word.startswith(("train.epochs", "train.eval"))]
    config = load_config(yaml_of(name), [*words, "train.epochs=2", "train.eval_every=2"])
    train_GGHL.train(config, "whole")
    with pytest.raises(Interrupted):
        train_GGHL.train(config, "parts", AfterSteps(3))
    again = config.train.model_copy(update={"resume": "auto"})
    train_GGHL.train(config.model_copy(update={"train": again}), "parts")
    assert_same(last_state("parts"), last_state("whole"))
    assert table("parts") == table("whole")


def chosen_yamls(request: pytest.FixtureRequest) -> list[str]:
    """Return the YAMLs of the detectors that the session tests, with words of their own, for `train_many`."""
    chosen = {item.name.partition("[")[2].rstrip("]") for item in request.session.items}
    return ["+".join([yaml_of(name), *SURE.get(name, [])]) for name in OTHERS if name in chosen]


@pytest.fixture(scope="module")
def in_processes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which one process and two have trained the detectors that are tested."""
    folder = tmp_path_factory.mktemp("processes")
    write_demo_scenes(folder / "data", train=8, val=2, size=(64, 64))
    yamls = ",".join(chosen_yamls(request))
    words = [yamls, f"data.root={folder}/data", *WORDS, "train.epochs=1", "train.eval_every=1", *PLAIN]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for suffix, processes in (("one", 1), ("two", 2)):
            finish(start([suffix, *words], processes, script="tests/train_many.py"), 1200)
    return folder


@pytest.mark.slow
@pytest.mark.xdist_group("in_processes")
@pytest.mark.parametrize("name", OTHERS)
def test_two_processes_equal_one(name: str, in_processes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(in_processes)
    found = last_state(f"{name}-two")
    for key, value in last_state(f"{name}-one")["model"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(found["model"][key], value, rtol=0, atol=1e-5)  # type: ignore[index]


def own_words(name: str) -> list[str]:
    """Return how a detector learns eight images by heart in the shortest time."""
    steps = 8 if name in ("gghl_pro", "gghl_centernet") else 4  # hundreds of them
    words = [f"train.epochs={steps}", f"train.eval_every={steps}"]
    return [*LIGHT.get(name, []), *words, *OF_RECIPES.get(name, [])]


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_overfits_eight_images(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = eight_images(tmp_path, scene_size=160)
    monkeypatch.chdir(tmp_path)
    words = [f"data.root={root}", "data.workers=0", *OVERFIT, "data.image_size=160", *own_words(name)]
    result = train_GGHL.train(load_config(yaml_of(name), words), "eight")
    assert mean_ap(result, "voc12", 0.5) >= LEAST_AP.get(name, 0.90)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ttfnet_mitb1_ga", "fcos_s_ga", "retinanet_s_ga"])
def test_boxes_of_four_numbers_train_a_detector_of_boxes(name: str, words: list[str]) -> None:
    for file in Path("data").rglob("labelTxt/*.txt"):
        rows = [line.split() for line in file.read_text().splitlines() if ":" not in line]
        boxes = [
            [min(map(float, xs)), min(map(float, ys)), max(map(float, xs)), max(map(float, ys))]
            for xs, ys in ((row[0:8:2], row[1:8:2]) for row in rows)
        ]
        lines = [" ".join(map(str, [*b, *row[8:]])) for b, row in zip(boxes, rows, strict=True)]
        file.write_text("\n".join(lines))
    train_GGHL.main([yaml_of(name), *words, "model.horizontal=true"])
    trained = load_detector(Path("runs", name, "best.pt"), [], lambda _: torch.device("cpu"))
    method = trained.model.method
    assert method.is_horizontal
    assert "glide" not in method.terms
    quads, _ = method.candidates(trained.model(torch.rand(1, 3, 64, 96)), trained.config.eval)
    edges = (quads.roll(-1, dims=-2) - quads).abs()
    assert (edges.amin(dim=-1) == 0).all()


def test_the_settings_of_others_are_refused_by_name() -> None:
    with pytest.raises(
        ConfigError, match=r"fcos\.min_centerness: read by fcos_r alone, model\.detector is gghl"
    ):
        load_config(None, ["fcos.min_centerness=0.1"])
    with pytest.raises(ConfigError, match=r"loss\.iou: read by gghl, .* alone"):
        load_config(yaml_of("centernet_r"), ["loss.iou=2"])
    load_config(None, ["fcos.min_centerness=0.05"])  # as it is anyway
    text = config_text(load_config(yaml_of("fcos_r")))
    assert "assign.min_side" in text
    assert "assign.rule" in text
    assert "assign.level_bounds" not in text
    assert "centernet." not in text
    assert load_config_text(text, "config.yaml") == load_config(yaml_of("fcos_r"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["model.strides=4,8,16,32"],
            r"assign\.level_bounds: expected 3 rising numbers, one between",
        ),
        (["model.strides=8,32"], r"model\.strides: expected strides that double"),
        (["assign.level_bounds=9,9"], r"assign\.level_bounds: expected 2 rising numbers"),
        (["model.detector=fcos_r", "fcos.level_bounds=9"], r"fcos\.level_bounds: expected 2 rising"),
        (["model.detector=lo_det", "assign.level_bounds=9"], r"assign\.level_bounds: expected 2 rising"),
    ],
)
def test_levels_and_bounds_belong_together(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["model.detector=yolo"],
            r"model\.detector: expected one of .*\bgghl\b.*got 'yolo'",
        ),
        (["model.detector=centernet_r", "model.strides=8"], r"model\.strides: expected none, centernet_r"),
        (["model.detector=lo_det", "model.strides=4,8,16,32"], r"model\.strides: expected none, lo_det"),
        (["model.detector=npmmr", "model.strides=16,32"], r"model\.strides: expected none, npmmr"),
        (["model.detector=retinanet", "model.neck=pafpn"], r"model\.neck: expected none or fpn, retinanet"),
        (["model.detector=yolov3_r", "model.strides=8,16"], r"yolov3\.anchors: expected 12 numbers"),
    ],
)
def test_unknown_detectors_are_said_before_data_are_read(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        train_GGHL.main(["data.root=nowhere", *words])


def test_settings_of_a_detector_stand_beside_its_yaml(tmp_path: Path) -> None:
    for name, word in (
        ("fcos_r", "fcos.min_centerness=0.1"),
        ("gghl_pro", "assign.level_bounds=70,150,300"),
        ("centernet_r", "centernet.top_k=100"),
    ):
        settings = run_settings([yaml_of(name)], [word, "data.root=x"], tmp_path, restarted=False)
        assert config_text(settings.config) != config_text(load_config(yaml_of(name), ["data.root=x"]))


def test_later_yamls_win_and_all_name_the_run(tmp_path: Path) -> None:
    one, two = tmp_path / "data.yaml", tmp_path / "more.yaml"
    one.write_text("data.root: here\ntrain.epochs: 7\nmodel.size: nano\n")
    two.write_text("train.epochs: 9\nmodel.detector: fcos_r\n")
    settings = run_settings([str(one), str(two)], ["model.size=small"], tmp_path, restarted=False)
    config = settings.config
    assert (config.data.root, config.train.epochs, config.model.detector) == ("here", 9, "fcos_r")
    assert (config.model.size, settings.name) == ("small", "data-more")
