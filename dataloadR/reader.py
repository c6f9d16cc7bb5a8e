"""Image reader of a dataset, by row: decoded, cached where there is room, and bad ones remembered."""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
import torch

from cfg.schema import DataConfig
from dataloadR.sharing import can_share
from utils.arrays import U8
from utils.counts import counted
from utils.images import ImageError, Size, image_size, read_image

log = logging.getLogger(__name__)
GIGABYTE = 1e9
JPEG_SUFFIXES = (".jpg", ".jpeg")
T = TypeVar("T")


class ImageReader:
    """Reads images by row; what it returns must not be written to.

    The memory of `cache_gb` is filled once and then stays as it is: in a shuffled order, which never repeats
    itself within an epoch, throwing out the oldest would throw out the next.  Every process has its own.
    """

    def __init__(self, paths: Sequence[str], data: DataConfig) -> None:
        self.paths = list(paths)
        self.skip = data.on_error == "skip"
        self._bad = torch.zeros(len(paths) if self.skip else 0, dtype=torch.uint8)
        self._asking: AbstractContextManager[Any] = nullcontext()
        if self.skip and can_share():  # by the workers, so that a file is reported once and not by each
            self._bad.share_memory_()  # type: ignore[no-untyped-call]
            self._asking = get_context("spawn").Lock()  # goes to any worker
        self._sizes = np.zeros((len(paths), 2), np.int32)  # height, width; 0: not read yet
        self._room = int(data.cache_gb * GIGABYTE)  # bytes that are free
        self._kept: dict[tuple[int, int], U8] = {}  # row, reduction -> image

    def size(self, row: int) -> Size:
        """Return height and width of an image as it lies in its file.

        Raises:
            ImageError: as `utils.images.image_size`.
        """
        if not self._sizes[row, 0]:
            self._sizes[row] = self._guarded(row, image_size)
        height, width = self._sizes[row]
        return int(height), int(width)

    def read(self, row: int, reduce: int = 1) -> U8:
        """Return an image as RGB; a JPEG at 1 / `reduce` of its size.

        Raises:
            ImageError: as `utils.images.read_image`.
        """
        if not self.paths[row].lower().endswith(JPEG_SUFFIXES):
            reduce = 1
        image = self._kept.get((row, reduce))
        if image is None:
            image = self._guarded(row, lambda path: self._decode(path, row, reduce))
            self._keep((row, reduce), image)
        return image

    def _decode(self, path: str, row: int, reduce: int) -> U8:
        image = read_image(path, reduce)
        height, width, _ = image.shape
        header = tuple(self._sizes[row])
        if all(header) and (height, width) not in (header, tuple(-(-side // reduce) for side in header)):
            found = f"{header[1]} x {header[0]} px by its header, {width} x {height} px decoded"
            raise ImageError(f"{path}: expected one size, got {found}")
        return image

    @property
    def held(self) -> tuple[int, int]:
        """Images in memory and their bytes, in this process."""
        return len(self._kept), sum(image.nbytes for image in self._kept.values())

    def _keep(self, key: tuple[int, int], image: U8) -> None:
        if image.nbytes <= self._room:
            self._room -= image.nbytes
            self._kept[key] = image
        elif self._room > 0:
            self._room = 0
            count, size = self.held
            told = counted(count, "image")
            log.info("data.cache_gb: full with %s, %.2f GB in this process", told, size / GIGABYTE)

    def _guarded(self, row: int, read: Callable[[str], T]) -> T:
        """Return what `read` returns; a file that fails is reported once and remembered, to be skipped."""
        path = self.paths[row]
        if self.skip and self._bad[row]:
            raise ImageError(f"{path}: left out")
        try:
            return read(path)
        except ImageError as error:
            with self._asking:  # another worker may be reading it as well
                is_new = self.skip and not self._bad[row]
                if is_new:
                    self._bad[row] = 1
            if is_new:
                log.warning("left out: %s", error)
            raise
