"""Slicing: whether an image is shown whole or cut into tiles, and at what scale.

Objects are shown at the scale at which training showed them (`data.training_scale`).  An image that would
have to be smaller to fit into the network input is cut into tiles; one that would have to be larger to fill
it is not enlarged.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from cfg.schema import Config
from dataloadR.splits import far_larger, fitting_scale, max_downscale
from utils.counts import counted
from utils.errors import UserError
from utils.images import ImageError, Size
from utils.scales import TOLERANCE, learned_scale
from utils.tiles import Grid, tile_count

logger = logging.getLogger(__name__)
WORTH_SAYING = 1 << 28  # px of an image whose tiles take a while
FULL_SIZE = (1.0,)  # rates of who has learned at no known scale


def whole_scale(size: Size, config: Config) -> float | None:
    """Return the scale at which an image (height, width) is shown whole; None: it is cut into tiles.

    `predict.tile` and `predict.rates` cut every image; `data.max_downscale` says from what size on it is cut.
    Without `data.training_scale` an image is shrunk or enlarged to the network input.
    """
    data = config.data
    if _tiles_are_asked_for(config):
        return None
    fitting = fitting_scale(size, data)
    if data.training_scale is None:
        return None if far_larger(size, data) else fitting
    low, _, high = data.training_scale
    least = low / TOLERANCE if data.max_downscale is None else 1 / max_downscale(data)
    if fitting < least:
        return None
    return learned_scale(fitting, high)


def shrink_of(size: Size, config: Config) -> float:
    """Return the scale of a whole image as a factor of the one that fills the network input; 1 of others."""
    fitting = fitting_scale(size, config.data)
    return (whole_scale(size, config) or fitting) / fitting


def _tiles_are_asked_for(config: Config) -> bool:
    return config.predict.tile is not None or config.predict.rates != ()


def scene_grid(config: Config) -> Grid:
    """Return how images are cut into tiles.

    Raises:
        UserError: the overlap is as large as a tile.
    """
    predict = config.predict
    side = predict.tile or max(config.data.input_size)
    overlap = round(predict.overlap * side if predict.overlap < 1 else predict.overlap)
    if overlap >= side:
        raise UserError(
            f"predict.overlap={predict.overlap:g}: expected less than the tile, which has {side} px"
        )
    learned = config.data.training_scale
    chosen = predict.rates or (FULL_SIZE if learned is None else learned[1:2])
    return Grid(side, overlap, tuple(dict.fromkeys(rate * s for rate in chosen for s in config.eval.scales)))


def tiles_of(size: Size, config: Config) -> int:
    """Return into how many tiles an image of this height and width is cut; 0: it is shown whole."""
    return tile_count(size, scene_grid(config)) if whole_scale(size, config) is None else 0


def log_slicing(sizes: Iterable[Size], config: Config) -> dict[str, Any]:
    """Say in one line how images of these heights and widths are shown, and return it as plain values."""
    whole: list[float] = []
    cut, tiles, counts = 0, 0, Counter(sizes)
    rates: tuple[float, ...] = ()
    for size, images in counts.items():
        scale = whole_scale(size, config)
        if scale is None:
            grid = scene_grid(config)
            cut, rates = cut + images, grid.rates
            tiles += images * tile_count(size, grid)
        else:
            whole += [scale] * images
    parts = [f"{counted(len(whole), 'image')} shown whole at a scale of {_range(whole)}"] if whole else []
    parts += [f"{counted(cut, 'image')} cut into {counted(tiles, 'tile')} at {_range(rates)}"] if cut else []
    if parts:
        logger.info("%s", ", ".join(parts))
    _say_largest(max(counts, key=math.prod, default=(0, 0)), config)
    if counts and config.data.training_scale is None and not _tiles_are_asked_for(config):
        logger.warning(
            "the checkpoint does not say at what scale it was trained: images up to %g times the input are "
            "fitted to it, larger ones cut at a scale of 1 (data.training_scale=1,1,1 cuts all larger ones)",
            max_downscale(config.data),
        )
    spread = [min(whole), max(whole)] if whole else None
    return {"whole": len(whole), "scales": spread, "cut": cut, "tiles": tiles, "rates": list(rates)}


def _say_largest(size: Size, config: Config) -> None:
    """Say how long the largest image may take, where nobody would want to wait for the first tile to know."""
    if math.prod(size) < WORTH_SAYING or whole_scale(size, config) is not None:
        return
    count = tile_count(size, scene_grid(config))
    quick, slow = _duration(count / 100), _duration(count)
    line = "the largest image has %s x %s px, %s tiles: from %s (100 tiles a second) to %s (1 a second)"
    logger.info(line, f"{size[1]:,}", f"{size[0]:,}", f"{count:,}", quick, slow)


def check_pixels(size: Size, config: Config, name: str) -> None:
    """Raise where an image is so large that its header may be wrong.

    Raises:
        ImageError: it has more than `predict.max_pixels`.
    """
    pixels, most = math.prod(size), config.predict.max_pixels
    if pixels > most:
        raise ImageError(
            f"{name}: {size[1]:,} x {size[0]:,} px by its header, {tile_count(size, scene_grid(config)):,} "
            f"tiles, more than predict.max_pixels={most}; if it is right, say predict.max_pixels={pixels}"
        )


def _duration(seconds: float) -> str:
    units = ((86400, "days"), (3600, "hours"), (60, "minutes"))
    unit, name = next(((unit, name) for unit, name in units if seconds >= 2 * unit), (1, "seconds"))
    return f"{seconds / unit:.0f} {name}"


def _range(scales: Iterable[float]) -> str:
    low, high = f"{min(scales):.3g}", f"{max(scales):.3g}"
    return low if low == high else f"{low} to {high}"
