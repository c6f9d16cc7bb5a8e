"""Time the exact quad IoU and GIoU with their gradients against clipping that torch differentiates by itself.

    python benchmarks/quad_loss.py
    python benchmarks/quad_loss.py --pairs 20000 --runs 20

Pairs as a detector in training has them: a rectangle of 8 to 60 px and a prediction whose place, sides and
angle are off by a tenth.  A time is that of forward and backward, from float32, the median of its runs; they
take turns.  The rival, `utils.quads.clip`, clips vertex lists (Sutherland and Hodgman); its IoU and gradients
are compared with ours before anything is timed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import utils.startup  # noqa: E402, F401

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.operators import rectangles  # noqa: E402
from modelR.losses.location import quad_error  # noqa: E402
from modelR.losses.quad_iou import differentiable_giou, differentiable_iou  # noqa: E402
from utils.quads.clip import convex_intersection_areas  # noqa: E402
from utils.quads.geometry import quad_areas  # noqa: E402

ASKED = 150  # ms for 100,000 pairs on two cores

Measure = Callable[[Tensor, Tensor], Tensor]


def pairs(count: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    middles, sizes = rng.uniform(0, 800, (count, 1, 2)), rng.uniform(8, 60, (count, 2))
    angles, jitter = rng.uniform(0, np.pi, count), 0.1 * rng.normal(size=(5, count))
    true = rectangles(middles, sizes, angles)
    moved = middles + (jitter[:2].T * sizes)[:, None]
    found = rectangles(moved, sizes * np.exp(jitter[2:4].T), angles + jitter[4])
    return torch.from_numpy(found).float(), torch.from_numpy(true).float()


def clipped_iou(a: Tensor, b: Tensor) -> Tensor:
    shared = convex_intersection_areas(a, b)
    return shared / (quad_areas(a) + quad_areas(b) - shared)


def learn(measure: Measure, found: Tensor, true: Tensor) -> tuple[Tensor, Tensor]:
    leaf = found.clone().requires_grad_()
    value = measure(leaf, true)
    value.sum().backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def check(found: Tensor, true: Tensor) -> None:
    """Stop where both ways differ: in float64, so that rounding hides nothing."""
    ours, rival = (learn(how, found.double(), true.double()) for how in (differentiable_iou, clipped_iou))
    for one, other in zip(ours, rival, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-8)


def times_of(tasks: list[Callable[[], object]], runs: int) -> list[tuple[float, float]]:
    """Return the median seconds of each task, by the clock and of all cores, the tasks taking turns."""
    found: list[list[tuple[float, float]]] = [[] for _ in tasks]
    for task in tasks:
        task()
    for _ in range(runs):
        for own, task in zip(found, tasks, strict=True):
            clock, cores = time.perf_counter(), time.process_time()
            task()
            own.append((time.perf_counter() - clock, time.process_time() - cores))
    return [tuple(statistics.median(column) for column in zip(*own, strict=True)) for own in found]  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=9)
    arguments = parser.parse_args()
    found, true = pairs(arguments.pairs)
    check(found[:2000], true[:2000])
    measures: dict[str, Measure] = {
        "clipping, torch's gradient": clipped_iou,
        "`differentiable_iou`": differentiable_iou,
        "`differentiable_giou`": differentiable_giou,
    }
    for name in ("gwd", "kld", "kfiou", "probiou"):
        error = quad_error(name)  # type: ignore[arg-type]
        measures[f"`{name}`"] = lambda a, b, error=error: error(a, b, 8)  # type: ignore[misc]
    tasks: list[Callable[[], object]] = [
        lambda how=how: learn(how, found, true)  # type: ignore[misc]
        for how in measures.values()
    ]
    (rival, _), *_ = times = times_of(tasks, arguments.runs)
    print(f"{torch.get_num_threads()} threads, {arguments.pairs} pairs, torch {torch.__version__}\n")
    print("| forward and backward | time | all cores together | faster than clipping | asked |")
    print("|---|---|---|---|---|")
    for name, (clock, cores) in zip(measures, times, strict=True):
        asked = f"under {ASKED} ms" if "differentiable" in name else ""
        print(f"| {name} | {1e3 * clock:.0f} ms | {1e3 * cores:.0f} ms | {rival / clock:.1f} | {asked} |")


if __name__ == "__main__":
    main()
