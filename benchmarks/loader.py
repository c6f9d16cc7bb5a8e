"""Time the training loader against a bare loop over the same OpenCV calls, and watch its memory.

    python benchmarks/loader.py                                 the demo scenes
    python benchmarks/loader.py /path/to/hit-uav --size 512 640
    python benchmarks/loader.py ROOT --workers 4 --cache 2 --images 1000

The bare loop reads, decodes, recolours and warps the same images in as many processes and does nothing else:
no labels, no batches, nothing sent to another process.  Loader and loop take turns; figures are medians of
the rounds, and the start of processes is excluded.  Mixup, mosaic and multi-scale are off in both.
"""

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cfg.schema import AugmentConfig, DataConfig  # noqa: E402
from dataloadR.dataset import RotatedDataset  # noqa: E402
from dataloadR.geometric import random_matrix, reduction  # noqa: E402
from dataloadR.loader import Ahead, train_loader, usable_cpus  # noqa: E402
from dataloadR.photometric import scale_hsv  # noqa: E402
from dataloadR.samplers import TrainBatches  # noqa: E402
from dataloadR.splits import load_split  # noqa: E402
from utils.images import Size, letterbox_matrix, read_image, warp_image  # noqa: E402
from utils.records import Annotation  # noqa: E402

PLAIN = AugmentConfig(mixup=0.0, mosaic=0.0, multi_scale_steps=0)
BATCH = 16
SHARE = 0.85  # of the bare loop that the loader should reach
GROWTH = 0.02  # of the memory from the first to the last round that is accepted


class Job(NamedTuple):
    """One image of the bare loop."""

    path: str
    flags: int  # of cv2.imdecode
    table: np.ndarray | None  # (1, 256, 3) of the colours
    area: Size | None  # width and height after the reduction by whole pixels
    matrix: np.ndarray  # (2, 3) of OpenCV
    size: Size


def plan(annotations: Sequence[Annotation], size: Size) -> list[Job]:
    """The calls for each image as the loader makes them: matrices of its kind, three in four recoloured."""
    rng = np.random.default_rng(0)
    jobs = []
    for number, annotation in enumerate(annotations):
        path = annotation.image_path
        height, width, _ = read_image(path).shape
        matrix = random_matrix(rng, PLAIN, annotation.quads, (height, width), size)
        flags, factor = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION, 1
        if path.lower().endswith((".jpg", ".jpeg")):
            factor = reduction(matrix)
            names = {2: cv2.IMREAD_REDUCED_GRAYSCALE_2, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4}
            flags |= names.get(factor, cv2.IMREAD_REDUCED_GRAYSCALE_8) if factor > 1 else 0
        scale = factor * float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        whole = int(1 / scale)  # pixels that are averaged into one before the warp
        table = rng.integers(0, 180, (1, 256, 3), dtype=np.uint8) if number % 4 else None
        area = (width // factor // whole, height // factor // whole) if whole > 1 else None
        matrix[:, :2] *= factor * max(whole, 1)
        jobs.append(Job(path, flags, table, area, matrix, size))
    return jobs


def bare(job: Job) -> int:
    image = cv2.imdecode(np.fromfile(job.path, np.uint8), job.flags)
    if job.table is not None:
        hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), job.table)
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if job.area is not None:
        image = cv2.resize(image, job.area, interpolation=cv2.INTER_AREA)
    height, width = job.size
    warped = cv2.warpAffine(
        image, job.matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(128, 128, 128)
    )
    return len(warped)


def seconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def memory(processes: list[str]) -> float:
    """Resident MB of the processes; 0 where the system does not say."""
    total = 0.0
    for pid in processes:
        file = Path(f"/proc/{pid}/status")
        if file.exists():
            line = next(line for line in file.read_text().splitlines() if line.startswith("VmRSS:"))
            total += int(line.split()[1]) / 1024
    return total


def profile(dataset: RotatedDataset, size: Size, rows: range) -> None:
    """Milliseconds per image of each part, in this process, and what the rest of a sample takes."""
    cv2.setNumThreads(0)
    paths = [dataset.annotations[row].image_path for row in rows]
    images = [read_image(path) for path in paths]
    matrices = [letterbox_matrix(image.shape[:2], size) for image in images]
    parts = {
        "read and decode": lambda: [read_image(path) for path in paths],
        "colour": lambda: [scale_hsv(image, (1.01, 1.2, 0.9)) for image in images],
        "warp": lambda: [warp_image(i, m, size) for i, m in zip(images, matrices, strict=True)],
        "whole sample, colour in 3 of 4": lambda: [dataset[(0, row, row, size)] for row in rows],
    }
    print("| part | ms per image |\n|---|---|")
    for name, task in parts.items():
        print(f"| {name} | {1e3 * statistics.median(seconds(task) for _ in range(3)) / len(rows):.2f} |")


def compare(dataset: RotatedDataset, size: Size, workers: int, rounds: int) -> None:
    """Print images per second of the loader and of the bare loop, and the memory after each round."""
    count = len(dataset)
    batches = TrainBatches(count, BATCH, size)
    loader = train_loader(dataset, batches, workers, ahead=Ahead(held=1))
    jobs = plan(dataset.annotations, size)
    shown = len(batches) * min(BATCH, count)

    def run_loader() -> None:
        for _ in loader:
            pass

    for _ in range(2):  # until every worker has had its queue full once
        run_loader()
    processes = ["self", *(str(child.pid) for child in multiprocessing.active_children())]
    with multiprocessing.get_context("fork").Pool(workers, cv2.setNumThreads, (0,)) as pool:

        def run_bare() -> None:
            for _ in pool.imap_unordered(bare, jobs[:shown], chunksize=BATCH):
                pass

        run_bare()
        speeds: list[tuple[float, float]] = []
        held = []
        for epoch in range(1, rounds + 1):
            batches.set_epoch(epoch)
            speeds.append((shown / seconds(run_loader), shown / seconds(run_bare)))
            held.append(memory(processes))
    ours, rival = (statistics.median(values) for values in zip(*speeds, strict=True))
    print(f"\n{shown} images at {size[0]} x {size[1]} px, {workers} processes, {rounds} rounds")
    print(f"loader    {ours:8.1f} images/s\nbare loop {rival:8.1f} images/s")
    print(f"share     {ours / rival:8.1%}  (asked: {SHARE:.0%})")
    if held[0]:
        listed = ", ".join(f"{value:.0f}" for value in held)
        print(f"memory    {listed} MB, growth {held[-1] / held[0] - 1:.1%}  (asked: under {GROWTH:.0%})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", nargs="?", default=DataConfig().root)
    parser.add_argument("--split", default="train")
    parser.add_argument("--size", nargs="+", type=int, default=[640], help="one side, or height and width")
    parser.add_argument("--workers", type=int, default=min(4, usable_cpus()))
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cache", type=float, default=0.0, help="GB per process")
    given = parser.parse_args()
    size = (given.size[0], given.size[-1])
    data = DataConfig(root=given.root, cache_gb=given.cache)
    annotations, _ = load_split(data, given.split, ())
    dataset = RotatedDataset(annotations[: given.images], PLAIN, data=data)
    profile(RotatedDataset(annotations[: given.images], PLAIN), size, range(min(50, len(dataset))))
    compare(dataset, size, given.workers, given.rounds)


if __name__ == "__main__":
    main()
