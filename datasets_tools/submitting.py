"""Submission to the evaluation server of DOTA: result files checked and zipped as it wants them."""

import argparse
import logging
import math
import sys
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from cfg.load import load_config
from dataloadR.loader import usable_cpus
from datasets_tools.jobs import run_jobs
from evalR.scoring.dota_results import (
    ResultFile,
    ResultRows,
    check_boxes,
    check_names,
    find_images,
    read_result_rows,
    result_text,
    round_coordinates,
)
from evalR.scoring.result_sets import check_twice, choose_files, image_names
from utils.counts import counted
from utils.errors import UserError
from utils.files import replacing
from utils.quads.geometry import (
    clockwise_quads,
    hull_quads,
    quad_areas,
    quads_to_hboxes,
    self_crossing,
    signed_areas,
    uncrossed_quads,
)
from utils.tiles import parse_tile

logger = logging.getLogger("submit")
SETTINGS = Path(__file__).parents[1] / "cfg"
PRESETS = ("dota", "dota15", "dota2")  # the settings of these names list 15, 16 and 18 classes
MEGABYTE = 1_000_000
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of the calendar of zip files
DENT = 1e-3  # a quad whose hull is larger by less has three vertices in a line, up to rounding
SHOWN_NAMES = 3


class SubmissionRule(NamedTuple):
    """What the files of a submission are."""

    boxes: bool  # task 2: horizontal boxes
    score: float = -math.inf  # lower ones are left out
    strict: bool = False  # quads that are not clockwise and convex are errors


class ClassFile(NamedTuple):
    """What one class adds to the zip."""

    label: str
    text: str
    seen: set[str]  # images with a detection
    detections: int
    remarks: list[str]  # about vertices, each with the place of the first


def run(arguments: argparse.Namespace) -> None:
    """Check and zip as `datasets_tools.submit` was asked to."""
    target = Path(arguments.out_zip)
    if target.suffix != ".zip":
        raise UserError(f"{target}: expected a name that ends in .zip")
    classes = parse_classes(arguments.classes)
    images = image_names(Path(arguments.images))
    source = 1 if arguments.from_task1 else arguments.task
    hint = "; --from-task1 takes the boxes around quads" if source == 2 else ""
    files = choose_files(Path(arguments.results), classes, source, hint)
    missing = [label for label in classes if label not in {file.label for file in files}]
    if missing:
        logger.warning("%s: no file for %s: the zip gets empty ones", arguments.results, ", ".join(missing))
    rule = SubmissionRule(arguments.task == 2, arguments.score, arguments.strict)
    task = partial(check_file, images=frozenset(images), rule=rule)
    entries = list(run_jobs(task, files, arguments.processes or usable_cpus(), "checking", "file"))
    for remark in [remark for entry in entries for remark in entry.remarks]:
        logger.warning(remark)
    _warn_of_missing(images, set().union(*(entry.seen for entry in entries)))
    texts = {entry.label: entry.text for entry in entries}
    names = {f"Task{arguments.task}_{label}.txt": texts.get(label, "") for label in classes}
    size = write_zip(target, names, arguments.max_megabytes)
    found = sum(entry.detections for entry in entries)
    told = f"{counted(len(classes), 'class')}, {counted(found, 'detection')}"
    sys.stdout.write(f"{told}, {size / MEGABYTE:.2f} MB\n{target}\n")


def parse_classes(word: str) -> tuple[str, ...]:
    """Return the classes of DOTA v1.0, v1.5 or v2.0, or those that the word lists."""
    if word in PRESETS:
        return tuple(load_config(SETTINGS / f"{word}.yaml").data.classes)
    classes = tuple(name.strip() for name in word.split(","))
    check_names((), classes)
    return classes


def check_file(file: ResultFile, images: frozenset[str], rule: SubmissionRule) -> ClassFile:
    """Return the lines of one class as the server reads them.

    Raises:
        UserError: a line that cannot be used, an unknown image, or the same line twice; says file and line.
    """
    rows = read_result_rows(file.path, file.coordinates)
    _check_images(rows, file.path, images)
    check_boxes(rows, file)
    rows = rows.take(rows.scores >= rule.score)
    remarks: list[str] = []
    if file.task == 1:
        quads = torch.from_numpy(rows.coordinates).reshape(len(rows.images), 4, 2)
        remarks = [] if rule.boxes else _look_at_vertices(quads, rows, file.path, rule.strict)
        ordered = quads_to_hboxes(quads) if rule.boxes else clockwise_quads(uncrossed_quads(quads)).flatten(1)
        rows = rows._replace(coordinates=ordered.numpy())
    text = result_text(rows._replace(coordinates=round_coordinates(rows.coordinates)))
    check_twice(text.splitlines(), rows, file.path)
    seen = {rows.names[number] for number in np.unique(rows.images)}
    return ClassFile(file.label, text, seen, len(rows.images), remarks)


def _check_images(rows: ResultRows, path: Path, images: frozenset[str]) -> None:
    try:
        find_images(rows, dict.fromkeys(images, 0), path)
    except UserError as error:
        name = next(name for name in rows.names if name not in images)
        try:
            parse_tile(name)
        except UserError:
            raise error from None
        raise UserError(f"{error}: results of tiles are merged first, by datasets_tools.merge") from None


def _look_at_vertices(quads: torch.Tensor, rows: ResultRows, path: Path, strict: bool) -> list[str]:
    """Return what is to be said about the order of the vertices."""
    crossing = self_crossing(quads)
    area = quad_areas(uncrossed_quads(quads))
    found = {
        "self-crossing, put in order": crossing,
        "counter-clockwise, turned round": (signed_areas(quads) < 0) & ~crossing,
        "not convex, left as they are": quad_areas(hull_quads(quads)) > (1 + DENT) * area,
        "without area, left as they are": area == 0,
    }
    remarks = []
    for what, which in found.items():
        lines = rows.lines[which.numpy()]
        if len(lines) and strict:
            got = what.partition(",")[0]
            raise UserError(
                f"{path}:{lines[0]}: expected a convex quad, clockwise on the screen, got one {got}"
            )
        if len(lines):
            remarks.append(
                f"{path}:{lines[0]}: quads {what}: {len(lines)} of {len(quads)}, this is the first"
            )
    return remarks


def _warn_of_missing(images: Sequence[str], seen: set[str]) -> None:
    missing = [name for name in images if name not in seen]
    if missing:
        some = ", ".join(missing[:SHOWN_NAMES])
        logger.warning("%d of %d images have no detection: %s ..", len(missing), len(images), some)


def write_zip(target: Path, texts: dict[str, str], max_megabytes: float) -> int:
    """Write the files to the root of a zip and return its size in bytes; equal texts give equal bytes.

    Raises:
        UserError: the zip is larger than allowed; then there is none.
    """
    with replacing(target) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for name, text in texts.items():
                info = zipfile.ZipInfo(name, FIRST_DAY)
                info.compress_type = zipfile.ZIP_DEFLATED
                info.create_system, info.external_attr = 3, 0o644 << 16  # a file of Unix, on any system
                archive.writestr(info, text)
        size = temporary.stat().st_size
        if size > max_megabytes * MEGABYTE:
            raise UserError(
                f"{target}: expected at most {max_megabytes:.10g} MB (--max-megabytes), got "
                f"{size / MEGABYTE:.2f}; --score leaves out what hardly counts"
            )
    return size
