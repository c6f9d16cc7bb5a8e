"""Result folders, one file per class, as the detections of known images; what cannot be is an error."""

import logging
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cfg.schema import DataConfig
from dataloadR.annotations import IMAGE_SUFFIXES, LAYOUTS, find_splits, is_image, read_named, read_split
from dataloadR.label_lines import read_lines
from evalR.scoring.columns import Found, Truth, to_truth
from evalR.scoring.dota_results import (
    ResultFile,
    ResultRows,
    check_boxes,
    check_names,
    find_images,
    find_results,
    read_result_rows,
)
from utils.errors import Faults, UserError
from utils.records import Annotation

logger = logging.getLogger(__name__)


class Results(NamedTuple):
    """The detections of a folder; None: there is no file of that task."""

    quads: Found | None  # Task1_CLASS.txt
    boxes: Found | None  # Task2_CLASS.txt


class Labels(NamedTuple):
    """What result files are scored on."""

    truth: Truth
    names: list[str]  # of the images, without folder and suffix
    classes: tuple[str, ...]
    annotations: Sequence[Annotation] = ()  # with the paths of the images, or their names


def read_labels(data: DataConfig, split: str, images: str | None) -> Labels:
    """Return the labels of a split: of its images, or of those of a folder or list, which need not be there.

    Raises:
        UserError: they cannot be read, or the names cannot stand in result files.
    """
    if images:
        names = image_names(Path(images))
        annotations, classes = read_named(data.root, names, split, data.classes)
    else:
        annotations, classes = read_split(data.root, split, data.classes)
        names = [Path(annotation.image_path).stem for annotation in annotations]
    check_names(names, classes)
    return Labels(to_truth(annotations), names, classes, annotations)


def split_of_images(root: str, split: str, images: str | None) -> str:
    """Return the split that a folder of images is that of, whatever split was said; else that one."""
    place, base = Path(images or ""), Path(root).expanduser()
    if not images or not place.is_dir() or not base.is_dir():
        return split
    for name in find_splits(base):
        folders = (base / name, *(base / name / images for images, _ in LAYOUTS))
        if name != split and any(folder.is_dir() and folder.samefile(place) for folder in folders):
            logger.info("%s: images of the split %s, and so are the labels", images, name)
            return name
    return split


def read_results(folder: Path, classes: Sequence[str], image_names: Sequence[str]) -> Results:
    """Return the detections of both tasks; a class without a file has none.

    Raises:
        UserError: no result files, a file of no class, an unknown image, a line that is malformed, or the
            same one twice; says file and line.
    """
    known = {name: k for k, name in enumerate(image_names)}
    tasks = {file.task for file in find_results(folder)}
    return Results(*(_read_task(folder, classes, known, task) if task in tasks else None for task in (1, 2)))


def _read_task(folder: Path, classes: Sequence[str], known: dict[str, int], task: int) -> Found:
    files = choose_files(folder, classes, task)
    missing = [label for label in classes if label not in {file.label for file in files}]
    if missing:
        logger.warning("%s: no file for %s: taken as never found", folder, ", ".join(missing))
    parts = [_read_file(file, list(classes).index(file.label), known) for file in files]
    images, labels, scores, shapes = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(images, kind="stable")
    return Found(images[order], labels[order], scores[order], shapes[order])


def _read_file(file: ResultFile, label: int, known: dict[str, int]) -> Found:
    rows = read_result_rows(file.path, file.coordinates)
    images = find_images(rows, known, file.path)
    check_boxes(rows, file)
    _warn_of_scores(rows, file.path)
    numbers = np.column_stack([images, rows.scores, rows.coordinates])
    check_twice([line.tobytes() for line in numbers], rows, file.path)
    shapes = rows.coordinates.reshape(-1, 4, 2) if file.task == 1 else rows.coordinates
    return Found(images, np.full(len(images), label, np.int64), rows.scores, shapes)


def _warn_of_scores(rows: ResultRows, path: Path) -> None:
    """Point out scores outside 0 to 1: AP ranks by any number, but a score may stand in the wrong column."""
    odd = np.flatnonzero((rows.scores < 0) | (rows.scores > 1))
    if len(odd):
        place = f"{path}:{rows.lines[odd[0]]}"
        what = "ranked as they are, without a calibration"
        logger.warning(
            "%s: score %g, expected 0 to 1; %d such are %s", place, rows.scores[odd[0]], len(odd), what
        )


def choose_files(folder: Path, classes: Sequence[str], task: int, hint: str = "") -> list[ResultFile]:
    """Return the files of a task, in the order of the classes.

    Raises:
        UserError: none (the message ends with the hint), two of one class, or one of an unknown class.
    """
    by_label: dict[str, ResultFile] = {}
    for file in [file for file in find_results(folder) if file.task == task]:
        if file.label not in classes:
            names = ", ".join(classes) or "of the labels, which name none (data.classes=A,B does)"
            meant = file.label.replace("_", "-").replace(" ", "-").lower()
            other = f"; the server calls it {meant}" if meant in classes else ""
            if not file.path.name.startswith("Task"):
                other += f"; files are called Task{task}_CLASS.txt"
            raise UserError(f"{file.path}: expected one of the classes {names}{other}")
        if file.label in by_label:
            raise UserError(
                f"{file.path}: expected one file per class, {by_label[file.label].path} is another"
            )
        by_label[file.label] = file
    if not by_label:
        raise UserError(f"{folder}: expected files such as Task{task}_{classes[0]}.txt, found none{hint}")
    return [by_label[label] for label in classes if label in by_label]


def check_twice(keys: Sequence[Hashable], rows: ResultRows, path: Path) -> None:
    """Raise a UserError, with file and line, where two rows have the same key."""
    if len(set(keys)) == len(keys):
        return
    first: dict[Hashable, int] = {}
    for key, line in zip(keys, rows.lines.tolist(), strict=True):
        if key in first:
            raise UserError(f"{path}:{line}: expected each detection once, line {first[key]} is the same")
        first[key] = line


def image_names(place: Path) -> list[str]:
    """Return the names of images without folder and suffix, from a folder or a list.

    Raises:
        UserError: no such place, no image there, a name twice or of several words.
    """
    if place.is_dir():
        inside = [place, *(place / images for images, _ in LAYOUTS)]  # the folder of a split holds images/
        found = ([p.stem for p in folder.iterdir() if is_image(p)] for folder in inside if folder.is_dir())
        names = sorted(next((stems for stems in found if stems), []))
    elif place.is_file():
        names = [_stem(text) for _, text in read_lines(place, Faults(skip=False))]
    else:
        raise UserError(f"{place}: expected a folder of images or a list of their names, found none")
    if not names:
        raise UserError(f"{place}: expected at least one image, found none")
    try:
        check_names(names, ())
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    return names


def _stem(text: str) -> str:
    name = text.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if name.lower().endswith(IMAGE_SUFFIXES) else name
