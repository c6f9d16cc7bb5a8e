"""Time `datasets_tools.merge` on 360,000 detections of 15 classes in the tiles of 1,000 images.

    python benchmarks/merge.py
    python benchmarks/merge.py --processes 1 --method fuse      words of the tool
    python benchmarks/merge.py --classes 1                      all in one file

Images of 4000 x 4000 px, tiles of 800 that overlap by 200; three jittered detections of each object, in tiles
that show it.  The tool runs as a process of its own, its start included; memory is the most that it and its
processes use together, shared pages counted once (the PSS of Linux, looked at ten times a second).
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

IMAGES, OBJECTS, COPIES = 1000, 120_000, 3
SIDE, TILE, STEP = 4000, 800, 600
MIB = 1024  # kB


def write_tiles(folder: Path, classes: int) -> None:
    rng = np.random.default_rng(0)
    count = OBJECTS * COPIES
    images, labels = (np.repeat(rng.integers(0, n, OBJECTS), COPIES) for n in (IMAGES, classes))
    middles = np.repeat(rng.uniform(0, SIDE, (OBJECTS, 2)), COPIES, axis=0)
    sizes = np.repeat(rng.uniform(8, 60, (OBJECTS, 2)), COPIES, axis=0)
    angles = np.repeat(rng.uniform(0, np.pi, OBJECTS), COPIES)
    first = np.ceil((middles - TILE) / STEP).clip(0)  # of the tiles that hold the middle
    last = np.floor(middles / STEP).clip(0, np.ceil((SIDE - TILE) / STEP))
    tiles = np.minimum(np.round(rng.uniform(first, np.maximum(first, last))) * STEP, SIDE - TILE).astype(int)
    moved = middles + rng.normal(size=(count, 2)) * 0.03 * sizes - tiles
    quads = rectangles(moved[:, None], sizes, angles + 0.03 * rng.normal(size=count)).reshape(count, 8)
    scores = rng.uniform(0.05, 1, count)
    for label in range(classes):
        with (folder / f"Task1_class{label}.txt").open("w") as file:
            for row in rng.permutation(np.flatnonzero(labels == label)):
                x, y = tiles[row]
                numbers = " ".join(f"{value:.2f}" for value in quads[row])
                file.write(f"P{images[row]:04d}__1__{x}___{y} {scores[row]:.4f} {numbers}\n")


def memory(process: int) -> int:
    """Return the kB that a process and its children use."""
    total = 0
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) if line.startswith("Pss:") else 0
        for task in Path(f"/proc/{process}/task").iterdir():
            total += sum(memory(int(child)) for child in (task / "children").read_text().split())
    except (OSError, ProcessLookupError):  # it has just ended
        pass
    return total


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--classes", type=int, default=15, help="files (default: 15); other words: the tool's"
    )
    arguments, words = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        tiles, out = Path(name, "tiles"), Path(name, "out")
        tiles.mkdir()
        write_tiles(tiles, arguments.classes)
        command = [sys.executable, "-m", "datasets_tools.merge", str(tiles), str(out), *words]
        start, peak = time.perf_counter(), 0
        process = subprocess.Popen(command, cwd=ROOT)
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.1)
        seconds = time.perf_counter() - start
        if process.returncode:
            raise SystemExit(process.returncode)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    work = used.ru_utime + used.ru_stime
    print(f"{OBJECTS * COPIES} detections: {seconds:.1f} s (asked: 20), {work:.1f} s of all cores together")
    print(f"{peak / MIB:.0f} MiB (asked: 1000)")


if __name__ == "__main__":
    main()
