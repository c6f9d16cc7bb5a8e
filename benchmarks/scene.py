"""Find objects in a large synthetic GeoTIFF: time, share of it in the network, memory, and what is found.

    python benchmarks/scene.py runs/demo/best.pt                    5,000 x 5,000 px, 300 objects
    python benchmarks/scene.py runs/demo/best.pt --side 20000 --objects 5000
    python benchmarks/scene.py runs/demo/best.pt tile=640 rates=[0.5,1]   settings of `predict`

The scene is a mosaic of synthetic scenes of 320 px, with and without objects, for a model trained on such
(`make demo`).  The reference is the same model on one tile centred on each object.  An object is found where
a detection of its class has IoU above 0.5 with it; precision is that of the detections within 80 px of an
object, where both have looked.  Memory is the peak RSS of the process that detects.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dataloadR.demo.grounds import render_ground  # noqa: E402
from dataloadR.demo.plan import plan_scene  # noqa: E402
from dataloadR.demo.scenes import DEMO_CLASSES, make_scene  # noqa: E402
from evalR.inference.detector import Detector  # noqa: E402
from evalR.inference.predict import above_threshold  # noqa: E402
from evalR.inference.splits import predict_image  # noqa: E402
from utils.quads.iou import pairwise_quad_iou  # noqa: E402
from utils.records import Detections  # noqa: E402
from utils.scene_rasters import open_scene  # noqa: E402
from utils.tiles import Window  # noqa: E402

BLOCK, KINDS = 320, 60  # px of a synthetic scene, and how many different ones there are
NEAR = 80  # px around an object in which precision is counted
ORIGIN, PIXEL = (500_000.0, 5_600_000.0), 0.3  # metres in UTM zone 32


def empty_block(number: int) -> np.ndarray:
    rng = np.random.default_rng([2, number])
    canvas = render_ground(plan_scene((BLOCK, BLOCK), rng).ground, (BLOCK, BLOCK), rng)
    return cv2.resize(canvas, (BLOCK, BLOCK), interpolation=cv2.INTER_AREA)


def make(path: Path, side: int, objects: int) -> None:
    """Write the scene, and its objects beside it."""
    import rasterio

    rng = np.random.default_rng(0)
    scenes = [make_scene(np.random.default_rng([1, k]), (BLOCK, BLOCK)) for k in range(KINDS)]
    grounds = [empty_block(k) for k in range(KINDS // 3)]
    blocks = -(-side // BLOCK)
    mean = np.mean([(scene.difficult == 0).sum() for scene in scenes])
    full = rng.permutation(blocks * blocks) < round(objects / mean)
    quads, labels, difficult = [], [], []
    shape = {"count": 3, "height": side, "width": side, "dtype": "uint8", "photometric": "rgb"}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    place = rasterio.Affine(PIXEL, 0, ORIGIN[0], 0, -PIXEL, ORIGIN[1])
    with (
        rasterio.Env(GDAL_CACHEMAX=64),
        rasterio.open(
            path, "w", driver="GTiff", crs="EPSG:32632", transform=place, **shape, **layout
        ) as file,
    ):
        for row in range(blocks):
            band = np.empty((BLOCK, blocks * BLOCK, 3), np.uint8)
            for column in range(blocks):
                at = np.s_[:, column * BLOCK : (column + 1) * BLOCK]
                if not full[row * blocks + column]:
                    band[at] = grounds[rng.integers(len(grounds))]
                    continue
                scene = scenes[rng.integers(KINDS)]
                band[at] = scene.image
                moved = scene.quads + np.array([column * BLOCK, row * BLOCK], np.float32)
                is_inside = (moved < side).all(axis=(1, 2))
                quads.append(moved)
                labels.append(scene.labels)
                difficult.append(np.where(is_inside, scene.difficult, 2))
            rows = min(BLOCK, side - row * BLOCK)
            window = ((row * BLOCK, row * BLOCK + rows), (0, side))
            file.write(band[:rows, :side].transpose(2, 0, 1), window=window)
    truth = (np.concatenate(fields) for fields in (quads, labels, difficult))
    np.savez(path.with_suffix(".npz"), **dict(zip(("quads", "labels", "difficult"), truth, strict=True)))


class Clock:
    """Seconds in the network."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.seconds, self.images, self._began = 0.0, 0, 0.0
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._end)

    def _begin(self, _: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self._began = time.perf_counter()
        self.images += len(inputs[0])

    def _end(self, _: torch.nn.Module, __: object, outputs: list) -> None:
        if outputs[0].ratio_logit.is_cuda:
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - self._began


def hits(found: Detections, quads: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which detections (K,) are one of the objects given."""
    if not len(found.scores) or not len(quads):
        return np.zeros(len(found.scores), bool)
    ious = pairwise_quad_iou(found.quads.double(), torch.from_numpy(quads).double()).numpy()
    return ((ious > 0.5) & (found.labels.numpy()[:, None] == labels)).any(axis=1)


def near(middles: np.ndarray, points: np.ndarray, reach: float) -> list[np.ndarray]:
    """Return, for each of `middles`, which points lie in the square around it."""
    order = points[:, 0].argsort()
    xs = points[order, 0]
    found = []
    for x, y in middles:
        rows = order[np.searchsorted(xs, x - reach) : np.searchsorted(xs, x + reach)]
        found.append(rows[np.abs(points[rows, 1] - y) < reach])
    return found


def score(found: Detections, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Recall, doubles and precision of the detections of the whole scene."""
    is_known = truth["difficult"] == 0
    middles = truth["quads"].mean(axis=1)
    points = found.quads.mean(dim=1).numpy()
    times, good, total = [], 0, 0
    for row, rows in zip(np.flatnonzero(is_known), near(middles[is_known], points, NEAR), strict=True):
        some = Detections(*(field[rows] for field in found))
        own = hits(some, truth["quads"][row : row + 1], truth["labels"][row : row + 1])
        times.append(int(own.sum()))
        around = near(middles[row : row + 1], middles, 3 * NEAR)[0]
        any_hit = hits(some, truth["quads"][around], truth["labels"][around])
        good += int(any_hit.sum())  # of each object, as in `reference`
        total += len(rows)
    times_found = np.array(times)
    return {
        "objects": len(times_found),
        "recall": float((times_found > 0).mean()),
        "found_twice": int((times_found > 1).sum()),
        "precision": good / max(total, 1),
    }


def reference(detector: Detector, path: Path, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """Recall and precision of the same model on a tile centred on each object."""
    trained = detector.trained
    side = max(trained.config.data.input_size)
    middles = truth["quads"].mean(axis=1)
    found_own, good, total = [], 0, 0
    with open_scene(path) as raster:
        height, width = raster.size
        for row in np.flatnonzero(truth["difficult"] == 0):
            x, y = (
                int(np.clip(round(middle) - side // 2, 0, length - side))
                for middle, length in zip(middles[row], (width, height), strict=True)
            )
            tile = raster.read(Window(x, y, x + side, y + side))
            found = predict_image(trained.model, tile, trained.config, trained.device, scale=1.0)
            found = above_threshold(found, trained)
            found = found._replace(quads=found.quads + torch.tensor([x, y]))
            own = hits(found, truth["quads"][row : row + 1], truth["labels"][row : row + 1])
            found_own.append(own.any())
            around = near(middles[row : row + 1], middles, side)[0]
            inside = (np.abs(found.quads.mean(dim=1).numpy() - middles[row]) < NEAR).all(axis=1)
            good += int(hits(found, truth["quads"][around], truth["labels"][around])[inside].sum())
            total += int(inside.sum())
    return {"recall": float(np.mean(found_own)), "precision": good / max(total, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path)
    parser.add_argument("settings", nargs="*", help="KEY=VALUE of predict, or SECTION.KEY=VALUE")
    parser.add_argument("--side", type=int, default=5000)
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--scene", type=Path, help="keep the scene there, or take it from there")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_intermixed_args()
    if given.make:
        make(given.scene, given.side, given.objects)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = given.scene or Path(folder, "scene.tif")
        if not path.exists():
            words = [
                "--make",
                "--scene",
                str(path),
                "--side",
                str(given.side),
                "--objects",
                str(given.objects),
            ]
            subprocess.run([sys.executable, __file__, "-", *words], check=True)
        run(given, path)


def run(given: argparse.Namespace, path: Path) -> None:
    pairs = [word.split("=", 1) for word in given.settings]
    detector = Detector(given.weights, **{key: json.loads(value) for key, value in pairs})
    with np.load(path.with_suffix(".npz")) as file:
        truth = dict(file)
    assert detector.trained.classes == tuple(sorted(DEMO_CLASSES)) == DEMO_CLASSES, (
        "a model of the synthetic scenes"
    )
    clock = Clock(detector.trained.model)
    start = time.perf_counter()
    found = detector(path)
    wall = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{found.size} px, {clock.images} tiles looked at, {len(found.scores)} objects found")
    print(f"{wall:.1f} s, {clock.seconds / wall:.1%} of it in the network (asked: 90 %)")
    print(f"peak RSS {peak:.0f} MiB (asked: 2500 MB)")
    print(f"scene:   {score(found.scene.detections, truth)}")
    print(f"centred: {reference(detector, path, truth)} (asked: within 0.5 points)")


if __name__ == "__main__":
    main()
