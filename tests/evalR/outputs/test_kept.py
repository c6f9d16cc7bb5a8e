import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cfg.load import load_config
from evalR.inference.load import Trained
from evalR.inference.scenes.journal import scene_meaning
from evalR.outputs.kept import keep, mark_of, read_kept
from tests.evalR.outputs.found import make_found, random_quads
from utils.stretch import RULE


@pytest.mark.parametrize("count", [0, 5])
def test_what_is_kept_comes_back(count: int, tmp_path: Path) -> None:
    detections = make_found(random_quads(count)).detections
    keep(tmp_path / "a.npz", detections, "mark")
    back = read_kept(tmp_path / "a.npz", "mark")
    assert back is not None
    for first, second in zip(back, detections, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == second.dtype
    assert read_kept(tmp_path / "a.npz", "other") is None
    assert read_kept(tmp_path / "b.npz", "mark") is None
    data = (tmp_path / "a.npz").read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 5):
        (tmp_path / "a.npz").write_bytes(data[:length])
        assert read_kept(tmp_path / "a.npz", "mark") is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quads", np.array(["a", "b"])),
        ("quads", np.zeros((2, 3, 2))),
        ("scores", np.zeros((2, 2))),
        ("scores", np.zeros(0)),
        ("labels", np.zeros(3, np.int64)),
    ],
)
def test_what_does_not_fit_together_is_found_again(tmp_path: Path, name: str, value: np.ndarray) -> None:
    fields = {"quads": np.zeros((2, 4, 2)), "scores": np.zeros(2), "labels": np.zeros(2, np.int64)}
    np.savez(tmp_path / "a.npz", mark=np.array("mark"), **fields)
    assert read_kept(tmp_path / "a.npz", "mark") is not None
    np.savez(tmp_path / "a.npz", mark=np.array("mark"), **fields | {name: value})
    assert read_kept(tmp_path / "a.npz", "mark") is None


def test_the_mark_changes_with_all_that_matters(tmp_path: Path) -> None:
    image, weights = tmp_path / "a.png", tmp_path / "best.pt"
    image.write_text("a")
    weights.write_text("w")
    config = load_config()
    first = mark_of(image, weights, config)
    for word in (
        *("predict.formats=[csv]", "data.on_error=skip", "data.workers=0", "predict.quiet=true"),
        *("predict.max_pixels=9", "predict.remote=true", "predict.batch_size=1", "eval.metric=voc07"),
    ):
        assert mark_of(image, weights, load_config(None, [word])) == first
    for word in (
        *("data.image_size=320", "eval.nms_iou=0.3", "predict.classes=[a]", "predict.max_picture=99"),
        *("data.training_scale=1,1,1", "data.max_downscale=3", "train.amp=false"),
    ):
        assert mark_of(image, weights, load_config(None, [word])) != first
    assert mark_of(image, weights, load_config(None, ["predict.score_threshold=0.4"])) != first
    os.utime(weights, ns=(0, 0))
    second = mark_of(image, weights, config)
    assert second != first
    image.write_text("longer")
    assert mark_of(image, weights, config) != second


def test_what_was_found_by_another_rule_of_stretching_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, weights = tmp_path / "a.tif", tmp_path / "best.pt"
    image.write_text("a")
    weights.write_text("w")
    trained = Trained(None, ("a",), load_config(), torch.device("cpu"), weights)  # type: ignore[arg-type]
    mark, meaning = mark_of(image, weights, trained.config), scene_meaning(image, trained)
    for module in ("evalR.outputs.kept", "evalR.inference.scenes.journal"):
        monkeypatch.setattr(f"{module}.RULE", RULE + 1)
    assert mark_of(image, weights, trained.config) != mark
    assert scene_meaning(image, trained) != meaning
