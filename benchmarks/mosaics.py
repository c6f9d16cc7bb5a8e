"""Images larger than the network input: what the defaults find, against cutting, testing and merging by hand.

    python benchmarks/mosaics.py runs/demo [FOLDER]

Joins four scenes of the demo's validation split into each of ten images of twice their size, and scores
the same model on them four times: `test.py` as it is, `test.py` on tiles made by `datasets_tools.split` and
joined by `merge`, `predict.py` as it is (its text files scored as results), and shrunk as one may force.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dataloadR.annotations import read_split  # noqa: E402
from evalR.inference.load import load_detector  # noqa: E402
from evalR.scoring.dota_results import write_task1  # noqa: E402
from utils.cli import pick_device  # noqa: E402
from utils.records import Detections  # noqa: E402

COUNT, SEED = 10, 0


def build(source: Path, target: Path, classes: Sequence[str]) -> None:
    """Write the mosaics with their labels, in DOTA's layout."""
    annotations, names = read_split(source, "val", classes)
    rows = np.random.default_rng(SEED).permutation(len(annotations))[: 4 * COUNT].reshape(COUNT, 4)
    for folder in ("images", "labelTxt"):
        (target / "val" / folder).mkdir(parents=True, exist_ok=True)
    for number, four in enumerate(rows):
        tiles, lines = [], []
        for place, row in enumerate(four):
            annotation = annotations[row]
            image = cv2.imread(annotation.image_path)
            height, width = image.shape[:2]
            tiles.append(image)
            for quad, label, flag in zip(
                annotation.quads, annotation.labels, annotation.difficult, strict=True
            ):
                points = quad + np.array([place % 2 * width, place // 2 * height], np.float32)
                numbers = " ".join(f"{value:.3f}" for value in points.ravel().tolist())
                lines.append(f"{numbers} {names[label]} {flag}\n")
        picture = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
        cv2.imwrite(str(target / f"val/images/m{number}.png"), picture)
        (target / f"val/labelTxt/m{number}.txt").write_text("".join(lines))


def call(*words: object) -> str:
    """Run a script of the project and return what it says."""
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def scores(folder: Path) -> dict[str, float]:
    """Return mean AP50 and AP75, and AP50 of each class, in percent."""
    table = json.loads((folder / "metrics.json").read_text())["task1"]["voc12"]
    means = {name: table[name]["mean"] for name in ("AP50", "AP75")}
    return {
        key: 100 * value for key, value in (means | table["AP50"]["per_class"]).items() if value is not None
    }


def read_texts(folder: Path, names: Sequence[str], classes: Sequence[str], target: Path) -> None:
    """Write the text files of predict.py as result files of DOTA."""
    import torch

    found = []
    for name in names:
        rows = [line.split() for line in (folder / f"{name}.txt").read_text().splitlines()]
        quads = torch.tensor([[float(x) for x in row[:8]] for row in rows]).reshape(-1, 4, 2)
        labels = torch.tensor([classes.index(row[8]) for row in rows], dtype=torch.int64)
        found.append(Detections(quads, torch.tensor([float(row[9]) for row in rows]), labels))
    write_task1(target, found, list(names), classes)


def main(weights: Path, work: Path) -> None:
    """Build, score in every way and print a table."""
    detector = load_detector(weights, [], pick_device)
    classes, side = detector.classes, max(detector.config.data.input_size)
    data = work / "mosaics"
    build(ROOT / detector.config.data.root, data, classes)
    names = [f"m{number}" for number in range(COUNT)]
    here = f"data.root={data}"
    told = call("test.py", weights, here, f"out={work}/whole")
    print(next(line for line in told.splitlines() if "cut into" in line or "shown whole" in line))
    call("test.py", weights, here, "data.max_downscale=4", f"out={work}/shrunk")
    call("-m", "datasets_tools.split", data, work / "tiles", "--size", side, "--overlap", side // 4)
    call("test.py", weights, f"data.root={work}/tiles", f"out={work}/cut")
    call("-m", "datasets_tools.merge", work / "cut/Task1", work / "merged")
    call("test.py", f"results={work}/merged", here, "data.split=val", f"out={work}/by-hand")
    low = "predict.score_threshold=0.005"
    call(
        "predict.py", data / "val/images", f"weights={weights}", f"out={work}/predicted", "formats=dota", low
    )
    read_texts(work / "predicted", names, classes, work / "texts")
    call("test.py", f"results={work}/texts", here, "data.split=val", f"out={work}/by-predict")
    rows = {
        "test.py": "whole",
        "split, test.py, merge": "by-hand",
        "predict.py": "by-predict",
        "shrunk": "shrunk",
    }
    for title, folder in rows.items():
        figures = ", ".join(f"{name} {value:.1f}" for name, value in scores(work / folder).items())
        print(f"{title:24}{figures}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]) if sys.argv[2:] else Path(tempfile.mkdtemp()))
