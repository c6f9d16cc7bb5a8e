"""Result files of DOTA Task 1 (oriented boxes): one `Task1_CLASS.txt` per class, what DOTA_devkit reads.

A line is `image score x1 y1 x2 y2 x3 y3 x4 y4`, pixels of the original image.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from utils.errors import UserError
from utils.records import Detections

FIELDS = 10


class _Row(NamedTuple):
    """One line of a result file."""

    score: float
    quad: list[list[float]]
    label: int


def write_task1(
    folder: Path, detections: Sequence[Detections], image_names: Sequence[str], classes: Sequence[str]
) -> None:
    """Write one file per class, also when it is empty; scores with 6 decimals, coordinates with 3.

    Args:
        detections: one entry per image, in the order of `image_names`.
        image_names: file names without folder and ending, as the devkit expects them.

    Raises:
        ValueError: lengths differ, or a name cannot stand in the format.
    """
    check_names(image_names, classes)
    if len(detections) != len(image_names):
        raise ValueError(f"expected detections for {len(image_names)} images, got {len(detections)}")
    lines: list[list[str]] = [[] for _ in classes]
    for image, found in zip(image_names, detections, strict=True):
        quads, scores = found.quads.flatten(1).tolist(), found.scores.tolist()
        for quad, score, label in zip(quads, scores, found.labels.tolist(), strict=True):
            if not 0 <= label < len(classes):
                raise ValueError(f"{image}: expected labels from 0 to {len(classes) - 1}, got {label}")
            coordinates = " ".join(f"{value:.3f}" for value in quad)
            lines[label].append(f"{image} {score:.6f} {coordinates}\n")
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in zip(classes, lines, strict=True):
        path = task1_path(folder, name)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text("".join(rows), encoding="utf-8")
        temporary.replace(path)


def read_task1(folder: Path, classes: Sequence[str], image_names: Sequence[str]) -> list[Detections]:
    """Return the detections per image, float64, highest score first; equal scores in the order of the files.

    A class without a file has no detections, as the devkit's own result sets leave such files out.

    Raises:
        FileNotFoundError: there is no file for any of the classes.
        ValueError: a line is malformed or names an image that is not asked for; says file and line.
    """
    check_names(image_names, classes)
    paths = [task1_path(folder, name) for name in classes]
    if classes and not any(path.exists() for path in paths):
        raise FileNotFoundError(f"{folder}: expected files such as {paths[0].name}, found none")
    rows: dict[str, list[_Row]] = {name: [] for name in image_names}
    for label, path in enumerate(paths):
        if path.exists():
            _read_class(path, label, rows)
    return [_to_detections(rows[name]) for name in image_names]


def task1_path(folder: Path, class_name: str) -> Path:
    """Return where the detections of a class stand."""
    return folder / f"Task1_{class_name}.txt"


def _read_class(path: Path, label: int, rows: dict[str, list[_Row]]) -> None:
    """Add the lines of one file to the rows of their images."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != FIELDS:
            raise ValueError(f"{path}:{number}: expected {FIELDS} fields, got {len(fields)}: {line!r}")
        image = fields[0]
        if image not in rows:
            raise ValueError(f"{path}:{number}: expected an image of the list, got {image!r}")
        try:
            rows[image].append(_to_row(fields[1:], label))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: expected 9 finite numbers after the image, {error}") from None


def _to_row(fields: list[str], label: int) -> _Row:
    score, *flat = map(float, fields)
    if not all(map(math.isfinite, (score, *flat))):
        raise ValueError(f"got {' '.join(fields)}")
    return _Row(score, [[x, y] for x, y in zip(flat[::2], flat[1::2], strict=True)], label)


def _to_detections(rows: list[_Row]) -> Detections:
    rows = sorted(rows, key=lambda row: -row.score)
    return Detections(
        quads=torch.tensor([row.quad for row in rows], dtype=torch.float64).reshape(-1, 4, 2),
        scores=torch.tensor([row.score for row in rows], dtype=torch.float64),
        labels=torch.tensor([row.label for row in rows], dtype=torch.int64),
    )


def check_names(image_names: Sequence[str], classes: Sequence[str]) -> None:
    """Raise a UserError where names cannot stand in result files: blanks, slashes, or one name twice."""
    for name in image_names:
        if not name or name.split() != [name]:
            raise UserError(f"image name: expected one word, got {name!r}")
    for name in classes:
        if not name or "/" in name or "\\" in name:
            raise UserError(f"class name: expected one that can stand in a file name, got {name!r}")
    for what, names in (("image", image_names), ("class", classes)):
        if len(set(names)) < len(names):
            twice = next(name for k, name in enumerate(names) if name in names[:k])
            raise UserError(f"{what} names: expected each once, got {twice!r} twice")
