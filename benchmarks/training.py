"""Time the training step: images/s, share of waiting for data, of targets and loss, memory, utilisation.

    python benchmarks/training.py                                            nano, 640 px, batch 8
    python benchmarks/training.py cfg/dota.yaml data.root=/data/DOTA_800     as that configuration trains
    python benchmarks/training.py --steps 50 model.size=large train.batch_size=32

Without `data.root` the synthetic scenes are drawn at the size of the input.  Utilisation is the arithmetic of
the model (three times that of its forward pass) over the measured peak of a matrix product in the same type.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from cfg.load import load_config  # noqa: E402
from cfg.schema import Config  # noqa: E402
from dataloadR.demo.scenes import write_demo_scenes  # noqa: E402
from dataloadR.loader import to_device, training_data  # noqa: E402
from dataloadR.splits import load_split  # noqa: E402
from modelR.build import build_for_training  # noqa: E402
from modelR.training.stepper import Stepper  # noqa: E402
from utils.cli import HelpFormatter, parse_words, pick_device  # noqa: E402
from utils.precision import half_type, mixed_precision  # noqa: E402
from utils.records import Batch  # noqa: E402

WORDS = ["model.size=nano", "data.image_size=640", "train.batch_size=8", "augment.multi_scale_steps=0"]
SCENES = 64


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(task: Callable[[], object], device: torch.device, runs: int = 10) -> float:
    times = []
    for _ in range(runs + 2):  # the first two warm up
        wait_for(device)
        start = time.perf_counter()
        task()
        wait_for(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a large matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    a = torch.randn(side, side, device=device, dtype=dtype)
    return 2 * side**3 / median_seconds(lambda: a @ a, device)


def model_flops(stepper: Stepper, batch: Batch) -> float:
    """Return the FLOP of one training step: a backward pass costs two forward passes."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        stepper.model(batch.images)
    return 3.0 * counter.get_total_flops()


def targets_and_loss(stepper: Stepper, batch: Batch, config: Config) -> float:
    """Return the seconds that assignment and loss take, the backward pass of the loss included."""
    with torch.no_grad(), mixed_precision(stepper.device, config.train.amp):
        predictions = stepper.model(batch.images)
    leaves = [
        level._replace(
            **{n: v.detach().requires_grad_() for n, v in level._asdict().items() if n != "stride"}
        )
        for level in predictions
    ]

    def both() -> None:
        targets = stepper.targets(batch.objects, batch.images, None)
        normalizer = stepper.method.count(targets).clamp(min=1)
        sum(stepper.method.loss(leaves, targets, normalizer).values()).backward()

    return median_seconds(both, stepper.device)


def measure(config: Config, steps: int) -> None:
    device = pick_device(config.train.device)
    annotations, classes = load_split(config.data, config.data.train, config.data.classes)
    recipe = (config.data, config.augment, config.train)
    sampler, batches = training_data(annotations, *recipe, config.assign.min_side, device)
    model = build_for_training(config, classes, device, resumed=False)
    stepper = Stepper(model, config.train, device, max(steps, 1))
    stepper.train_mode()

    def endless() -> "object":
        epoch = 0
        while True:
            sampler.set_epoch(epoch)
            yield from batches
            epoch += 1

    source = iter(endless())
    step_times, waits = [], []
    for batch in islice(source, 3):  # warm up
        moved = to_device(batch, device)
        stepper.step([moved])
    began = time.perf_counter()
    for _ in range(steps):
        start = time.perf_counter()
        moved = to_device(next(source), device)
        waits.append(time.perf_counter() - start)
        stepper.step([moved])  # ends with the losses on the CPU: nothing is left running
        step_times.append(time.perf_counter() - start)
    total = time.perf_counter() - began
    report(config, stepper, moved, total, sum(waits), step_times)


def report(
    config: Config, stepper: Stepper, batch: Batch, total: float, waited: float, step_times: list[float]
) -> None:
    device, step = stepper.device, statistics.median(step_times)
    half = half_type(device) if config.train.amp else None
    flops, peak = model_flops(stepper, batch), peak_flops(device, half or torch.float32)
    own = targets_and_loss(stepper, batch, config)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    rows = {
        "network, input, batch": f"{config.model.size}, {config.data.image_size}, {config.train.batch_size}",
        "device, type": f"{name}, {half or torch.float32}".replace("torch.", ""),
        "images/s": f"{len(step_times) * config.train.batch_size / total:.1f}",
        "step, median": f"{1e3 * step:.1f} ms",
        "waiting for data": f"{waited / total:.1%}",
        "targets and loss": f"{1e3 * own:.1f} ms, {own / step:.1%} of a step",
        "utilisation": f"{flops / step / peak:.1%} of {peak / 1e12:.2f} TFLOP/s",
    }
    if device.type == "cuda":
        rows["peak memory"] = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    for key, value in rows.items():
        print(f"{key:24s}{value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=HelpFormatter)
    parser.add_argument("config", nargs="?", help="a YAML of cfg/; default: nano at 640 px, batch 8")
    parser.add_argument("--steps", type=int, default=15)
    arguments, overrides = parse_words(parser, sys.argv[1:])
    words = overrides if arguments.config else [*WORDS, *overrides]
    with tempfile.TemporaryDirectory() as folder:
        if not arguments.config and not any(word.startswith("data.root=") for word in words):
            size = load_config(None, words).data.input_size
            words = [
                *words,
                f"data.root={write_demo_scenes(Path(folder) / 'data', train=SCENES, val=1, size=size)}",
            ]
        measure(load_config(arguments.config, words), arguments.steps)


if __name__ == "__main__":
    main()
