"""Time `datasets_tools.split` against a bare loop over the same tiles, and watch its memory on a huge raster.

    python benchmarks/split.py                      speed on synthetic scenes
    python benchmarks/split.py /path/to/images      speed on images of your own
    python benchmarks/split.py --huge               and 30,000 x 30,000 px TIFFs in blocks and in strips

The bare loop decodes the same images and encodes the same tiles with OpenCV in as many processes, and does
nothing else: no labels, no checks, no temporary names.  Both take turns; figures are medians of the rounds.
Memory is that of all processes together, what they share counted once (PSS), sampled ten times a second.
--huge needs rasterio, and 3 GB of disk at a time in the folder for temporary files.
"""

import argparse
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dataloadR.annotations import is_image  # noqa: E402
from dataloadR.loader import init_worker, usable_cpus  # noqa: E402
from datasets_tools import split  # noqa: E402
from utils.images import image_size  # noqa: E402
from utils.tiles import Grid, Window, tile_windows  # noqa: E402

SHARE = 0.8  # of the bare loop's speed that is asked
GRID = Grid(800, 200, (1.0,))
SCENES, SCENE = 8, (2000, 2600)  # synthetic images and their height and width
HUGE = 30_000
LIMIT = 1e9  # bytes that are asked


class Cost(NamedTuple):
    wall: float  # seconds
    cpu: float  # seconds of all processes


class Cut(NamedTuple):
    """One image of the bare loop."""

    image: Path
    out: Path
    tiles: list[tuple[str, Window]]


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A picture that compresses about as aerial photographs do."""
    coarse = rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.add(smooth, rng.integers(0, 12, (height, width, 1), np.uint8).repeat(3, axis=2))


def write_scenes(root: Path) -> None:
    rng = np.random.default_rng(0)
    for folder in ("images", "labelTxt"):
        (root / folder).mkdir(parents=True)
    for number in range(SCENES):
        cv2.imwrite(str(root / f"images/{number}.png"), texture(rng, *SCENE))
        corners = rng.uniform(0, SCENE[0], (300, 1, 2)) + np.array([[0, 0], [30, 5], [25, 40], [-5, 35]])
        lines = [" ".join(f"{v:.1f}" for v in quad.ravel()) + " ship 0\n" for quad in corners]
        (root / f"labelTxt/{number}.txt").write_text("".join(lines))


def bare(cut: Cut) -> int:
    image = cv2.imdecode(np.fromfile(cut.image, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    for name, w in cut.tiles:
        data = cv2.imencode(".png", image[w.y_min : w.y_max, w.x_min : w.x_max])[1]
        (cut.out / f"{name}.png").write_bytes(data)
    return len(cut.tiles)


def run_bare(cuts: list[Cut], processes: int) -> None:
    with multiprocessing.get_context("fork").Pool(processes, init_worker, (0,)) as pool:
        list(pool.imap_unordered(bare, cuts, chunksize=1))
        pool.close()
        pool.join()


def measure(task: Callable[[], object]) -> Cost:
    start, spent = time.perf_counter(), cpu_seconds()
    task()
    return Cost(time.perf_counter() - start, cpu_seconds() - spent)


def cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare(root: Path, work: Path, processes: int, rounds: int) -> None:
    """Print tiles per second of both, and what ours costs beside."""
    folder = root / "images" if (root / "images").is_dir() else root
    images = sorted((path for path in folder.iterdir() if is_image(path)), key=lambda p: -p.stat().st_size)
    cuts = []
    for image in images:
        tiles = [(tile.name, window) for tile, window in tile_windows(image.stem, image_size(image), GRID)]
        cuts.append(Cut(image, work / "bare", tiles))
    count = sum(len(cut.tiles) for cut in cuts)
    (work / "bare").mkdir()
    costs: list[tuple[Cost, Cost]] = []
    for number in range(rounds + 1):
        words = [str(root), str(work / f"out{number}"), "--processes", str(processes)]
        pair = measure(lambda: run_bare(cuts, processes)), measure(lambda: split.main(words))  # noqa: B023
        if number:  # the first warms the disk's cache up
            costs.append(pair)
    print(f"\n{len(images)} images, {count} tiles of {GRID.side} px, {processes} processes, {rounds} rounds")
    print("| | tiles/s | CPU ms per tile |\n|---|---|---|")
    walls, cpus = [], []
    for k, name in enumerate(("bare loop", "split")):
        walls.append(statistics.median(pair[k].wall for pair in costs))
        cpus.append(statistics.median(pair[k].cpu for pair in costs))
        print(f"| {name} | {count / walls[k]:.1f} | {1e3 * cpus[k] / count:.2f} |")
    print(f"speed {walls[0] / walls[1]:.1%} of the bare loop (asked: {SHARE:.0%})")
    print(f"CPU   {cpus[0] / cpus[1]:.1%}")
    shares = [ours.wall / theirs.wall for theirs, ours in costs]
    print("rounds: " + ", ".join(f"{1 / share:.1%}" for share in shares))


def tree_memory(pid: int) -> int:
    """Bytes of a process and its children, what they share counted once."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    total = 0
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            total += int(line.split()[1]) * 1024 if line.startswith("Pss:") else 0
        return total + sum(tree_memory(int(child)) for child in children.read_text().split())
    except OSError:  # it has just ended
        return total


def watch_huge(work: Path, name: str, options: dict[str, object], processes: int) -> None:
    """Print time and peak memory of cutting a huge TIFF."""
    import rasterio

    path, block = work / f"{name}.tif", texture(np.random.default_rng(1), 3000, 3000).transpose(2, 0, 1)
    shape = {"count": 3, "height": HUGE, "width": HUGE, "dtype": "uint8", "photometric": "rgb"}
    with (
        rasterio.Env(GDAL_CACHEMAX=64),
        rasterio.open(path, "w", driver="GTiff", interleave="pixel", **shape, **options) as dataset,
    ):
        for top in range(0, HUGE, 3000):
            band = np.tile(block, (1, 1, HUGE // 3000))
            dataset.write(band, window=((top, top + 3000), (0, HUGE)))
    command = [sys.executable, "-m", "datasets_tools.split", str(path), str(work / f"{name}_tiles")]
    spent, start, peak = cpu_seconds(), time.perf_counter(), 0
    process = subprocess.Popen([*command, "--processes", str(processes), "--format", "jpg"], cwd=ROOT)
    while process.poll() is None:
        peak = max(peak, tree_memory(process.pid))
        time.sleep(0.1)
    wall, cpu = time.perf_counter() - start, cpu_seconds() - spent
    size = path.stat().st_size / 1e9
    path.unlink()
    print(
        f"{name} {HUGE} x {HUGE} px, file of {size:.1f} GB: {wall:.0f} s, {cpu:.0f} CPU seconds, "
        f"peak {peak / 1e6:.0f} MB (asked: under {LIMIT / 1e6:.0f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", nargs="?", type=Path)
    parser.add_argument("--processes", type=int, default=min(2, usable_cpus()))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--huge", action="store_true")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if given.root is None:
            write_scenes(work / "scenes")
        compare(given.root or work / "scenes", work, given.processes, given.rounds)
    if given.huge:
        blocks = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
        layouts = {"blocks": blocks, "strips": {}}
        for layout, options in layouts.items():
            with tempfile.TemporaryDirectory() as name:
                watch_huge(Path(name), layout, options, given.processes)


if __name__ == "__main__":
    main()
