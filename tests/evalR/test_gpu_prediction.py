"""Prediction on a device of its own: nothing of the CPU among it, few waits, the same bits."""

import copy

import numpy as np
import pytest
import torch

from cfg.load import load_config
from evalR.inference.splits import predict_image, predict_tiles
from modelR.build import build_model
from tests.fake_gpu import FakeGpu
from tests.utils.quads.test_nms import random_scene
from utils.quads.nms import batched_quad_groups
from utils.selection import to_host

MOST_WAITS = 15  # of one image in one view, of which each round of the suppression takes one
SETTINGS = ["model.size=nano", "data.image_size=64", "train.amp=false", "eval.score_threshold=0.001"]
MORE = ["eval.pre_nms=100", "predict.quiet=true", "predict.tile=64", "predict.overlap=32"]


@pytest.mark.parametrize(
    "views", [[], ["eval.flips=both", "eval.turns=[0,1]"], ["eval.merge=fuse", "eval.flips=both"]]
)
@pytest.mark.parametrize("tiles", [False, True])
def test_prediction_on_the_gpu(views: list[str], tiles: bool) -> None:
    torch.manual_seed(0)
    config = load_config(None, [*SETTINGS, *MORE, *views])
    model = build_model(config, 2)
    image = np.random.default_rng(0).integers(0, 256, (64, 96 if tiles else 64, 3), dtype=np.uint8)
    predict = predict_tiles if tiles else predict_image
    expected = predict(model, image, config, torch.device("cpu"))
    with FakeGpu() as gpu:
        found = predict(gpu.put(copy.deepcopy(model)), image, config, torch.device("cuda:0"))
    assert len(expected.scores) > 5
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    if not views and not tiles:
        assert len(gpu.waits) <= MOST_WAITS, gpu.counts()


@pytest.mark.parametrize("seed", range(90))
def test_suppression_on_the_gpu_keeps_what_the_cpu_keeps(seed: int) -> None:
    quads, scores, labels = random_scene(seed, seed)
    images, limit = torch.arange(len(labels)) % (1 + seed % 4), (None, 0, 7)[seed % 3]
    over = "smaller" if seed % 2 else "union"
    expected = batched_quad_groups(quads, scores, labels, images, 0.3, limit, over)
    with FakeGpu() as gpu:
        found = batched_quad_groups(*gpu.put((quads, scores, labels, images)), 0.3, limit, over)
        assert found.kept.is_cuda
        assert [own.tolist() for own in found] == [own.tolist() for own in expected]


def test_many_tensors_come_with_one_copy() -> None:
    tensors = [
        torch.arange(3),
        torch.rand(3, 4, 2),
        torch.zeros(0, 2),
        torch.rand(5).double(),
        torch.ones(1) > 0,
    ]
    with FakeGpu() as gpu:
        found = to_host(gpu.put(tensors))
        assert len(gpu.waits) == 1
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(tensors, found, strict=True))
