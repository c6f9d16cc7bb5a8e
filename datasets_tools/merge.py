"""Merge the result files of tiles into those of the whole images.

    python -m datasets_tools.merge runs/dota/tiles runs/dota/Task1
    python -m datasets_tools.merge TILES_DIR OUT_DIR --iou 0.3 --score 0.05 --max-per-image 2000
    python -m datasets_tools.merge TILES_DIR OUT_DIR --method fuse

TILES_DIR holds one file per class: Task1_CLASS.txt or CLASS.txt with lines `tile score x1 y1 .. x4 y4`, or
Task2_CLASS.txt with lines `tile score x_min y_min x_max y_max`.  Tiles are called IMAGE__RATE__X___Y, as
`datasets_tools.split` and DOTA_devkit do: offset and rate are undone.  Detections of the same object by
several tiles become one, class by class.  OUT_DIR gets files of the same names with lines `image score ..`,
images by name, the highest score first, coordinates with up to 4 decimals.  Each file appears whole; run it
again after an interruption.
"""

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
from evalR.dota_results import (
    ResultFile,
    ResultRows,
    check_boxes,
    find_results,
    read_rows,
    rounded,
    write_rows,
)
from utils.cli import HelpFormatter, finite_number, parse_options, positive_int, run_script
from utils.counts import counted
from utils.errors import UserError
from utils.quad_fusion import fuse_quads
from utils.quad_nms import batched_quad_groups
from utils.quads import hboxes_to_quads, quads_to_hboxes
from utils.tiles import Tile, parse_tile

logger = logging.getLogger("merge")
IMAGES_AT_ONCE = 50  # to be fused; many images lie on one another and slow the search


class Rule(NamedTuple):
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


def main(words: Sequence[str]) -> None:
    """Merge as the command line says."""
    arguments = parse_options(_parser(), words)
    source, target = Path(arguments.tiles_dir), Path(arguments.out_dir)
    if source.resolve() == target.resolve():
        raise UserError(f"{target}: expected another folder than that of the tiles")
    rule = Rule(arguments.iou, arguments.score, arguments.method == "fuse", arguments.whole_images)
    merged = merge_folder(source, rule, arguments.processes, arguments.max_per_image)
    for one in merged:
        write_rows(target / one.file.path.name, one.rows)
    _warn_of_others(target, {one.file.path.name for one in merged})
    images = {name for one in merged for name in one.rows.names}
    before, after = sum(one.before for one in merged), sum(len(one.rows.scores) for one in merged)
    sys.stdout.write(
        f"{counted(len(merged), 'file')}, {counted(before, 'detection')} of tiles: "
        f"{after} of {counted(len(images), 'image')}\n{target}\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m datasets_tools.merge", description=__doc__, formatter_class=HelpFormatter
    )
    parser.add_argument("tiles_dir", help="folder of the tiles' result files")
    parser.add_argument(
        "out_dir", help="folder of the images' result files; files of the same name are replaced"
    )
    parser.add_argument("--iou", type=_share, default=0.3, help="merge above this IoU (default: %(default)s)")
    parser.add_argument(
        "--score", type=finite_number, default=-math.inf, help="leave out lower scores (default: none)"
    )
    parser.add_argument(
        "--method",
        choices=("nms", "fuse"),
        default="nms",
        help="nms: the best of several stays as it is; fuse: their mean, weighted by the scores, with the "
        "score of the best (default: %(default)s)",
    )
    parser.add_argument(
        "--max-per-image",
        type=positive_int,
        help="keep the best so many of each image, over all classes (default: all)",
    )
    parser.add_argument(
        "--whole-images",
        action="store_true",
        help="a name that is not of the form IMAGE__RATE__X___Y is that of an image that was not cut "
        "(default: an error)",
    )
    parser.add_argument(
        "--processes", type=positive_int, default=usable_cpus(), help="(default: %(default)s)"
    )
    return parser


def _share(text: str) -> float:
    value = finite_number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected 0 to 1, got {text}")
    return value


def merge_folder(source: Path, rule: Rule, processes: int = 1, limit: int | None = None) -> list[Merged]:
    """Return what the result files of a folder of tiles come to, by name.

    Args:
        limit: keep the best so many of each image, over all classes of a task.

    Raises:
        UserError: no result files, or a line that cannot be used; says file and line.
    """
    files = find_results(source)
    merged = list(run_jobs(partial(merge_file, rule=rule), files, processes, "merging", "file"))
    return merged if limit is None else _best_per_image(merged, limit)


def merge_file(file: ResultFile, rule: Rule) -> Merged:
    """Return the detections of one class, those of all tiles of an image merged.

    Raises:
        UserError: a line that cannot be used; says file and line.
    """
    rows = read_rows(file.path, file.coordinates)
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


def _suppress(rows: ResultRows, file: ResultFile, rule: Rule) -> ResultRows:
    coordinates = torch.from_numpy(rows.coordinates)
    quads = coordinates.reshape(-1, 4, 2) if file.task == 1 else hboxes_to_quads(coordinates)
    scores, images = torch.from_numpy(rows.scores.copy()), torch.from_numpy(rows.images)
    if rule.fuse:
        return _fuse(rows, file, quads, rule.iou)
    kept = batched_quad_groups(quads, scores, None, images, rule.iou).kept.numpy()
    kept_rows = rows.take(kept)
    return kept_rows._replace(coordinates=rounded(kept_rows.coordinates))


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
    found = found._replace(coordinates=rounded(torch.cat(shapes).flatten(1).numpy()))
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


if __name__ == "__main__":
    sys.exit(run_script(main))
