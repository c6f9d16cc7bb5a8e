"""A training step on a device of its own: nothing of the CPU among it, few waits, the same bits."""

import copy
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from cfg.load import load_config
from cfg.schema import AssignConfig, Config, LossConfig, ModelConfig, TrainConfig
from modelR.build import build_model
from modelR.detectors.gghl.loss import TERMS, JointLoss, positive_count
from modelR.training.stepper import Stepper
from tests.dataloadR.assign.test_targets import CURRENT, PAPER, objects_of, random_objects
from tests.fake_gpu import FakeGpu, GpuTensor
from tests.methods import gaussian_targets
from utils.distributed import any_rank
from utils.records import Batch, LevelPrediction, LevelTargets, Objects
from utils.selection import expanded_rows, rows_where

MOST_WAITS = 12  # of targets, loss and step
RULES = [f"assign.rule={rule}" for rule in ("paper", "atss", "ga", "simota", "paa", "dtla")]
CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


def scene(seed: int) -> Objects:
    """Return the objects of two images of 128 px in float32; seed 0: none."""
    objects = random_objects(np.random.default_rng(seed), 2, (128, 128)) if seed else objects_of([])
    return objects._replace(quads=objects.quads.float(), weights=objects.weights.float())


def assert_same(expected: Sequence[object], found: Sequence[object], rounding: float = 0.0) -> None:
    """Compare bit for bit, or up to rounding: autograd sums the gradients of a subclass in its own way."""
    for a, b in zip(expected, found, strict=True):
        if isinstance(a, Tensor):
            assert isinstance(b, GpuTensor)
            torch.testing.assert_close(b.values, a, rtol=rounding, atol=rounding)
        else:
            assert a == b


def batch_of(images: Tensor, objects: Objects) -> Batch:
    return Batch(images, objects, [], torch.arange(len(images)))


@pytest.mark.parametrize("rule", [CURRENT, PAPER], ids=lambda rule: rule.rule)
@pytest.mark.parametrize("seed", range(6))
def test_targets_and_loss_on_the_gpu(rule: AssignConfig, seed: int) -> None:
    objects = scene(seed)
    targets = gaussian_targets(objects, (2, 128, 128), rule)
    generator = torch.Generator().manual_seed(seed)
    shapes = [[(*level.owner.shape, *more) for more in ((4,), (4,), (), (), (4,))] for level in targets]
    logits = [[torch.randn(shape, generator=generator) for shape in own] for own in shapes]

    def losses(logits: list[list[Tensor]], targets: list[LevelTargets]) -> Sequence[Tensor]:
        for x in (x for own in logits for x in own):
            x.requires_grad_()
        predictions = [LevelPrediction(*own, t.stride) for own, t in zip(logits, targets, strict=True)]
        terms = JointLoss(LossConfig())(predictions, targets, positive_count(targets).clamp(min=1))
        torch.stack(list(terms.values())).sum().backward()
        gradients = [x.grad for own in logits for x in own]
        return [*(term.detach() for term in terms.values()), *(g for g in gradients if g is not None)]

    with FakeGpu() as gpu:
        found = gaussian_targets(gpu.put(objects), (2, 128, 128), rule)
        found_losses = losses(gpu.put(logits), found)
        assert len(gpu.waits) <= MOST_WAITS - 1, gpu.counts()
    for level, own in zip(targets, found, strict=True):
        assert_same(level, own)
    expected = losses(logits, targets)
    terms = len(TERMS)
    assert_same(expected[:terms], found_losses[:terms])
    assert_same(expected[terms:], found_losses[terms:], rounding=1e-6)


@pytest.mark.parametrize(("optimizer", "rounding"), [("sgd", 1e-3), ("adamw", 1e-2)])
@pytest.mark.parametrize(
    "words",
    ["", *RULES, "gghl_pro", "fcos_r", "centernet_r", "yolov3_r", "rtmdet_r", "ttfnet_ga", "retinanet_s_ga"],
)
def test_a_step_waits_for_the_gpu_a_dozen_times_at_most(optimizer: str, rounding: float, words: str) -> None:
    torch.manual_seed(0)
    yamls = [] if "=" in words or not words else [f"cfg/detectors/{words}.yaml"]
    model = build_model(load_config(yamls, ["model.size=nano", *([words] if "=" in words else [])]), 4)
    twin, train = copy.deepcopy(model), TrainConfig(amp=False, optimizer=optimizer, warmup_epochs=0)
    ours = Stepper(model, train, CPU, 10)
    with FakeGpu() as gpu:
        theirs = Stepper(gpu.put(twin), train, GPU, 10)
        for stepper in (ours, theirs):
            stepper.train_mode()
        for seed in (5, 0, 7):
            images, objects = torch.rand(2, 3, 128, 128), scene(seed)
            expected = ours.step([batch_of(images, objects)])
            gpu.waits.clear()
            moved, there = gpu.put((images, objects))
            found = theirs.step([batch_of(moved, there)])
            assert len(gpu.waits) <= MOST_WAITS, gpu.counts()
            assert expected is not None
            assert found is not None
            assert not any(isinstance(loss, GpuTensor) for loss in found.values())
            torch.testing.assert_close(found, expected, rtol=rounding / 10, atol=1e-5)
    for own, other in ((model, twin), (ours.ema.module, theirs.ema.module)):
        assert_same(list(own.state_dict().values()), list(other.state_dict().values()), rounding)


def test_a_loss_that_is_not_finite_leaves_the_scale_of_half_precision_alone() -> None:
    model = build_model(Config(model=ModelConfig(size="nano")), 4)
    stepper = Stepper(model, TrainConfig(amp=False), CPU, 10)
    stepper.train_mode()
    stepper.scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    before = [value.clone() for value in model.state_dict().values()]
    good, bad = torch.rand(2, 1, 3, 64, 64).unbind()
    bad[0, 0, 0, 0] = torch.nan
    objects = scene(0)
    first, second = batch_of(good, objects), batch_of(bad, objects)
    assert stepper.step([first, second]) is None
    assert stepper.scaler.get_scale() == 4096.0
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before, strict=True))
    assert stepper.step([first]) is not None


@pytest.mark.parametrize("flag", [False, True])
def test_one_process_alone_asks_no_gpu_whether_to_stop(flag: bool) -> None:
    with FakeGpu() as gpu:
        assert any_rank(flag, GPU) is flag
        assert not gpu.waits


def test_the_gpu_that_is_none_behaves_like_one() -> None:
    with FakeGpu() as gpu:
        there, here = gpu.put(torch.arange(4.0)), torch.ones(4)
        assert there.device == torch.zeros(1, device=there.device).device == GPU
        with pytest.raises(RuntimeError, match="same device, got cuda:0 and a tensor \\(4,\\) on the CPU"):
            there + here
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        assert not gpu.waits
        there + torch.tensor(1.0)
        there + here.to(there.device, non_blocking=True)
        assert not gpu.waits
        bool(there[1] > 0), there.nonzero(), there[there > 1], there.tolist(), there.cpu()
        torch.tensor([1.0], device=there.device), here.to(there)
        assert len(gpu.waits) == 7, gpu.counts()
        assert all("tests/modelR/training/test_gpu_step.py:" in wait for wait in gpu.waits)


@pytest.mark.parametrize("count", [0, 1, 50])
def test_rows_chosen_on_either_device(count: int) -> None:
    rng = np.random.default_rng(count)
    masks = [torch.from_numpy(rng.random(count) < share) for share in (0.0, 0.4, 1.0)]
    times = torch.from_numpy(rng.integers(0, 4, count))
    with FakeGpu() as gpu:
        found, repeated = rows_where(gpu.put(masks)), expanded_rows(gpu.put([times]))
        assert len(gpu.waits) == 2
    for mask, own, theirs in zip(masks, rows_where(masks), found, strict=True):
        assert own.tolist() == np.flatnonzero(mask.numpy()).tolist() == theirs.values.tolist()
    assert repeated[0].values.tolist() == np.repeat(np.arange(count), times.numpy()).tolist()
