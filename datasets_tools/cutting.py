"""Tiling of large images: jobs for several processes, and the record of how it was done."""

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from cfg.section import RATES
from dataloadR.loader import usable_cpus
from datasets_tools.jobs import run_jobs
from datasets_tools.split_jobs import IMAGES, IN_NONE, KEPT, ONLY_CUT, Done, Options, TilingJob, run_job
from datasets_tools.split_sources import LargeImage, find_large_images
from utils.errors import Faults, UserError
from utils.files import write_json, write_text
from utils.rasters import RasterInfo, raster_info
from utils.tiles import Grid, Tile, tile_windows

RECORD = "split.json"  # in DST: how it was cut
ROWS_AT_ONCE = 8  # rows of tiles of one job, where several processes share an image


def run(given: argparse.Namespace) -> None:
    """Cut as `datasets_tools.split` was asked to, and print what came out."""
    given.processes = usable_cpus() if given.processes is None else given.processes
    _check_numbers(given)
    for name in ("rasterio", "PIL"):  # our one line says it
        logging.getLogger(name).setLevel(logging.CRITICAL)
    options = Options(
        out=given.dst.expanduser(),
        grid=Grid(given.size, given.overlap, tuple(given.rates)),
        clip=given.cut == "clip",
        empty=given.empty,
        seed=given.seed,
        suffix=f".{given.format}",
        quality=given.quality,
        skip_bad=given.on_error == "skip",
    )
    root = given.src.expanduser()
    _check_places(root, options.out)
    faults = Faults(options.skip_bad)
    sources = find_large_images(root, given.splits, given.classes, faults)
    record = _record(given, root)
    _begin(options.out, record)
    jobs = _plan(sources, options.grid, given.processes, faults)
    results = list(run_jobs(partial(run_job, options=options), jobs, given.processes, "split", "part"))
    finished = _gather(jobs, results, faults)
    _write_name_files(options.out, sources, finished)
    faults.report(str(root))
    if not finished:
        raise UserError(f"{root}: expected at least one readable image, found none")
    summary = _summarise(finished)
    _write_record(options.out, {**record, "finished": True, "summary": summary})
    sys.stdout.write(_to_text(summary) + f"tiles: {options.out}\n")


def _check_numbers(given: argparse.Namespace) -> None:
    """Raise what is wrong with the options, by name."""
    least, most = RATES
    ranges: list[tuple[str, float, float, float]] = [
        ("--size", given.size, 1, 32767),
        ("--overlap", given.overlap, 0, given.size - 1),
        ("--empty", given.empty, 0, 1),
        ("--quality", given.quality, 1, 100),
        ("--processes", given.processes, 1, 4096),
        ("--seed", given.seed, 0, 2**63),
        *(("--rates", rate, least, most) for rate in given.rates),
    ]
    for option, value, low, high in ranges:
        if not low <= value <= high:
            raise UserError(f"{option}: expected {low:g} to {high:g}, got {value:g}")
    names = [Tile("", rate, 0, 0).name for rate in given.rates]
    if len(set(names)) < len(names):
        raise UserError(f"--rates: expected each once, got {' '.join(map(str, given.rates))}")


def _check_places(root: Path, out: Path) -> None:
    """Refuse an output that would be taken for input, or mix with what something else wrote."""
    if root.is_dir() and (out.resolve() == root.resolve() or root.resolve() in out.resolve().parents):
        raise UserError(f"{out}: expected a folder outside {root}, whose images are cut")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: expected a folder for the tiles, found a file")
    if out.is_dir() and any(out.iterdir()) and not (out / RECORD).is_file():
        raise UserError(f"{out}: expected a new or empty folder, or one with the {RECORD} of an earlier run")


def _record(given: argparse.Namespace, root: Path) -> dict[str, Any]:
    """Return what decides how the tiles look, as it is kept beside them."""
    names = ["size", "overlap", "rates", "splits", "classes", "cut", "empty", "seed", "format", "quality"]
    return {"source": str(root.resolve()), **{name: getattr(given, name) for name in names}}


def _begin(out: Path, record: dict[str, Any]) -> None:
    """Note the options in the folder, or compare them with those of the run that began there.

    Raises:
        UserError: that run had others; its tiles and ours would be mixed.
    """
    path = out / RECORD
    if path.is_file():
        before = _read_record(path)
        changed = [key for key, value in record.items() if before.get(key) != value]
        if changed:
            was = ", ".join(f"{key} {before.get(key)!r} and not {record[key]!r}" for key in changed)
            raise UserError(f"{path}: this folder was cut with {was}: choose another, or delete it")
        for unfinished in [*out.glob(f"**/{IMAGES}/.*.tmp.*"), *out.glob("**/.*.tmp.txt")]:
            unfinished.unlink(missing_ok=True)
    _write_record(out, {**record, "finished": False})


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected the options of an earlier run in JSON: {error}") from None
    if not isinstance(record, dict):
        raise UserError(f"{path}: expected the options of an earlier run, got {type(record).__name__}")
    return record


def _write_record(out: Path, record: dict[str, Any]) -> None:
    write_json(out / RECORD, record, indent=2)


def _plan(sources: Sequence[LargeImage], grid: Grid, processes: int, faults: Faults) -> list[TilingJob]:
    """Return the jobs, largest first, so that no process is left with a large one at the end."""
    jobs = []
    for source in sources:
        info = faults.attempt(partial(raster_info, source.image))
        if info is not None:
            jobs += _jobs_of(source, info, grid, processes)
    return sorted(jobs, key=lambda job: -len(job.tiles))


def _jobs_of(source: LargeImage, info: RasterInfo, grid: Grid, processes: int) -> list[TilingJob]:
    """Return one job for an image, or several rows of tiles each where it is read in windows."""
    tiles = list(tile_windows(source.image.stem, info.size, grid))
    if not (info.windowed and info.seekable and processes > 1):
        return [TilingJob(source, info.size, tiles)]
    rows = [list(group) for _, group in groupby(tiles, key=lambda tile: (tile[0].rate, tile[0].y))]
    step = min(ROWS_AT_ONCE, -(-len(rows) // (4 * processes)))
    parts = [rows[k : k + step] for k in range(0, len(rows), step)]
    return [TilingJob(source, info.size, [tile for row in part for tile in row]) for part in parts]


def _gather(jobs: Sequence[TilingJob], results: Sequence[Done], faults: Faults) -> dict[Path, list[Done]]:
    """Return the results of each image that could be read; the others go to the faults, once each."""
    finished: dict[Path, list[Done]] = {}
    bad: dict[Path, str] = {}
    for job, done in zip(jobs, results, strict=True):
        finished.setdefault(job.source.image, []).append(done)
        if done.fault:
            bad[job.source.image] = done.fault
    for image, fault in bad.items():
        faults.add(UserError(fault))
        del finished[image]
    return finished


def _write_name_files(out: Path, sources: Iterable[LargeImage], finished: dict[Path, list[Done]]) -> None:
    """Write ImageSets/SPLIT.txt where the source has such files; last, so that no half of a split is read."""
    lists: dict[str, list[str]] = {}
    for source in sources:
        names = sorted(name for done in finished.get(source.image, []) for name in done.names)
        for split in source.splits:
            lists.setdefault(split, []).extend(names)
    for split, tiles in lists.items():
        write_text(out / "ImageSets" / f"{split}.txt", "".join(f"{name}\n" for name in tiles))


def _summarise(finished: dict[Path, list[Done]]) -> dict[str, int]:
    parts = [done for results in finished.values() for done in results]
    best = [np.maximum.reduce([done.best for done in results]) for results in finished.values()]
    objects = np.concatenate([np.zeros(0, np.int8), *best])
    return {
        "images": len(finished),
        "tiles": sum(len(done.names) for done in parts),
        "empty tiles": sum(done.empty for done in parts),
        "empty tiles left out": sum(done.left_out for done in parts),
        "objects": len(objects),
        "objects kept": int((objects == KEPT).sum()),
        "objects cut in every tile": int((objects == ONLY_CUT).sum()),
        "objects in no tile": int((objects == IN_NONE).sum()),
        "labels": sum(done.labels for done in parts),
        "labels with difficult 2": sum(done.fragments for done in parts),
    }


def _to_text(summary: dict[str, int]) -> str:
    width = max(map(len, summary))
    return "".join(f"{name:<{width}}  {count}\n" for name, count in summary.items())
