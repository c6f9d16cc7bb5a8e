"""DOTA text: one file an image, one line an object, `x1 y1 x2 y2 x3 y3 x4 y4 class score` in pixels."""

import re
from pathlib import Path

from evalR.outputs.measures import class_names_of
from utils.files import write_text
from utils.records import SceneDetections


def class_word(name: str) -> str:
    """Return a class name as one word: blanks become hyphens."""
    return re.sub(r"\s+", "-", name)


def dota_lines(found: SceneDetections) -> list[str]:
    """Return a line for each object, highest score first."""
    quads = found.detections.quads.reshape(-1, 8).tolist()
    table = zip(quads, class_names_of(found), found.detections.scores.tolist(), strict=True)
    return [
        f"{' '.join(f'{value:.2f}' for value in quad)} {class_word(name)} {score:.4f}\n"
        for quad, name, score in table
    ]


def write_dota_labels(path: Path, found: SceneDetections) -> None:
    """Write NAME.txt; empty where nothing was found."""
    write_text(path, "".join(dota_lines(found)))
