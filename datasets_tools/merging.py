"""Merging of the detections of tiles into those of the whole images, result file by result file."""

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from dataloadR.loader import usable_cpus
from datasets_tools.jobs import run_jobs
from evalR.scoring.dota_results import (
    ResultFile,
    ResultRows,
    check_boxes,
    find_results,
    read_result_rows,
    round_coordinates,
    write_rows,
)
from utils.counts import counted
from utils.errors import UserError
from utils.quads.fusion import fuse_quads
from utils.quads.geometry import hboxes_to_quads, quads_to_hboxes
from utils.quads.nms import batched_quad_groups
from utils.tiles import Tile, parse_tile

logger = logging.getLogger("merge")
IMAGES_AT_ONCE = 50  # to be fused; many images lie on one another and slow the search


class MergeRule(NamedTuple):
    """How detections of several tiles become one."""

    iou: float = 0.3  # above it two detections of a class are of one object
    score: float = -math.inf  # lower ones are left out
    fuse: bool = False  # their mean, weighted by the scores, instead of the best
    whole_images: bool = False  # a name that is no tile's is that of an image that was not cut


class Merged(NamedTuple):
    """The result file of one class."""

    file: ResultFile
    rows: ResultRows  # of the images, by name, highest score first
    before: int  # detections of the tiles


def run(arguments: argparse.Namespace) -> None:
    """Merge as `datasets_tools.merge` was asked to."""
    source, target = Path(arguments.tiles_dir), Path(arguments.out_dir)
    if source.resolve() == target.resolve():
        raise UserError(f"{target}: expected another folder than that of the tiles")
    rule = MergeRule(arguments.iou, arguments.score, arguments.method == "fuse", arguments.whole_images)
    merged = merge_folder(source, rule, arguments.processes or usable_cpus(), arguments.max_per_image)
    for one in merged:
        write_rows(target / one.file.path.name, one.rows)
    _warn_of_others(target, {one.file.path.name for one in merged})
    images = {name for one in merged for name in one.rows.names}
    before, after = sum(one.before for one in merged), sum(len(one.rows.scores) for one in merged)
    sys.stdout.write(
        f"{counted(len(merged), 'file')}, {counted(before, 'detection')} of tiles: "
        f"{after} of {counted(len(images), 'image')}\n{target}\n"
    )


def merge_folder(source: Path, rule: MergeRule, processes: int = 1, limit: int | None = None) -> list[Merged]:
    """Return what the result files of a folder of tiles come to, by name.

    Args:
        limit: keep the best so many of each image, over all classes of a task.

    Raises:
        UserError: no result files, or a line that cannot be used; says file and line.
    """
    files = find_results(source)
    merged = list(run_jobs(partial(merge_file, rule=rule), files, processes, "merging", "file"))
    return merged if limit is None else _best_per_image(merged, limit)


def merge_file(file: ResultFile, rule: MergeRule) -> Merged:
    """Return the detections of one class, those of all tiles of an image merged.

    Raises:
        UserError: a line that cannot be used; says file and line.
    """
    rows = read_result_rows(file.path, file.coordinates)
    whole = _to_images(rows, file.path, rule.whole_images)
    check_boxes(rows, file)
    return Merged(file, _suppress(whole.take(whole.scores >= rule.score), file, rule), len(rows.scores))


def _to_images(rows: ResultRows, path: Path, whole_images: bool) -> ResultRows:
    """Return the rows in pixels of the images, these by name."""
    tiles = [_tile(name, rows, number, path, whole_images) for number, name in enumerate(rows.names)]
    names = sorted({tile.image for tile in tiles})
    place = {name: number for number, name in enumerate(names)}
    images = np.array([place[tile.image] for tile in tiles], np.int64)
    offsets = np.array([(tile.x, tile.y) for tile in tiles], np.float64).reshape(-1, 2)[rows.images]
    rates = np.array([tile.rate for tile in tiles], np.float64)[rows.images]
    points = rows.coordinates.reshape(len(rows.images), rows.coordinates.shape[1] // 2, 2)
    coordinates = ((points + offsets[:, None]) / rates[:, None, None]).reshape(rows.coordinates.shape)
    return rows._replace(names=names, images=images[rows.images], coordinates=coordinates)


def _tile(name: str, rows: ResultRows, number: int, path: Path, whole_images: bool) -> Tile:
    try:
        return parse_tile(name)
    except UserError as error:
        if whole_images:
            return Tile(name, 1.0, 0, 0)
        line = rows.lines[np.argmax(rows.images == number)]
        hint = "--whole-images takes it for an image that was not cut"
        raise UserError(f"{path}:{line}: {error}; {hint}") from None


def _suppress(rows: ResultRows, file: ResultFile, rule: MergeRule) -> ResultRows:
    coordinates = torch.from_numpy(rows.coordinates)
    quads = coordinates.reshape(-1, 4, 2) if file.task == 1 else hboxes_to_quads(coordinates)
    scores, images = torch.from_numpy(rows.scores.copy()), torch.from_numpy(rows.images)
    if rule.fuse:
        return _fuse(rows, file, quads, rule.iou)
    kept = batched_quad_groups(quads, scores, None, images, rule.iou).kept.numpy()
    kept_rows = rows.take(kept)
    return kept_rows._replace(coordinates=round_coordinates(kept_rows.coordinates))


def _fuse(rows: ResultRows, file: ResultFile, quads: torch.Tensor, iou: float) -> ResultRows:
    negative = np.flatnonzero(rows.scores < 0)
    if len(negative):
        row = negative[0]
        raise UserError(
            f"{file.path}:{rows.lines[row]}: expected a score of 0 or above for --method fuse, "
            f"got {rows.scores[row]:.10g}"
        )
    scores, images = torch.from_numpy(rows.scores.copy()), torch.from_numpy(rows.images)
    order = np.argsort(rows.images, kind="stable")
    bounds = np.searchsorted(rows.images[order], np.arange(IMAGES_AT_ONCE, len(rows.names), IMAGES_AT_ONCE))
    leaders, shapes = [], []
    for few in map(torch.from_numpy, np.split(order, bounds)):
        fused = fuse_quads(quads[few], scores[few], images[few], iou)  # of one class: images take their place
        leaders.append(few[fused.leaders])
        shapes.append(fused.quads if file.task == 1 else quads_to_hboxes(fused.quads))
    found = rows.take(torch.cat(leaders).numpy())
    found = found._replace(coordinates=round_coordinates(torch.cat(shapes).flatten(1).numpy()))
    return found.take(np.argsort(found.images, kind="stable"))


def _best_per_image(merged: Sequence[Merged], limit: int) -> list[Merged]:
    """Return the files with the best `limit` detections of each image, over all files of a task."""
    kept = [np.ones(len(one.rows.scores), bool) for one in merged]
    for task in {one.file.task for one in merged}:
        own = [number for number, one in enumerate(merged) if one.file.task == task]
        names = {name for number in own for name in merged[number].rows.names}
        place = {name: number for number, name in enumerate(sorted(names))}
        images = [
            np.array([place[n] for n in merged[k].rows.names], np.int64)[merged[k].rows.images] for k in own
        ]
        keep = _best(np.concatenate(images), np.concatenate([merged[k].rows.scores for k in own]), limit)
        bounds = np.cumsum([len(part) for part in images])[:-1]
        for number, part in zip(own, np.split(keep, bounds), strict=True):
            kept[number] = part
    return [one._replace(rows=one.rows.take(keep)) for one, keep in zip(merged, kept, strict=True)]


def _best(images: np.ndarray, scores: np.ndarray, limit: int) -> np.ndarray:
    """Return which rows are among the best `limit` of their image, (N,) bool; equal scores by row."""
    order = np.lexsort((-scores, images))
    ranked = images[order]
    first = np.searchsorted(ranked, ranked)  # where the image of each begins
    keep = np.zeros(len(images), bool)
    keep[order] = np.arange(len(order)) - first < limit
    return keep


def _warn_of_others(folder: Path, written: set[str]) -> None:
    others = sorted(path.name for path in folder.glob("*.txt") if path.name not in written)
    if others:
        logger.warning(
            "%s: %s and other files, %d in all, are of another run", folder, others[0], len(others)
        )
