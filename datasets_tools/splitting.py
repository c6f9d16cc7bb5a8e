"""Stratified and grouped splits of a data set: what must stay together, and how it is dealt out.

Images become units, none of which is ever divided: the tiles of one image, or all images of one group.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataloadR.annotations import LAYOUTS
from utils.arrays import F64, I64
from utils.counts import counted
from utils.errors import UserError
from utils.tiles import parse_tile

log = logging.getLogger(__name__)
ORDERS = 10  # tried where units differ in size; one may fit better than the others
IMAGE_FOLDERS = {images for images, _ in LAYOUTS}


def source_name(path: str) -> str:
    """Return the name of an image without folder and suffix; of a tile, or a tile of one, its image's."""
    name = Path(path).stem
    while True:
        try:
            name = parse_tile(name).image
        except UserError:
            return name


def _source(path: str) -> str:
    """Return what tells the images of a data set apart, the same for the tiles of one."""
    folder = Path(path).parent
    return source_name(path) if folder.name in IMAGE_FOLDERS else (folder / source_name(path)).as_posix()


def unit_keys(paths: Sequence[str], pattern: str | None = None) -> list[str]:
    """Return for each image the key of its unit: equal keys are never divided.

    Args:
        pattern: a regular expression whose first group is the key.  It is searched in the image's name
            without suffix (of a tile: in that of its image), or in the whole path where it has a slash.
            An image that it does not match is a unit of its own.  None: every image is one.

    Raises:
        UserError: no regular expression, none with a group, or one that matches no image.
    """
    sources = [_source(path) for path in paths]
    if pattern is None:
        return sources
    expression = _compile(pattern)
    groups: dict[str, str | None] = {}
    for source, path in zip(sources, paths, strict=True):  # the first tile decides, wherever the others lie
        if source not in groups:
            match = expression.search(_searched(path, pattern))
            groups[source] = match.group(1) if match else None
    lost = [source for source, group in groups.items() if group is None]
    if len(lost) == len(groups):
        example = _searched(paths[0], pattern) if paths else ""
        raise UserError(f"--group {pattern!r}: matches none of {len(paths)} image names such as {example!r}")
    if lost:
        told = counted(len(lost), "image")
        log.warning("--group: %s without a group, each for itself, such as %r", told, lost[0])
    return [f"image {s}" if groups[s] is None else f"group {groups[s]}" for s in sources]


def _searched(path: str, pattern: str) -> str:
    name = source_name(path)
    return (Path(path).parent / name).as_posix() if "/" in pattern else name


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UserError(f"--group {pattern!r}: no regular expression: {error}") from None
    if not expression.groups:
        raise UserError(f"--group {pattern!r}: expected a group in parentheses that names the scene")
    return expression


def deal(sizes: I64, shares: F64, rng: np.random.Generator, counts: I64 | None = None) -> I64:
    """Return the split of each unit (U,): the one that lacks most, in an order drawn by chance.

    Splits miss their share by less than one image where every unit is one, else by about one unit.

    Args:
        sizes: (U,) images of each unit.
        shares: (S,) of the splits; their sum is 1.
        counts: (U, C) objects per class; with them the shares are kept class by class, the rarest first.
            Source: Sechidis et al., On the Stratification of Multi-Label Data (2011), on objects.
    """
    if not len(sizes):
        return np.zeros(0, np.int64)
    uneven = counts is not None or np.ptp(sizes) > 0
    orders = [rng.permutation(len(sizes)) for _ in range(ORDERS if uneven else 1)]
    tries = [_deal_in_order(order, sizes, shares, counts) for order in orders]
    if all(len(np.unique(splits)) < len(shares) for splits in tries):  # a large group came late
        tries = [_deal_in_order(orders[0][np.argsort(-sizes[orders[0]])], sizes, shares, counts)]
    return min(tries, key=lambda splits: _misfit(splits, sizes, shares, counts))


def _deal_in_order(order: I64, sizes: I64, shares: F64, counts: I64 | None) -> I64:
    counts = np.zeros((len(sizes), 0), np.int64) if counts is None else counts
    splits = np.full(len(sizes), -1, np.int64)
    lacking = shares * sizes.sum()  # images
    lacking_objects = np.outer(shares, counts.sum(axis=0))  # (S, C)
    while (splits < 0).any():
        left = order[splits[order] < 0]
        remaining = counts[left].sum(axis=0)
        if remaining.any():
            rarest = int(np.where(remaining > 0, remaining, np.iinfo(np.int64).max).argmin())
            left = left[counts[left, rarest] > 0]
            wanted = lacking_objects[:, rarest]  # a view: it follows what is dealt
        else:
            wanted = lacking
        for unit in left.tolist():
            split = int(np.lexsort((lacking, wanted))[-1])
            splits[unit] = split
            lacking[split] -= sizes[unit]
            lacking_objects[split] -= counts[unit]
    return splits


def _misfit(splits: I64, sizes: I64, shares: F64, counts: I64 | None) -> float:
    """Return how far the shares of images and classes are from the wanted ones; an empty split is worst."""
    columns = sizes[:, None] if counts is None else np.column_stack([sizes, counts])
    held = np.stack([columns[splits == k].sum(axis=0) for k in range(len(shares))])
    totals = np.maximum(held.sum(axis=0), 1)
    empty = int((held[:, 0] == 0).sum())
    return float(empty * columns.shape[1] * 10 + np.abs(held / totals - shares[:, None]).sum())
