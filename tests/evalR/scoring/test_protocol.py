"""What is recorded of an evaluation, and which differences count."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cfg.load import load_config
from cfg.schema import Config
from evalR.inference.load import Trained
from evalR.scoring.columns import Truth
from evalR.scoring.compare import Side, protocol_differences
from evalR.scoring.differences import HARMLESS_KEYS, MEASURED, Difference, differences, facts, said
from evalR.scoring.folders import evaluation_folder
from evalR.scoring.protocol import (
    LEFT_OUT,
    SECTIONS,
    labels_hash,
    model_protocol,
    named_data,
    protocol_of,
    results_hash,
    results_protocol,
    settings_of,
)
from tests.evalR.small_scenes import square

TRUTH = Truth(np.zeros(1, int), np.zeros(1, int), np.zeros(1, bool), np.array([square(0)], float))
CHANGES = [
    "data.image_size=320",
    "data.max_downscale=4",
    "data.on_error=skip",
    "eval.score_threshold=0.05",
    "eval.class_weight=0.4",
    "eval.multi_label=true",
    "eval.ratio_check=false",
    "eval.pre_nms=100",
    "eval.nms_iou=0.3",
    "eval.vote_iou=1",
    "eval.support=0.5",
    "eval.max_detections=100",
    "eval.metric=voc07",
    "eval.scales=[1,1.5]",
    "eval.flips=both",
    "eval.turns=[0,1]",
    "eval.merge=fuse",
    "eval.merge_iou=0.5",
    "predict.tile=512",
    "predict.overlap=100",
    "predict.rates=[0.5,1]",
    "predict.bands=[1]",
    "predict.stretch=[2,98]",
    "train.amp=false",
]
OLD = {  # as test.py wrote it before there were `settings`
    "data": {"root": "data", "split": "val", "images": None},
    "split": "val",
    "images": 1,
    "objects": 1,
    "difficult_objects": 0,
    "thresholds": {"iou": [k / 100 for k in range(50, 100, 5)], "score": 0.005},
    "scales": [1.0],
    "flips": "none",
    "turns": [0],
    "nms": {
        "iou": 0.45,
        "merge": "nms",
        "merge_iou": 0.3,
        "class_weight": 0.5,
        "multi_label": False,
        "ratio_check": True,
        "pre_nms": 3000,
        "vote_iou": 0.5,
        "support": 0.0,
        "max_detections": 2000,
    },
    "commit": "none",
    "weights": "runs/old/best.pt",
    "checkpoint_sha256": "0" * 64,
    "results": None,
}


def made(weights: Path, words: str = "", **plan: object) -> dict:
    """Return the protocol of a model with settings, on one object in one image."""
    config = load_config(None, ["data.root=data", *words.split()])
    if not weights.exists():
        weights.write_text(weights.name)
    trained = Trained(None, ("ship",), config, torch.device("cpu"), weights)  # type: ignore[arg-type]
    data = named_data(config.data, config.data.split(config.eval.split))
    return model_protocol(
        protocol_of(TRUTH, ["a"], data, ("ship",)), trained.config, trained.device, trained.path, plan
    )


def test_every_setting_is_recorded_or_left_out_for_a_reason() -> None:
    config = Config()
    fields = {f"{name}.{key}" for name in SECTIONS for key in type(getattr(config, name)).model_fields}
    recorded = set(settings_of(config))
    assert recorded | set(LEFT_OUT) == fields | {"train.amp"}
    assert not recorded & set(LEFT_OUT)
    assert all(LEFT_OUT.values())
    assert all(HARMLESS_KEYS.values())


@pytest.mark.parametrize("word", CHANGES)
def test_a_setting_is_a_folder_and_a_line(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    monkeypatch.setattr("utils.precision.half_type", lambda _: None)  # train.amp is then said once
    a, b = made(Path("best.pt")), made(Path("best.pt"), word)
    (found,) = protocol_differences([Side("x", Path("x"), {"protocol": protocol}) for protocol in (a, b)])
    key, value = word.split("=")
    assert found.key == key
    assert str(found).startswith(f"{key}: ")
    assert value.strip("[]").split(",")[0] in str(found).split(" in A, ")[1]
    for protocol, folder in ((a, "eval-val"), (b, "eval-val-2"), (a, "eval-val"), (b, "eval-val-2")):
        with evaluation_folder(Path("eval-val"), protocol, given=False) as place:
            assert place.folder == Path(folder)
            (place.draft / "metrics.json").write_text(json.dumps({"protocol": protocol}))
    assert f"eval-val has {key} " in caplog.text
    assert f", now {found.value(found.b)}: results go to eval-val-2" in caplog.text


@pytest.mark.parametrize(
    "words",
    [
        "",
        "eval.batch_size=3",
        "predict.batch_size=3",
        "data.workers=1",
        "data.cache_gb=3",
        "predict.score_threshold=0.9",
        "predict.formats=[csv]",
        "data.image_size=[640,640]",
        "data.val=valid data.train=val eval.split=train",
    ],
)
def test_what_changes_no_figure_is_no_difference(words: str, tmp_path: Path) -> None:
    a, b = made(tmp_path / "best.pt"), made(tmp_path / "best.pt", words)
    assert differences(a, b) == differences(b, a) == []
    (tmp_path / "other.pt").write_text("best.pt")
    moved = made(tmp_path / "other.pt") | {"commit": "another", "device": "cuda"}
    assert differences(a, moved, set(HARMLESS_KEYS) - set(MEASURED)) == [], "the same weights elsewhere"


def test_other_weights_are_another_evaluation_but_no_other_protocol(tmp_path: Path) -> None:
    a, b = made(tmp_path / "best.pt"), made(tmp_path / "last.pt")
    assert differences(a, b) == []
    (found,) = differences(a, b, set(HARMLESS_KEYS) - set(MEASURED))
    assert found.key == "checkpoint_sha256"
    assert said([found]).startswith(f"checkpoint_sha256 {a['checkpoint_sha256'][:12]}, now ")


def test_what_is_decided_from_the_images_counts(tmp_path: Path) -> None:
    a, b = (made(tmp_path / "best.pt", tiles=tiles, scales=(0.5, 1)) for tiles in (3, 4))
    assert [str(one) for one in differences(a, b)] == ["plan.tiles: 3 in A, 4 in B"]
    assert [str(one) for one in differences(a, made(tmp_path / "best.pt"))] == [
        "plan.tiles: 3 in A, not recorded in B",
        "plan.scales: [0.5, 1] in A, not recorded in B",
    ]


def test_precision_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.precision.half_type", lambda _: torch.bfloat16)
    half = made(tmp_path / "best.pt")
    monkeypatch.setattr("utils.precision.half_type", lambda _: None)
    assert [str(one) for one in differences(half, made(tmp_path / "best.pt"))] == [
        "precision: bfloat16 in A, float32 in B"
    ]


def test_older_protocols_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    rules = made(tmp_path / "best.pt")["rules"]
    found = differences(OLD | {"rules": rules}, made(tmp_path / "best.pt", "eval.nms_iou=0.3"))
    (known,) = [one for one in found if one.recorded]
    assert str(known) == "eval.nms_iou: 0.45 in A, 0.3 in B"
    unknown = {str(one) for one in found if not one.recorded}
    assert "data.image_size: not recorded in A, [640, 640] in B" in unknown
    assert "predict.tile: not recorded in A, none in B" in unknown
    assert [line for line in unknown if line.startswith("eval.")] == [
        "eval.metric: not recorded in A, voc12 in B"
    ]
    assert differences(OLD, OLD) == []
    assert said(found).startswith("eval.nms_iou 0.45, now 0.3; no record of ")


def test_an_older_side_says_its_classes(tmp_path: Path) -> None:
    metrics = {"protocol": OLD, "task1": {"objects": {"ship": 1}}}
    sides = (Side("a", Path("a"), metrics), Side("b", Path("b"), {"protocol": made(tmp_path / "best.pt")}))
    assert "classes" not in {one.key for one in protocol_differences(sides)}
    assert "classes" in {one.key for one in differences(OLD, made(tmp_path / "best.pt"))}


def test_result_files_say_nothing_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "Task1_ship.txt").write_text("a 0.9 0 0 9 0 9 9 0 9\n")
    base = protocol_of(TRUTH, ["a"], named_data(load_config(None, ["data.root=data"]).data, "val"), ["ship"])
    protocol = results_protocol(base, tmp_path, Config())
    assert protocol["settings"] == {"eval.split": "val", "eval.metric": "voc12"}
    assert "nms" not in facts(protocol)
    found = differences(protocol, made(tmp_path / "best.pt"))
    assert {one.key for one in found if one.recorded} == set()
    before = results_hash(tmp_path)
    assert protocol["results_sha256"] == before
    (tmp_path / "Task1_ship.txt").write_text("a 0.8 0 0 9 0 9 9 0 9\n")
    assert results_hash(tmp_path) != before


@pytest.mark.parametrize("field", ["labels", "difficult", "shapes", "names"])
def test_labels_that_were_mended_are_another_evaluation(field: str) -> None:
    before = labels_hash(TRUTH, ["a"])
    assert labels_hash(Truth(*(values.copy() for values in TRUTH)), ["a"]) == before
    if field == "names":
        assert labels_hash(TRUTH, ["b"]) != before
    else:
        assert labels_hash(TRUTH._replace(**{field: getattr(TRUTH, field) + 1}), ["a"]) != before


def test_no_objects_have_a_hash() -> None:
    none = Truth(np.zeros(0, int), np.zeros(0, int), np.zeros(0, bool), np.zeros((0, 4, 2)))
    assert labels_hash(none, []) != labels_hash(none, ["a"])


def test_many_differences_are_one_short_line() -> None:
    found = [Difference(f"eval.{name}", True, None) for name in "abcde"]
    assert said(found) == "eval.a true, now none; eval.b true, now none; eval.c true, now none; 2 more"
    assert said([]) == ""
