"""Detectors exported with free height and width: two engines give what torch gives."""

from pathlib import Path

import onnx
import pytest

from evalR.export.formats import FileFormat, file_writer
from evalR.export.graph import GraphPlan, QuadGraph, Shaping
from evalR.export.parity import FULL_PRECISION, check_parity, compared_config
from evalR.export.running import file_runner
from evalR.export.trial import trial_batches, trial_sizes
from tests.evalR.export.networks import config_of, network_of

# The others take minutes each, and whoever exports one has the check of `export.py`.
QUICK = ("centernet_r", "fcos_s_ga", "gghl", "gghl_hbb")


@pytest.mark.slow
@pytest.mark.parametrize("detector", QUICK)
def test_engines_find_what_torch_finds(detector: str, tmp_path: Path) -> None:
    config = config_of(detector)
    network = network_of(config)
    plan, shaping = GraphPlan("none", config.eval, 300), Shaping((64, 64), True)
    path = tmp_path / "free.onnx"
    file_writer("onnx", QuadGraph(network, plan).eval(), shaping)(path, {})
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "BatchNormalization" not in operators  # folded
    compared = plan._replace(config=compared_config(plan, config.eval.score_threshold))
    forms: tuple[FileFormat, ...] = ("onnx", "openvino")
    for form in forms:
        batches = trial_batches([], trial_sizes((64, 64), True), 8)
        parity = check_parity(
            network, file_runner(path, form, plan.outputs), batches, compared, FULL_PRECISION
        )
        assert parity.is_met, parity.text()
        assert parity.images == 8
        assert parity.found.pairs > 8
