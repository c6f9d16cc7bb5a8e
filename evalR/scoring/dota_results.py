"""DOTA result files: one `Task1_CLASS.txt` per class (oriented boxes), what DOTA_devkit reads.

A line is `image score x1 y1 x2 y2 x3 y3 x4 y4`, pixels of the original image.  Task 2 (horizontal boxes):
`image score x_min y_min x_max y_max` in `Task2_CLASS.txt`.
"""

import logging
import re
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dataloadR.label_lines import MAX_COORDINATE, SHOWN, read_lines
from utils.arrays import F64, I64
from utils.errors import Faults, UserError
from utils.files import write_text
from utils.records import Detections

logger = logging.getLogger(__name__)

SCORE, COORDINATE = "%.8f", "%.12g"  # no exponents for `round_coordinates` coordinates of any raster
_NAME = re.compile(r"(?:Task(?P<task>[12])_)?(?P<label>.+)\.txt")


class ResultFile(NamedTuple):
    """Where the detections of one class stand."""

    path: Path
    task: int  # 1: quads, also in a file that is called CLASS.txt; 2: horizontal boxes
    label: str

    @property
    def coordinates(self) -> int:
        """Return how many there are in a line."""
        return 8 if self.task == 1 else 4


class ResultRows(NamedTuple):
    """The detections of one file, a row each."""

    names: list[str]  # images or tiles, each once
    images: I64  # (N,) into `names`
    scores: F64  # (N,)
    coordinates: F64  # (N, 8) x1 y1 .. x4 y4, or (N, 4) x_min, y_min, x_max, y_max; pixels
    lines: I64  # (N,) of the file, counted from 1

    def take(self, rows: NDArray[np.generic]) -> "ResultRows":
        """Return some rows, by number or by a mask; the names stay."""
        return self._replace(**{name: getattr(self, name)[rows] for name in self._fields[1:]})


def find_results(folder: Path) -> list[ResultFile]:
    """Return the result files of a folder, by name; `Task1_CLASS.txt`, `Task2_CLASS.txt` and `CLASS.txt`.

    Raises:
        UserError: no such folder, or no text file in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a folder of result files, found none")
    paths = sorted(path for path in folder.glob("*.txt") if not path.name.startswith("."))
    if not paths:
        raise UserError(f"{folder}: expected result files such as Task1_plane.txt, found no .txt file")
    matches = [(path, _NAME.fullmatch(path.name)) for path in paths]
    return [ResultFile(path, int(match["task"] or 1), match["label"]) for path, match in matches if match]


def read_result_rows(path: Path, coordinates: int = 8) -> ResultRows:
    """Return the lines of one result file; a name is all that stands before the numbers, blanks included.

    Raises:
        UserError: a line without a name, its score and `coordinates` finite numbers; says file and line.
    """
    known: dict[str, int] = {}
    index, numbers, lines = array("q"), array("d"), array("q")
    for number, text in read_lines(path, Faults(skip=False)):
        fields = text.rsplit(None, coordinates + 1)
        if len(fields) != coordinates + 2:
            shown = text if len(text) <= SHOWN else text[:SHOWN] + "..."
            got = f"got {len(fields)}: {shown!r}"
            raise UserError(f"{path}:{number}: expected {coordinates + 2} fields, {got}")
        try:
            numbers.extend(map(float, fields[1:]))
        except ValueError as error:
            raise UserError(f"{path}:{number}: {_expected(coordinates)}, {error}") from None
        index.append(known.setdefault(fields[0], len(known)))
        lines.append(number)
    values = np.array(numbers, np.float64).reshape(-1, coordinates + 1)
    rows = ResultRows(list(known), np.array(index, np.int64), values[:, 0], values[:, 1:], np.array(lines))
    _check_numbers(rows, path)
    return rows


def _expected(coordinates: int) -> str:
    return f"expected {coordinates + 1} finite numbers after the image"


def _check_numbers(rows: ResultRows, path: Path) -> None:
    finite = np.isfinite(rows.scores) & np.isfinite(rows.coordinates).all(axis=1)
    small = (np.abs(rows.coordinates) <= MAX_COORDINATE).all(axis=1)
    for right, what in (
        (finite, _expected(rows.coordinates.shape[1])),
        (small, f"expected coordinates up to {MAX_COORDINATE:.0e} px"),
    ):
        if not right.all():
            row = int(np.flatnonzero(~right)[0])
            got = " ".join(f"{value:.10g}" for value in (rows.scores[row], *rows.coordinates[row]))
            raise UserError(f"{path}:{rows.lines[row]}: {what}, got {got}")


def check_boxes(rows: ResultRows, file: ResultFile) -> None:
    """Raise a UserError, with file and line, where a horizontal box ends before it begins."""
    if file.task == 1:
        return
    x_min, y_min, x_max, y_max = rows.coordinates.T
    bad = np.flatnonzero((x_min > x_max) | (y_min > y_max))
    if len(bad):
        got = " ".join(f"{value:.10g}" for value in rows.coordinates[bad[0]])
        place = f"{file.path}:{rows.lines[bad[0]]}"
        raise UserError(f"{place}: expected x_min <= x_max and y_min <= y_max, got {got}")


def result_text(rows: ResultRows, score: str = SCORE, coordinate: str = COORDINATE) -> str:
    """Return the lines of a result file, row by row; without exponents after `round_coordinates`."""
    template = f"%s {score}" + f" {coordinate}" * rows.coordinates.shape[1] + "\n"
    columns = zip(rows.images.tolist(), rows.scores.tolist(), rows.coordinates.tolist(), strict=True)
    return "".join([template % (rows.names[k], value, *numbers) for k, value, numbers in columns])


def write_rows(path: Path, rows: ResultRows, score: str = SCORE, coordinate: str = COORDINATE) -> None:
    """Write one result file."""
    write_text(path, result_text(rows, score, coordinate))


def round_coordinates(coordinates: F64) -> F64:
    """Return coordinates with four decimals: a ten-thousandth of a pixel, and no traces of arithmetic."""
    return np.asarray(np.round(coordinates, 4) + 0.0, np.float64)  # + 0.0: no minus before a zero


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
    for image, found in zip(image_names, detections, strict=True):
        wrong = [label for label in found.labels.tolist() if not 0 <= label < len(classes)]
        if wrong:
            raise ValueError(f"{image}: expected labels from 0 to {len(classes) - 1}, got {wrong[0]}")
    images = np.repeat(np.arange(len(image_names)), [len(found.scores) for found in detections])
    quads = torch.cat([torch.zeros(0, 4, 2), *(found.quads for found in detections)]).double().flatten(1)
    scores = torch.cat([torch.zeros(0), *(found.scores for found in detections)]).double()
    labels = torch.cat([torch.zeros(0, dtype=torch.int64), *(found.labels for found in detections)]).numpy()
    rows = ResultRows(list(image_names), images, scores.numpy(), quads.numpy(), images)
    for label, name in enumerate(classes):
        write_rows(task1_path(folder, name), rows.take(labels == label), "%.6f", "%.3f")


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
    known = {name: k for k, name in enumerate(image_names)}
    found = [(label, path, read_result_rows(path)) for label, path in enumerate(paths) if path.exists()]
    images = np.concatenate(
        [np.zeros(0, np.int64), *(find_images(rows, known, path) for _, path, rows in found)]
    )
    scores = np.concatenate([np.zeros(0), *(rows.scores for _, _, rows in found)])
    quads = np.concatenate([np.zeros((0, 8)), *(rows.coordinates for _, _, rows in found)])
    labels = np.repeat([label for label, _, _ in found], [len(rows.images) for _, _, rows in found])
    order = np.lexsort((-scores, images))
    counts = np.bincount(images, minlength=len(image_names)).tolist()
    fields = (
        torch.split(torch.from_numpy(values[order]), counts)
        for values in (quads.reshape(-1, 4, 2), scores, labels.astype(np.int64))
    )
    return [Detections(*parts) for parts in zip(*fields, strict=True)]


def find_images(rows: ResultRows, known: dict[str, int], path: Path) -> I64:
    """Return the number of the image of each row, (N,).

    Raises:
        UserError: an image that is not among the known ones; says file and line.
    """
    numbers = np.array([known.get(name, -1) for name in rows.names], np.int64)[rows.images]
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        row = int(unknown[0])
        name = rows.names[rows.images[row]]
        wanted, words = rows.coordinates.shape[1] + 2, len(name.split())
        excess = f": {wanted + words - 1} fields, expected {wanted}" if words > 1 else ""
        raise UserError(f"{path}:{rows.lines[row]}: expected an image of the list, got {name!r}{excess}")
    return numbers


def task1_path(folder: Path, class_name: str) -> Path:
    """Return where the detections of a class stand."""
    return folder / f"Task1_{class_name}.txt"


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


def can_be_written(names: Sequence[str], classes: Sequence[str]) -> bool:
    """Return whether these names can stand in result files; say it once if not."""
    try:
        check_names(names, classes)
    except UserError as error:
        logger.warning("no Task1 files, for they could not be read again: %s", error)
        return False
    return True
