"""Tile jobs: one image, or some rows of its tiles, cut by one process of `split`."""

import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from datasets_tools.split_sources import LargeImage
from datasets_tools.tile_objects import CUT, TileObjects, objects_in_tile
from utils.arrays import F64, U8
from utils.bands import Bands
from utils.drawing import save_image
from utils.errors import UserError
from utils.files import write_text
from utils.images import Size
from utils.rasters import Raster, open_raster
from utils.tiles import Grid, Tile, Window

IMAGES, LABELS = "images", "labelTxt"  # folders of a split
IN_NONE, ONLY_CUT, KEPT = 0, 1, 2  # what the tiles show of an object


class Options(NamedTuple):
    """How images are cut, and where the tiles go."""

    out: Path
    grid: Grid
    clip: bool = False  # reduce what the border cuts to the visible part
    empty: float = 1.0  # share of the tiles without objects that is kept, in labelled splits
    seed: int = 0  # of their choice
    suffix: str = ".png"
    quality: int = 95  # of JPEG
    skip_bad: bool = False  # name a bad image in the result instead of raising


class TilingJob(NamedTuple):
    """Tiles of one image, row by row."""

    source: LargeImage
    size: Size  # height, width of the image
    tiles: list[tuple[Tile, Window]]


class Done(NamedTuple):
    """What a job has cut."""

    names: list[str]  # of the tiles that exist now
    labels: int  # objects in them
    fragments: int  # of these cut, difficult 2
    empty: int  # tiles without objects
    left_out: int  # tiles without objects that were not kept
    best: NDArray[np.int8]  # (N,) of each object: KEPT in some tile, ONLY_CUT or IN_NONE
    fault: str = ""  # why the image could not be read


class CutTile(NamedTuple):
    """One tile as a file will have it."""

    tile: Tile
    window: Window
    objects: TileObjects


def run_job(job: TilingJob, options: Options) -> Done:
    """Write the tiles of a job that are not there yet, and all their labels.

    An image appears after its labels, so that a tile that exists is complete.

    Raises:
        UserError: the image cannot be read, unless bad ones are skipped.
    """
    tiles = _cut_objects(job.tiles, job.source.quads, job.source.difficult, options.clip)
    kept = [tile for tile in tiles if len(tile.objects.rows) or _keeps_empty(tile.tile, job.source, options)]
    fault = ""
    try:
        _write(job, kept, options)
    except UserError as error:
        if not options.skip_bad:
            raise
        fault, kept = str(error), []
    return Done(
        names=[tile.tile.name for tile in kept],
        labels=sum(len(tile.objects.rows) for tile in kept),
        fragments=sum(int((tile.objects.difficult == CUT).sum()) for tile in kept),
        empty=sum(not len(tile.objects.rows) for tile in kept),
        left_out=0 if fault else len(tiles) - len(kept),
        best=_best(kept, len(job.source.quads)),
        fault=fault,
    )


def _cut_objects(
    tiles: Sequence[tuple[Tile, Window]], quads: F64, difficult: NDArray[np.int8], clip: bool
) -> list[CutTile]:
    return [
        CutTile(tile, window, objects_in_tile(quads * tile.rate, difficult, window, clip))
        for tile, window in tiles
    ]


def _keeps_empty(tile: Tile, source: LargeImage, options: Options) -> bool:
    """Draw by the tile's name, so that order, processes and interruptions change nothing."""
    if not source.thin or options.empty >= 1:
        return True
    key = zlib.crc32(f"{source.folder}/{tile.name}".encode())
    return bool(np.random.default_rng([options.seed, key]).random() < options.empty)


def _best(tiles: Sequence[CutTile], count: int) -> NDArray[np.int8]:
    best = np.full(count, IN_NONE, np.int8)
    for tile in tiles:
        shown = np.where(tile.objects.is_kept, KEPT, ONLY_CUT)
        best[tile.objects.rows] = np.maximum(best[tile.objects.rows], shown)
    return best


def _write(job: TilingJob, tiles: Sequence[CutTile], options: Options) -> None:
    folder = options.out / job.source.folder
    missing = []
    for tile in tiles:
        if job.source.is_labelled:
            _write_labels(folder / LABELS / f"{tile.tile.name}.txt", tile, job.source)
        if not _is_there(_image_path(folder, tile.tile, options)):
            missing.append(tile)
    if not missing:
        return
    with open_raster(job.source.image) as raster:
        if raster.size != job.size:
            raise UserError(f"{job.source.image}: expected {job.size} px as before, got {raster.size}")
        for tile, pixels in _pixels(raster, missing):
            path = _image_path(folder, tile.tile, options)
            save_image(path, pixels, options.quality, flush=False)


def _image_path(folder: Path, tile: Tile, options: Options) -> Path:
    return folder / IMAGES / f"{tile.name}{options.suffix}"


def _is_there(path: Path) -> bool:
    """Say whether a file was written; after a power cut an unfinished one may be empty."""
    return path.exists() and path.stat().st_size > 0


def _pixels(raster: Raster, tiles: Sequence[CutTile]) -> Iterator[tuple[CutTile, U8]]:
    for rate, group in groupby(tiles, key=lambda tile: tile.tile.rate):
        bands = Bands(raster, rate)
        for tile in group:
            yield tile, bands.tile(tile.window)


def _write_labels(path: Path, tile: CutTile, source: LargeImage) -> None:
    """Write a label file in DOTA's format, or index first where the objects have no names."""
    lines = [_header(line, tile.tile.rate) for line in source.headers]
    found = tile.objects
    for row, quad, flag in zip(found.rows, found.quads.tolist(), found.difficult.tolist(), strict=True):
        corners = " ".join(f"{value:.4f}" for vertex in quad for value in vertex)
        name = source.classes[row]
        lines.append(f"{corners} {name} {flag}" if isinstance(name, str) else f"{name} {corners} {flag}")
    text = "".join(f"{line}\n" for line in lines)
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    write_text(path, text, flush=False)


def _header(line: str, rate: float) -> str:
    """Return a header line for a scaled image: gsd is the length of a pixel on the ground."""
    key, _, value = line.partition(":")
    if key.lower() != "gsd" or rate == 1:
        return line
    try:
        return f"{key}:{float(value) / rate:.12g}"
    except ValueError:  # null, where it is not known
        return line
