"""Exported files of a network of one layer: endings, engines, sizes, scenes without objects."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from cfg.schema import EvalConfig
from evalR.export.formats import FORMAT_SUFFIXES, file_writer
from evalR.export.graph import ENDINGS, Ending, GraphPlan, QuadGraph, Shaping
from evalR.export.parity import FULL_PRECISION, HALF_PRECISION, ParityBounds, check_parity, compared_config
from evalR.export.running import file_runner
from evalR.export.trial import trial_batches, trial_sizes
from tests.evalR.export.small_network import CLASSES, SmallNetwork

SIZE = (64, 96)
CONFIG = EvalConfig(score_threshold=0.3, nms_iou=0.2, pre_nms=40)
CANDIDATES = 30


def graph_of(network: Any, ending: Ending, config: EvalConfig = CONFIG) -> QuadGraph:
    return QuadGraph(network, GraphPlan(ending, config, CANDIDATES)).eval().requires_grad_(False)


def assert_met(
    network: Any, path: Path, form: Any, plan: GraphPlan, bounds: ParityBounds = FULL_PRECISION
) -> None:
    compared = plan._replace(config=compared_config(plan, plan.config.score_threshold))
    batches = trial_batches([], trial_sizes(SIZE, True), 8)
    parity = check_parity(network, file_runner(path, form, plan.outputs), batches, compared, bounds)
    assert parity.is_met, parity.text()
    assert parity.found.pairs > 8


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_engines_and_sizes(ending: Ending, tmp_path: Path) -> None:
    network = SmallNetwork().eval()
    graph = graph_of(network, ending)
    path = tmp_path / "small.onnx"
    file_writer("onnx", graph, Shaping(SIZE, True))(path, {"format": '"text"'})
    onnx.checker.check_model(onnx.load(path), full_check=True)
    for form in ("onnx", "openvino"):
        assert_met(network, path, form, graph.plan)
        _, run = file_runner(path, form, graph.plan.outputs)
        outputs = run(np.zeros((2, 3, 32, 32), np.float32))
        rows = {"none": 4, "topk": 40, "full": CANDIDATES}[ending]
        assert outputs["quads"].shape == (2, rows, 8)
        assert outputs["scores"].shape == outputs["labels"].shape == (2, rows)
        assert outputs["labels"].dtype == np.int32
        if ending == "full":
            assert outputs["count"].dtype == np.int32
            for count, scores, quads in zip(
                outputs["count"], outputs["scores"], outputs["quads"], strict=True
            ):
                assert (scores[:count] > CONFIG.score_threshold).all()
                assert not scores[count:].any()
                assert not quads[count:].any()


@pytest.mark.slow
def test_scenes_without_objects_and_every_class_of_a_cell(tmp_path: Path) -> None:
    network = SmallNetwork().eval()
    strict = CONFIG.model_copy(update={"score_threshold": 1.0, "multi_label": True})
    graph = graph_of(network, "full", strict)
    path = tmp_path / "none.onnx"
    file_writer("onnx", graph, Shaping(SIZE, False))(path, {})
    for form in ("onnx", "openvino"):
        _, run = file_runner(path, form, graph.plan.outputs)
        outputs = run(np.zeros((3, 3, *SIZE), np.float32))
        assert outputs["count"].tolist() == [0, 0, 0]
        assert not any(outputs[name].any() for name in ("quads", "scores", "labels"))


def test_every_class_of_a_cell_is_a_row() -> None:
    """Without an engine: what the graph gives in torch, beside what suppression gives in torch."""
    network: Any = SmallNetwork().eval()
    config = CONFIG.model_copy(update={"multi_label": True})
    images = 255 * torch.rand(2, 3, *SIZE)
    quads, scores = graph_of(network, "none", config)(images)
    assert quads.shape == (2, 24, 8)
    assert scores.shape == (2, 24, CLASSES)
    _, best, labels = graph_of(network, "topk", config)(images)
    expected = scores.flatten(1).topk(40, dim=1)
    torch.testing.assert_close(best, expected.values)
    assert torch.equal(labels.long(), expected.indices % CLASSES)


@pytest.mark.slow
def test_half_precision_halves_the_weights(tmp_path: Path) -> None:
    network = SmallNetwork().eval()
    whole, half = tmp_path / "whole.xml", tmp_path / "half.xml"
    graph = graph_of(network, "none")
    file_writer("openvino", graph, Shaping(SIZE, True))(whole, {"task": '"quad"'})
    file_writer("openvino", graph, Shaping(SIZE, True, True))(half, {})
    sizes = [path.with_suffix(".bin").stat().st_size for path in (whole, half)]
    assert sizes[1] < 0.7 * sizes[0]
    assert_met(network, whole, "openvino", graph.plan)
    assert_met(network, half, "openvino", graph.plan, HALF_PRECISION)
    halved = graph_of(SmallNetwork().eval().half(), "none")
    file_writer("onnx", halved, Shaping(SIZE, True))(tmp_path / "half.onnx", {})
    assert_met(network, tmp_path / "half.onnx", "onnx", halved.plan, HALF_PRECISION)


@pytest.mark.parametrize("ending", ENDINGS)
def test_torchscript(ending: Ending, tmp_path: Path) -> None:
    network = SmallNetwork().eval()
    graph = graph_of(network, ending)
    path = tmp_path / f"small{FORMAT_SUFFIXES['torchscript']}"
    file_writer("torchscript", graph, Shaping(SIZE, True))(path, {"task": '"quad"'})
    assert_met(network, path, "torchscript", graph.plan)
    found = {"task": ""}
    torch.jit.load(path, _extra_files=found)  # type: ignore[no-untyped-call]
    assert found == {"task": b'"quad"'}


def test_a_file_that_differs_is_noticed() -> None:
    network = SmallNetwork().eval()
    graph = graph_of(network, "none")

    def run(shift: float, images: Any) -> Any:
        quads, scores, labels = graph(torch.from_numpy(images))
        return {"quads": (quads + shift).numpy(), "scores": scores.numpy(), "labels": labels.numpy()}

    compared = graph.plan._replace(config=compared_config(graph.plan, CONFIG.score_threshold))
    for shift, is_met in ((0.0, True), (0.04, True), (0.06, False), (30.0, False)):
        batches = list(trial_batches([], [SIZE], 5))
        parity = check_parity(network, ("itself", partial(run, shift)), batches, compared, FULL_PRECISION)
        assert parity.is_met is is_met, parity.text()
        assert parity.images == 5
        assert parity.values()["images"] == 5
