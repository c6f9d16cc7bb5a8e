"""YOLO-OBB: one text file an image, `class x1 y1 x2 y2 x3 y3 x4 y4` in shares of width and height."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from evalR.outputs.measures import quads_of
from utils.arrays import F64
from utils.decimals import to_text
from utils.files import write_text
from utils.quads.image_quads import clip_to_image, shown_quads
from utils.records import SceneDetections

SHARE_DECIMALS = 10  # 1e-5 px of 100,000


def shares_of(quads: F64, size: tuple[int, int]) -> F64:
    """Return quads (N, 4, 2) in shares of the width and the height of the image."""
    return np.asarray(quads / np.array(size[::-1], np.float64), np.float64)


def yolo_lines(labels: Iterable[int], shares: F64) -> list[str]:
    """Return a line for each object, without its end."""
    return [
        f"{label} {' '.join(to_text(share, SHARE_DECIMALS) for share in quad)}"
        for label, quad in zip(labels, shares.reshape(-1, 8).tolist(), strict=True)
    ]


def write_names(path: Path, folders: dict[str, str], classes: Sequence[str]) -> None:
    """Write data.yaml: image folders by split, and the class names by their number."""
    table = {**folders, "names": dict(enumerate(classes))}
    write_text(path, yaml.safe_dump(table, sort_keys=False, allow_unicode=True))


def write_yolo_labels(path: Path, found: SceneDetections) -> None:
    """Write labels/NAME.txt, labels that can be trained on: without scores, and four points inside the image.

    A field more, or an object far beyond the border, and Ultralytics leaves out the whole image.
    """
    quads = quads_of(found)
    shown = shown_quads(quads, found.size)
    shares = shares_of(clip_to_image(quads[shown], found.size), found.size)
    lines = yolo_lines(found.detections.labels[torch.from_numpy(shown)].tolist(), shares)
    write_text(path, "".join(f"{line}\n" for line in lines))
