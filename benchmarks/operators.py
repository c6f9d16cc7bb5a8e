"""Time the quad operators against named rivals and print one table, in about two minutes.

    python benchmarks/operators.py

Rivals run in the same process, in turn with ours; a time is the median of its runs, a ratio that of the
medians.  Imports and the first call of everything are excluded; the last rows time those of a new process.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import shapely
import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cfg.schema import AssignConfig  # noqa: E402
from dataloadR.assign.engine import build_targets  # noqa: E402
from dataloadR.assign.gaussian import gaussian_rule  # noqa: E402
from dataloadR.assign.shapes import Pyramid  # noqa: E402
from tests.dataloadR.assign.slow_assignment import slow_targets, thing  # noqa: E402
from utils.quads.geometry import quads_to_hboxes  # noqa: E402
from utils.quads.iou import pairwise_quad_iou  # noqa: E402
from utils.quads.nms import batched_quad_groups, quad_nms  # noqa: E402
from utils.records import Objects  # noqa: E402

Task = Callable[[], object]


def crowd(objects: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Eight jittered detections of each object, sides 8 to 60 px, 1,250 objects per 4000 x 4000 px."""
    rng = np.random.default_rng(seed)
    side = 4000 * (objects / 1250) ** 0.5
    sides, centres = rng.uniform(8, 60, (objects, 1, 2)), rng.uniform(0, side, (objects, 1, 2))
    jitter = rng.normal(size=(objects, 8, 2))
    sizes = (sides * (1 + 0.1 * jitter)).reshape(-1, 2)
    angles = (rng.uniform(0, np.pi, (objects, 1)) + 0.1 * jitter.sum(-1)).reshape(-1)
    middles = (centres + 0.1 * sides * rng.normal(size=(objects, 8, 2))).reshape(-1, 1, 2)
    scores, labels = rng.random(8 * objects), rng.integers(0, 15, objects).repeat(8)
    return (
        torch.from_numpy(rectangles(middles, sizes, angles)),
        torch.from_numpy(scores),
        torch.from_numpy(labels),
    )


def rectangles(middles: np.ndarray, sizes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    along = np.stack([np.cos(angles), np.sin(angles)], -1) * sizes[:, :1] / 2
    across = np.stack([-np.sin(angles), np.cos(angles)], -1) * sizes[:, 1:] / 2
    return np.stack([-along - across, along - across, along + across, across - along], 1) + middles


def scattered(count: int, side: float, seed: int) -> Tensor:
    """Return rectangles with sides from 8 to 60 px, anywhere in a square."""
    rng = np.random.default_rng(seed)
    middles, sizes = rng.uniform(0, side, (count, 1, 2)), rng.uniform(8, 60, (count, 2))
    return torch.from_numpy(rectangles(middles, sizes, rng.uniform(0, np.pi, count)))


def tree_nms(quads: Tensor, scores: Tensor, labels: Tensor | None, threshold: float) -> list[int]:
    """NMS by the same definition: pairs from shapely's STRtree, their areas in one call, then greedy."""
    polygons = shapely.polygons(quads.numpy())
    i, j = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    rank = np.empty(len(quads), dtype=np.int64)
    order = np.argsort(-scores.numpy(), kind="stable")
    rank[order] = np.arange(len(order))
    later = rank[i] < rank[j]
    if labels is not None:
        later &= (labels[i] == labels[j]).numpy()
    i, j = i[later], j[later]
    areas = shapely.area(polygons)
    shared = shapely.area(shapely.intersection(polygons[i], polygons[j]))
    close = shared / (areas[i] + areas[j] - shared) > threshold
    i, j = i[close], j[close]
    by_first = np.argsort(rank[i], kind="stable")
    i, j = i[by_first], j[by_first]
    bounds = np.searchsorted(rank[i], np.arange(len(order) + 1))
    keep = np.ones(len(order), dtype=bool)
    for place, row in enumerate(order):
        if keep[row]:
            keep[j[bounds[place] : bounds[place + 1]]] = False
    return order[keep[order]].tolist()


def tree_pairs(a: Tensor, b: Tensor) -> np.ndarray:
    """Return the IoU of all pairs: shapely where the boxes overlap."""
    p, q = shapely.polygons(a.numpy()), shapely.polygons(b.numpy())
    boxes_p, boxes_q = quads_to_hboxes(a).numpy(), quads_to_hboxes(b).numpy()
    (left, top, right, bottom), (u, v, w, x) = boxes_p.T[:, :, None], boxes_q.T[:, None]
    i, j = ((left < w) & (u < right) & (top < x) & (v < bottom)).nonzero()
    shared = shapely.area(shapely.intersection(p[i], q[j]))
    iou = np.zeros((len(a), len(b)))
    iou[i, j] = shared / (shapely.area(p)[i] + shapely.area(q)[j] - shared)
    return iou


def medians(*tasks: tuple[Task, int]) -> list[float]:
    """Return the median seconds of each task over its runs, the tasks taking turns, after one run of each."""
    times: list[list[float]] = [[] for _ in tasks]
    for task, _ in tasks:
        task()
    for run in range(max(runs for _, runs in tasks)):
        for own, (task, runs) in zip(times, tasks, strict=True):
            if run < runs:
                start = time.perf_counter()
                task()
                own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in times]


def say(what: str, ours: float, rival: str = "", ratio: float | None = None, target: str = "") -> None:
    factor = "" if ratio is None else f"{ratio:.1f}"
    print(f"| {what} | {1e3 * ours:.2f} ms | {rival} | {factor} | {target} |", flush=True)


def nms() -> None:
    quads, scores, _ = crowd(1250, 0)
    large, few = crowd(12500, 1), crowd(125, 2)
    if quad_nms(quads, scores, None, 0.3).tolist() != tree_nms(quads, scores, None, 0.3):
        raise SystemExit("quad_nms and its rival keep different boxes")
    ours, rival, more, less = medians(
        (lambda: quad_nms(quads, scores, None, 0.3), 50),
        (lambda: tree_nms(quads, scores, None, 0.3), 5),
        (lambda: quad_nms(large[0], large[1], None, 0.3), 15),
        (lambda: quad_nms(few[0], few[1], None, 0.3), 200),
    )
    tree = f"shapely STRtree, {1e3 * rival:.0f} ms"
    say("`quad_nms`, 10,000 boxes", ours, tree, rival / ours, "at least 90, same kept set")
    say("`quad_nms`, 100,000 boxes", more, "10,000 boxes", more / ours, "at most 13")
    say("`quad_nms`, 1,000 boxes", less, target="under 1.5 ms")


def iou() -> None:
    a, b = scattered(2000, 500, 0), scattered(2000, 500, 1)
    np.testing.assert_allclose(pairwise_quad_iou(a, b).numpy(), tree_pairs(a, b), atol=1e-9)
    ours, rival = medians((lambda: pairwise_quad_iou(a, b), 20), (lambda: tree_pairs(a, b), 3))
    say(
        "`pairwise_quad_iou`, 2000 x 2000",
        ours,
        f"shapely, {1e3 * rival:.0f} ms",
        rival / ours,
        "at least 40",
    )


def targets() -> None:
    quads = torch.cat([scattered(200, 800, k) for k in range(18)]).float()
    count, images = len(quads), torch.arange(18).repeat_interleave(200)
    labels, weights = torch.zeros(count, dtype=torch.int64), torch.ones(count)
    objects = Objects(quads, labels, weights, torch.zeros(count, dtype=torch.bool), images)
    pyramid, config = Pyramid(18, 800, 800, (8, 16, 32)), AssignConfig()
    rule = gaussian_rule(config)

    def slow() -> object:
        own = [thing(quad.double().numpy(), 0, 1.0, False, 0) for quad in quads[:200]]
        return slow_targets(own, 1, (800, 800), config)

    ours, rival = medians((lambda: build_targets(objects, pyramid, rule), 20), (slow, 2))
    named = f"loop over cells, {1e3 * rival:.0f} ms an image"
    say(
        "targets, 18 images of 800 px, 200 objects each",
        ours,
        named,
        18 * rival / ours,
        "60 ms; at least 100",
    )


FIRST_CALL = """
import sys, time, torch
sys.path.insert(0, {root!r})
from utils.quads.iou import pairwise_quad_iou
from utils.quads.nms import quad_nms
quads = torch.rand(50, 4, 2)
start = time.perf_counter()
quad_nms(quads, torch.rand(50), None, 0.3)
pairwise_quad_iou(quads, quads)
print(time.perf_counter() - start)
"""


def first_calls() -> None:
    with tempfile.TemporaryDirectory() as cache:
        for what, target in (("cold cache, once", "at most 15 s"), ("later processes", "under 0.5 s")):
            command = [sys.executable, "-c", FIRST_CALL.format(root=str(ROOT))]
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            say(f"first `quad_nms` and `pairwise_quad_iou`, {what}", float(done.stdout), target=target)


def gpu() -> None:
    from torchvision.ops import batched_nms

    for images in (1, 16, 64):
        parts = [crowd(250, k) for k in range(images)]
        quads, scores, labels = (torch.cat(values) for values in zip(*parts, strict=True))
        quads, scores, index = quads.float(), scores.float(), torch.arange(images).repeat_interleave(2000)
        on_gpu = [values.cuda() for values in (quads, scores, labels, index)]
        boxes, both = quads_to_hboxes(on_gpu[0]), on_gpu[3] * 100 + on_gpu[2]
        if (
            batched_quad_groups(*on_gpu, 0.3).kept.tolist()
            != batched_quad_groups(quads, scores, labels, index, 0.3).kept.tolist()
        ):
            raise SystemExit("GPU and CPU keep different boxes")

        def done(task: Task) -> Task:
            return lambda: (task(), torch.cuda.synchronize())

        ours, cpu, horizontal = medians(
            (done(lambda: batched_quad_groups(*on_gpu, 0.3).kept), 20),  # noqa: B023
            (lambda: batched_quad_groups(quads, scores, labels, index, 0.3).kept, 5),  # noqa: B023
            (done(lambda: batched_nms(boxes, on_gpu[1], both, 0.3)), 20),  # noqa: B023
        )
        say(f"`batched_quad_groups`, GPU, {images} x 2000", ours, f"CPU, {1e3 * cpu:.1f} ms", cpu / ours)
        named = f"torchvision horizontal, {1e3 * horizontal:.2f} ms"
        say(
            f"`batched_quad_groups`, GPU, {images} x 2000",
            ours,
            named,
            ours / horizontal,
            "at most 5 at 16 and 64",
        )


def main() -> None:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    print(f"{torch.get_num_threads()} threads, {device}, torch {torch.__version__}\n")
    print("| operator | time | rival | ratio | target |\n|---|---|---|---|---|")
    for part in (nms, iou, targets, first_calls):
        part()
    if torch.cuda.is_available():
        gpu()


if __name__ == "__main__":
    main()
