"""Tiled detection in images and rasters of any size.

Three things happen at the same time: a thread reads and scales the next tiles, another has the network look
at those before, and the caller's own turns what it saw into detections.  Memory holds a row of tiles, a few
batches of them and what was found, however large the scene is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from cfg.schema import SIZE_STEP
from evalR.inference.predictor import Look, Predictor, evaluating
from evalR.inference.scenes.journal import Journal
from evalR.inference.scenes.merging import merge_found
from evalR.inference.scenes.tiling import TileBatch, TileDetections, found_in_tile, join_found, tile_batches
from evalR.inference.slicing import scene_grid
from utils.arrays import U8
from utils.bands import Bands
from utils.distributed import gather, is_main, main_first, rank, world_size
from utils.images import FILL, Size
from utils.progress import counting, counting_for_all
from utils.rasters import Raster
from utils.records import Detections, Frame
from utils.threads import read_ahead
from utils.tiles import scaled_size

AS_IT_IS = np.eye(2, 3, dtype=np.float32)  # tiles keep their pixels
BATCHES_AHEAD = 2  # that are read while the network works


class Tiles(NamedTuple):
    """Tiles on their way through the network."""

    number: int  # of the batch in the scene
    shown: TileBatch  # those that show anything
    total: int  # with those that do not
    images: Tensor  # (B, 3, H, W) uint8


def find_in_scene(
    predictor: Predictor,
    raster: Raster,
    journal: Journal | None = None,
    shared: bool = False,
    count: Callable[[int], object] | None = None,
) -> list[Detections]:
    """Return the objects of a scene, float64 quads in its pixels, highest score first; for each setting.

    Tiles are those of `config.predict`; what a tile's detections are, in what views it is shown and how they
    are merged says `config.eval`.

    Args:
        predictor: its model may be in any mode.
        raster: open; it is read by another thread.
        journal: of one setting; where finished batches are kept, and taken from; None: nowhere.
        shared: every process of a launch does its share of the tiles, and all return the same.
        count: takes the number of tiles that are done, all in all those of the scene, those of the journal at
            once; None: they are shown by a bar.

    Raises:
        UserError: the overlap is as large as a tile, or the raster cannot be read.
    """
    config = predictor.config
    batches = tile_batches(raster.size, scene_grid(config), config.predict.batch_size)
    done = _done(journal, shared)
    missing = [number for number in range(len(batches)) if number not in done]
    own = np.array_split(missing, world_size())[rank()].tolist() if shared else missing
    silent = replace(predictor, watch=None)  # its laps are of one thread
    if count:
        count(sum(len(batches[number]) for number in done))
        tiles = (sum(len(batches[number]) for number in numbers) for numbers in (own, missing))
        count = counting_for_all(count, *tiles)
    found = _find(silent, raster, [(number, batches[number]) for number in own], journal, count)
    predictor.lap("network")
    for part in gather(found) if shared else [found]:
        done |= part
    rows = [done[number] for number in sorted(done)]
    merged = [
        merge_found(join_found([row[k] for row in rows]), setting.merge, setting.merge_iou)
        for k, setting in enumerate(predictor.settings)
    ]
    predictor.lap("postprocessing")
    return merged


def _done(journal: Journal | None, shared: bool) -> dict[int, list[TileDetections]]:
    """Return the finished batches; of several processes none writes before all have read."""
    if journal is None:
        return {}
    with main_first() if shared else nullcontext():  # it sets the journals of other settings aside
        done = journal.read()
    if shared:
        gather(None)
    return {number: [found] for number, found in done.items()}


def _find(
    predictor: Predictor,
    raster: Raster,
    batches: Sequence[tuple[int, TileBatch]],
    journal: Journal | None,
    into: Callable[[int], object] | None,
) -> dict[int, list[TileDetections]]:
    """Return what each batch shows, and put it into the journal."""
    found: dict[int, list[TileDetections]] = {}
    read = read_ahead(_read(raster, batches), BATCHES_AHEAD)
    seen = read_ahead(_look(predictor, read))
    total = sum(len(tiles) for _, tiles in batches)
    hidden = predictor.config.predict.quiet or not is_main()
    progress = nullcontext(into) if into else counting("tiles", total, "tile", hidden)
    with closing(read), closing(seen), progress as count, torch.inference_mode():
        for tiles, looks in seen:
            found[tiles.number] = _to_found(tiles, looks, raster.size, predictor)
            if journal:
                (own,) = found[tiles.number]
                journal.append(tiles.number, own)
            count(tiles.total)
    return found


def _read(raster: Raster, batches: Iterable[tuple[int, TileBatch]]) -> Iterator[Tiles]:
    """Yield the tiles of a scene, with the pixels of those that show anything."""
    rate, bands = 0.0, None
    for number, batch in batches:
        if bands is None or batch[0][0].rate != rate:
            rate = batch[0][0].rate
            bands = Bands(raster, rate)
        pictures = [bands.tile(window) for _, window in batch]
        shown = [k for k, picture in enumerate(pictures) if not _is_blank(picture)]
        images = _stack([pictures[k] for k in shown])
        yield Tiles(number, [batch[k] for k in shown], len(batch), images)


def _is_blank(picture: U8) -> bool:
    """Say whether a tile is of one colour: nodata, or nothing that any network could tell."""
    first = picture[0, 0]
    return bool((picture[-1, -1] == first).all() and (picture == first).all())


def _stack(pictures: Sequence[U8]) -> Tensor:
    """Return tiles of one size as a batch, grey at the right and below up to the sides that networks take."""
    height, width = pictures[0].shape[:2] if pictures else (0, 0)
    sides = (-(-length // SIZE_STEP) * SIZE_STEP for length in (height, width))
    images = np.full((len(pictures), *sides, 3), FILL, np.uint8)
    for image, picture in zip(images, pictures, strict=True):
        image[:height, :width] = picture
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _look(predictor: Predictor, batches: Iterable[Tiles]) -> Iterator[tuple[Tiles, list[Look]]]:
    """Yield what the network says of each batch in every view; their scales are rates of the scene."""
    _, views = predictor.scales[0]
    with evaluating(predictor.model):
        for tiles in batches:
            height, width = tiles.images.shape[-2:]
            frames = [Frame(AS_IT_IS, (height, width), (height, width))] * len(tiles.shown)
            yield tiles, predictor.look(tiles.images, frames, views) if tiles.shown else []


def _to_found(tiles: Tiles, looks: Sequence[Look], scene: Size, predictor: Predictor) -> list[TileDetections]:
    """Return what was seen in a batch, in the pixels of the scene, for each setting."""
    if not tiles.shown:
        return [join_found([]) for _ in predictor.settings]
    scaled = scaled_size(scene, tiles.shown[0][0].rate)
    by_tile = predictor.detect(looks)
    edge = predictor.model.method.strides[0] / 2  # half a cell of the finest level
    return [
        join_found(
            [
                found_in_tile(own[k], tile, window, scaled, edge)
                for own, (tile, window) in zip(by_tile, tiles.shown, strict=True)
            ]
        )
        for k in range(len(predictor.settings))
    ]
