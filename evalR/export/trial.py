"""Images on which an exported file is tried: of a folder or of the validation split, and random ones."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cfg.schema import SIZE_STEP, DataConfig
from dataloadR.annotations import AnnotationError
from dataloadR.layouts import is_image
from dataloadR.splits import load_split
from evalR.export.parity import F32Images, Shown
from utils.errors import UserError
from utils.files import is_text
from utils.images import Size, letterbox_matrix, read_image, warp_image

logger = logging.getLogger(__name__)
BATCH_SIZES = (1, 3)  # images at once, in turn
CELLS_MORE = 2  # by which the second size of a dynamic file is larger


def trial_paths(folder: str | None, data: DataConfig, classes: Sequence[str], count: int) -> list[Path]:
    """Return `count` images, spread evenly over a folder or over the validation split; fewer where there are.

    Without a folder and without the data of the training there are none, and a line says so.

    Raises:
        UserError: the folder has no image.
    """
    paths = _of_folder(Path(folder)) if folder is not None else _of_split(data, classes)
    rows = np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)
    return [paths[row] for row in rows]


def _of_folder(folder: Path) -> list[Path]:
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = [path for path in inside if is_image(path) and is_text(path)]
    if not paths:
        raise UserError(f"images={folder}: expected a folder of images, found none")
    return paths


def _of_split(data: DataConfig, classes: Sequence[str]) -> list[Path]:
    try:
        annotations, _ = load_split(data, data.val, classes)
        return [Path(annotation.image_path) for annotation in annotations]
    except (AnnotationError, UserError, OSError) as error:
        logger.warning("no real images to compare with, images=DIR names some: %s", error)
        return []


def trial_sizes(size: Size, is_dynamic: bool) -> list[Size]:
    """Return the sizes of the input at which a file is tried."""
    more = CELLS_MORE * SIZE_STEP
    return [size, (size[0] + more, size[1] + more // 2)] if is_dynamic else [size]


def trial_batches(paths: Sequence[Path], sizes: Sequence[Size], count: int) -> Iterator[Shown]:
    """Yield real images in batches of one and three, in turn at each size, then `count` of random pixels."""
    for number, rows in enumerate(_batches(len(paths))):
        images = [_as_input(path, sizes[number // 2 % len(sizes)]) for path in paths[rows]]
        yield Shown(np.stack(images), True)
    chance = np.random.default_rng(0)
    for number, rows in enumerate(_batches(count)):
        height, width = sizes[number // 2 % len(sizes)]
        shape = (len(range(count)[rows]), 3, height, width)
        yield Shown(chance.integers(0, 256, shape).astype(np.float32), False)


def _batches(count: int) -> Iterator[slice]:
    at = number = 0
    while at < count:
        more = BATCH_SIZES[number % len(BATCH_SIZES)]
        yield slice(at, at + more)
        at, number = at + more, number + 1


def _as_input(path: Path, size: Size) -> F32Images:
    """Return an image as the input of a network (3, H, W)."""
    image = read_image(path)
    height, width, _ = image.shape
    inside = warp_image(image, letterbox_matrix((height, width), size), size)
    return np.ascontiguousarray(inside.transpose(2, 0, 1), np.float32)
