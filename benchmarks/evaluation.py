"""Time the evaluator on made-up results: 500,000 detections, 200,000 objects, 15 classes, 10,000 images.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --share 0.1       a tenth of it

Each object has two jittered detections, one in eight of them of another class; the rest lies anywhere.  Timed
is the whole of `test.py results=DIR`: start, imports, reading labels and result files, both tasks, ten IoUs
and all cuts, writing; and the evaluation alone, which `test.py` spends inside `measure`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.operators import rectangles  # noqa: E402
from evalR.scoring.columns import Found, Truth  # noqa: E402
from evalR.scoring.metrics import measure  # noqa: E402
from evalR.scoring.result_sets import Results  # noqa: E402

IMAGES, OBJECTS, DETECTIONS, CLASSES = 10_000, 200_000, 500_000, 15
SIDE = 1000  # pixels


def made_up(share: float) -> tuple[Found, Truth]:
    rng = np.random.default_rng(0)
    images, objects, detections = (round(share * n) for n in (IMAGES, OBJECTS, DETECTIONS))
    middles, sizes = rng.uniform(0, SIDE, (objects, 1, 2)), np.exp(rng.uniform(1.5, 5, (objects, 2)))
    angles, labels = rng.uniform(0, np.pi, objects), rng.integers(0, CLASSES, objects)
    where = np.sort(rng.integers(0, images, objects))
    truth = Truth(where, labels, rng.uniform(size=objects) < 0.05, rectangles(middles, sizes, angles))
    own = np.concatenate(
        [np.repeat(np.arange(objects), 2), rng.integers(0, objects, detections - 2 * objects)]
    )
    near = np.arange(detections) < 2 * objects
    moved = middles[own] + 0.08 * sizes[own][:, None] * rng.normal(size=(detections, 1, 2))
    moved[~near] = rng.uniform(0, SIDE, (detections - 2 * objects, 1, 2))
    quads = rectangles(moved, sizes[own], angles[own] + 0.05 * rng.normal(size=detections))
    mistaken = rng.uniform(size=detections) < 1 / 8
    called = np.where(mistaken, rng.integers(0, CLASSES, detections), labels[own])
    order = np.argsort(where[own], kind="stable")
    scores = rng.beta(np.where(near, 3, 1), 2)
    return Found(where[own][order], called[order], scores[order], quads[order]), truth


def write(folder: Path, found: Found, truth: Truth) -> None:
    (folder / "labelTxt").mkdir()
    (folder / "found").mkdir()
    images = truth.images.max() + 1
    starts = np.searchsorted(truth.images, np.arange(images + 1))
    for image in range(images):
        rows = range(starts[image], starts[image + 1])
        lines = [
            " ".join(f"{value:.1f}" for value in truth.shapes[row].ravel())
            + f" class{truth.labels[row]} {int(truth.difficult[row])}\n"
            for row in rows
        ]
        (folder / "labelTxt" / f"P{image}.txt").write_text("".join(lines))
    (folder / "list.txt").write_text("".join(f"P{image}\n" for image in range(images)))
    for label in range(CLASSES):
        with (folder / "found" / f"Task1_class{label}.txt").open("w") as file:
            for row in np.flatnonzero(found.labels == label):
                numbers = " ".join(f"{value:.2f}" for value in found.shapes[row].ravel())
                file.write(f"P{found.images[row]} {found.scores[row]:.6f} {numbers}\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the numbers (default: all)")
    share = parser.parse_args().share
    found, truth = made_up(share)
    names = [f"class{label}" for label in range(CLASSES)]
    few, some = made_up(0.001)
    measure(names, some, Results(few, None), {})  # kernels are loaded
    start, work = time.perf_counter(), time.process_time()
    measure(names, truth, Results(found, None), {})
    seconds, work = time.perf_counter() - start, time.process_time() - work
    print(f"evaluation of both tasks: {seconds:.1f} s, {work:.1f} s CPU")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, found, truth)
        words = [f"results={folder}/found", f"data.root={folder}", f"data.images={folder}/list.txt"]
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "test.py", *words, f"out={folder}/out"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"test.py: {seconds:.1f} s (asked: 30), {used.ru_utime + used.ru_stime:.1f} s CPU")
    print(f"{used.ru_maxrss / 1024:.0f} MiB (asked: 2000)")


if __name__ == "__main__":
    main()
