"""Time the rules of assignment on an image with many objects and print one table, in about a minute.

    python benchmarks/assigners.py [--objects 1000] [--images 1] [--side 800] [--threads 2]

The rival is the rule `current` on the same objects; 60 ms are asked for 1,000 objects on two cores.  On a
busy machine the time of all cores says more than the others.  Predictions are made up: half of the cells in
an object predict it with an error of a tenth of its sides, the others a box of two cells.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cfg.assign import DYNAMIC  # noqa: E402
from cfg.load import load_config  # noqa: E402
from cfg.schema import AssignConfig, LossConfig  # noqa: E402
from dataloadR.assign.engine import build_targets  # noqa: E402
from dataloadR.assign.shapes import Pyramid, object_shapes  # noqa: E402
from modelR.build import build_method  # noqa: E402
from modelR.detectors.gghl.detector import STRIDES, gghl, own_rule  # noqa: E402
from modelR.method import Method  # noqa: E402
from utils.records import LevelPrediction, Objects  # noqa: E402

RULES = ("current", "fcos", "atss", "ga", *DYNAMIC)
CLASSES = 15


def scattered(count: int, images: int, side: int) -> Objects:
    """Return rectangles with sides from 8 to 60 px, anywhere in square images."""
    rng = np.random.default_rng(0)
    sizes, angles = rng.uniform(8, 60, (count * images, 2)), rng.uniform(0, np.pi, count * images)
    along = np.stack([np.cos(angles), np.sin(angles)], -1) * sizes[:, :1] / 2
    across = np.stack([-np.sin(angles), np.cos(angles)], -1) * sizes[:, 1:] / 2
    quads = np.stack([-along - across, along - across, along + across, across - along], 1)
    quads += rng.uniform(0, side, (count * images, 1, 2))
    return Objects(
        torch.from_numpy(quads).float(),
        torch.from_numpy(rng.integers(0, CLASSES, count * images)),
        torch.ones(count * images),
        torch.zeros(count * images, dtype=torch.bool),
        torch.arange(images).repeat_interleave(count),
    )


def predicted(objects: Objects, pyramid: Pyramid) -> list[LevelPrediction]:
    """Return raw predictions of which half are near to an object."""
    torch.manual_seed(0)
    shapes, levels = object_shapes(objects.quads), []
    for target in build_targets(objects, pyramid, own_rule(AssignConfig(rule="fcos"))):
        owner, stride = target.owner, target.stride
        good = (owner >= 0) & (torch.rand(owner.shape) < 0.5)
        dists = torch.where(
            good.unsqueeze(-1), target.edge_dists * (1 + 0.1 * torch.randn(*owner.shape, 4)), stride
        )
        glides = shapes.glides[owner.clamp(min=0)].clamp(0.01, 0.99).logit()
        ratio = 6 * (shapes.area_ratio[owner.clamp(min=0)] - 0.5) if len(shapes.areas) else owner * 0.0
        logits = torch.randn(*owner.shape, CLASSES) - 2
        edges = (dists.clamp(min=0.1) / stride).log()
        levels.append(LevelPrediction(edges, glides, ratio, logits[..., 0], logits, stride))
    return levels


def methods() -> dict[str, Method]:
    """Return GGHL with each rule, and the detectors with anchors."""
    rules = {rule: gghl(AssignConfig(rule=rule, warmup_steps=0), LossConfig(), None) for rule in RULES}
    anchored = {name: load_config(ROOT / f"cfg/detectors/{name}.yaml") for name in ("retinanet", "yolov3_r")}
    return rules | {name: build_method(config, CLASSES) for name, config in anchored.items()}


def milliseconds(task: Callable[[], object], runs: int) -> tuple[float, float, float]:
    """Return median and least time of a task, and the median time of all cores, after a run apart."""
    task()
    times, cores = [], []
    for _ in range(runs):
        start, busy = time.perf_counter(), time.process_time()
        task()
        times.append(1e3 * (time.perf_counter() - start))
        cores.append(1e3 * (time.process_time() - busy))
    return statistics.median(times), min(times), statistics.median(cores)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in (("objects", 1000), ("images", 1), ("side", 800), ("threads", 2), ("runs", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    objects = scattered(args.objects, args.images, args.side)
    predictions = predicted(objects, Pyramid(args.images, args.side, args.side, STRIDES))
    print(f"{args.images} images of {args.side} px, {args.objects} objects each, {args.threads} threads\n")
    print("| rule | median | least | all cores together | against `current` | cells, anchors | without |")
    print("|---|---|---|---|---|---|---|")
    rival = None
    for rule, method in methods().items():
        pyramid = Pyramid(args.images, args.side, args.side, method.strides)
        task = partial(method.targets, objects, pyramid, predictions)
        median, least, cores = milliseconds(task, args.runs)
        rival = rival or cores
        owners = torch.cat([getattr(level, "anchor_owner", level.owner).flatten() for level in task()])
        owned = owners[owners >= 0]
        left = len(objects.labels) - len(owned.unique())
        times = f"{median:.0f} ms | {least:.0f} ms | {cores:.0f} ms | {cores / rival:.1f}"
        print(f"| `{rule}` | {times} | {len(owned)} | {left} |", flush=True)


if __name__ == "__main__":
    main()
