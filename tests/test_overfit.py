"""The whole of it learns: eight images by heart."""

from pathlib import Path

import numpy as np
import pytest

import train_GGHL
from cfg.load import load_config
from dataloadR.annotations import read_split
from dataloadR.demo.scenes import write_demo_scenes
from evalR.scoring.evaluate import mean_ap
from tests.paths import DATA
from utils.records import Annotation

STEPS, BATCH, REPEATS = 400, 4, 25  # 8 images, 25 times in a row, are 50 steps an epoch
WORDS = [
    "data.image_size=512",
    "model.size=nano",
    f"train.batch_size={BATCH}",
    f"train.epochs={STEPS * BATCH // (8 * REPEATS)}",
    "train.eval_every=8",
    "train.optimizer=muon",
    "augment.flip_horizontal=0",
    "augment.flip_vertical=0",
    "augment.turn=0",
    "augment.rotate=0",
    "augment.scale=0",
    "augment.shift=0",
    "augment.crop=0",
    "augment.hsv=0",
    "augment.mixup=0",
    "augment.multi_scale_steps=0",
]


def median_short_side(annotation: Annotation) -> float:
    edges = np.roll(annotation.quads, -1, axis=1) - annotation.quads
    return float(np.median(np.linalg.norm(edges, axis=2).min(axis=1))) if len(edges) else 0.0


def largest_objects(folder: Path, scene_size: int | None) -> tuple[Path, list[str]]:
    """Return a data set and the names of its eight images of the largest objects."""
    root = DATA / "dior-r-mini"
    if scene_size:
        root = write_demo_scenes(folder / "scenes", train=8, val=1, size=(scene_size, scene_size))
    annotations, _ = read_split(str(root), "train")
    annotations.sort(key=median_short_side, reverse=True)
    return root if (root / "images").is_dir() else root / "train", [
        Path(a.image_path).stem for a in annotations[:8]
    ]


def eight_images(folder: Path, scene_size: int | None = None) -> Path:
    """Return a data set of eight images in `folder`, each many times in an epoch.

    They are synthetic scenes of `scene_size` pixels; without a size of DIOR-R, where that is there.
    """
    source, names = largest_objects(folder, scene_size)
    root = folder / "eight"
    (root / "ImageSets").mkdir(parents=True)
    for folder in ("images", "labelTxt"):
        (root / folder).symlink_to(source / folder)
    (root / "ImageSets/train.txt").write_text("\n".join(names * REPEATS))
    (root / "ImageSets/val.txt").write_text("\n".join(names))
    return root


@pytest.mark.slow
def test_overfits_eight_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    side = None if (DATA / "dior-r-mini").is_dir() else 160  # real images where they are
    root = eight_images(tmp_path, side)
    monkeypatch.chdir(tmp_path)
    words = [f"data.root={root}", *WORDS, f"data.image_size={side or 512}"]
    result = train_GGHL.train(load_config(None, words), "eight")
    assert mean_ap(result, "voc12", 0.5) >= 0.90
