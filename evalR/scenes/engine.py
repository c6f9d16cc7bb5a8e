"""Objects in images and rasters of any size, found tile by tile.

Three things happen at the same time: a thread reads and scales the next tiles, another has the network look
at those before, and the caller's own turns what it saw into detections.  Memory holds a row of tiles, a few
batches of them and what was found, however large the scene is.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cfg.schema import SIZE_STEP, Config, EvalConfig
from evalR.inference import evaluating
from evalR.predictor import Look, Predictor
from evalR.scenes.journal import Journal
from evalR.scenes.merging import merge_found
from evalR.scenes.tiling import Batch, Found, found_in_tile, join_found, scene_grid, tile_batches
from utils.bands import Bands
from utils.distributed import gather, is_main, main_first, rank, world_size
from utils.images import FILL, U8, Size, warp_image
from utils.rasters import Raster
from utils.records import Detections, Frame
from utils.threads import read_ahead
from utils.tiles import scaled_size

AS_IT_IS = np.eye(2, 3, dtype=np.float32)  # tiles keep their pixels
BATCHES_AHEAD = 2  # that are read while the network works


class Tiles(NamedTuple):
    """Tiles on their way through the network."""

    number: int  # of the batch in the scene
    shown: Batch  # those that show anything
    total: int  # with those that do not
    images: Tensor  # (B, 3, H, W) uint8


def find_in_scene(
    model: nn.Module,
    raster: Raster,
    config: Config,
    device: torch.device,
    journal: Journal | None = None,
    shared: bool = False,
) -> Detections:
    """Return the objects of a scene, float64 quads in its pixels, highest score first.

    Tiles are those of `config.predict`; views, suppression and merging those of `config.eval`.

    Args:
        model: in any mode.
        raster: open; it is read by another thread.
        config: of the model.
        device: where the model is.
        journal: where finished batches are kept, and taken from; None: nowhere.
        shared: every process of a launch does its share of the tiles, and all return the same.

    Raises:
        UserError: the overlap is as large as a tile, or the raster cannot be read.
    """
    batches = tile_batches(raster.size, scene_grid(config), config.predict.batch_size)
    done = _done(journal, shared)
    missing = [number for number in range(len(batches)) if number not in done]
    own = np.array_split(missing, world_size())[rank()].tolist() if shared else missing
    predictor = Predictor(model, config, device)
    found = _find(predictor, raster, [(number, batches[number]) for number in own], journal)
    for part in gather(found) if shared else [found]:
        done |= {number: by_setting[0] for number, by_setting in part.items()}
    return _merged(done, config.eval)


def find_for_settings(predictor: Predictor, raster: Raster) -> list[Detections]:
    """Return what `find_in_scene` does for each setting of the predictor, from one pass of the network."""
    config = predictor.config
    batches = tile_batches(raster.size, scene_grid(config), config.predict.batch_size)
    found = _find(replace(predictor, watch=None), raster, list(enumerate(batches)), None)
    return [
        _merged({number: by_setting[k] for number, by_setting in found.items()}, setting)
        for k, setting in enumerate(predictor.settings)
    ]


def _merged(batches: Mapping[int, Found], setting: EvalConfig) -> Detections:
    everything = join_found([batches[number] for number in sorted(batches)])
    return merge_found(everything, setting.merge, setting.merge_iou)


def _done(journal: Journal | None, shared: bool) -> dict[int, Found]:
    """Return the finished batches; of several processes none writes before all have read."""
    if journal is None:
        return {}
    if not shared:
        return journal.read()
    with main_first():  # it sets the journals of other settings aside
        done = journal.read()
    gather(None)
    return done


def _find(
    predictor: Predictor, raster: Raster, batches: Sequence[tuple[int, Batch]], journal: Journal | None
) -> dict[int, list[Found]]:
    """Return what each batch shows, one for each setting, and put the first into the journal."""
    found: dict[int, list[Found]] = {}
    read = read_ahead(_read(raster, batches), BATCHES_AHEAD)
    seen = read_ahead(_look(predictor, read))
    total = sum(len(tiles) for _, tiles in batches)
    progress = tqdm(
        desc="tiles", total=total, unit="tile", leave=False, dynamic_ncols=True, disable=not is_main()
    )
    with closing(read), closing(seen), progress, torch.inference_mode():
        for tiles, looks in seen:
            found[tiles.number] = _to_found(tiles, looks, raster.size, predictor)
            if journal:
                journal.append(tiles.number, found[tiles.number][0])
            progress.update(tiles.total)
    return found


def _read(raster: Raster, batches: Iterable[tuple[int, Batch]]) -> Iterator[Tiles]:
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
    images = np.full((len(pictures), *_padded((height, width), 1.0), 3), FILL, np.uint8)
    for image, picture in zip(images, pictures, strict=True):
        image[:height, :width] = picture
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def _padded(size: Size, factor: float) -> Size:
    """Return height and width of a scaled image with what is missing to multiples of 32."""
    height, width = (math.ceil(round(side * factor, 3) / SIZE_STEP) * SIZE_STEP for side in size)
    return height, width


def _look(predictor: Predictor, batches: Iterable[Tiles]) -> Iterator[tuple[Tiles, list[Look]]]:
    """Yield what the network says of each batch, in all views."""
    with evaluating(predictor.model):
        for tiles in batches:
            looks: list[Look] = []
            for factor, views in predictor.scales if tiles.shown else ():
                images, frame = _scaled(tiles.images, factor)
                looks += predictor.look(images, [frame] * len(images), views)
            yield tiles, looks


def _scaled(images: Tensor, factor: float) -> tuple[Tensor, Frame]:
    """Return a batch as a view of another scale shows it, grey up to sides of multiples of 32."""
    height, width = images.shape[-2:]
    matrix = (AS_IT_IS * factor).astype(np.float32)
    size = _padded((height, width), factor)
    frame = Frame(matrix, (height, width), size)
    if factor == 1:
        return images, frame
    pictures = [warp_image(image.numpy(), matrix, size) for image in images.permute(0, 2, 3, 1)]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), frame


def _to_found(tiles: Tiles, looks: Sequence[Look], scene: Size, predictor: Predictor) -> list[Found]:
    """Return what was seen in a batch, in the pixels of the scene, one for each setting."""
    if not tiles.shown:
        return [join_found([]) for _ in predictor.settings]
    scaled = scaled_size(scene, tiles.shown[0][0].rate)
    by_setting = zip(*predictor.detect(looks), strict=True)
    return [
        join_found(
            [
                found_in_tile(one, tile, window, scaled)
                for one, (tile, window) in zip(local, tiles.shown, strict=True)
            ]
        )
        for local in by_setting
    ]
