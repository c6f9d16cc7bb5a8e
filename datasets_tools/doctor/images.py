"""Image files examined: sizes, faults, odd kinds, and small fingerprints of their contents."""

import hashlib
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cfg.schema import DataConfig
from dataloadR.splits import far_larger
from datasets_tools.doctor.files import relative_name
from datasets_tools.doctor.findings import Finding, found
from datasets_tools.doctor.labels import Labelled
from datasets_tools.jobs import run_jobs
from utils.arrays import F64, U8
from utils.files import strange_kind
from utils.images import ImageError, Size, check_image, image_size, read_image

MAX_PIXELS = 2**27  # 400 MB as RGB; larger rasters are not decoded
CHUNK = 2**22  # bytes
ORIENTATION, BITS_PER_SAMPLE = 274, 258  # tags of EXIF and TIFF
PNG_DEPTH = 24  # byte of a PNG file that holds its bits per channel
FLAT = 2  # levels of 255 between the darkest and the brightest pixel
GRID = 16  # differences along and across the picture's hash
THUMB = 16  # px


class Facts(NamedTuple):
    """What one image file says."""

    size: Size | None  # None: it cannot be read
    fault: str = ""
    kinds: tuple[str, ...] = ()  # codes of findings
    digest: bytes = b""  # of the pixels, or of the file where it is not decoded
    bits: NDArray[np.bool_] | None = None  # (512,) picture hash; None: not decoded, or all alike
    thumb: U8 | None = None  # (16, 16) grey


def examine_images(paths: Sequence[Path], fast: bool, processes: int) -> list[Facts]:
    """Return the facts of images that are there, in their order; `fast` decodes no common format."""
    if not paths:
        return []
    return list(run_jobs(partial(examine, fast=fast), paths, processes, "images"))


def examine(path: Path, fast: bool) -> Facts:
    """Return the facts of one image; what is wrong with it is one of them."""
    kind = strange_kind(path)
    if kind:
        return Facts(None, f"{path}: expected a file, got {kind}")
    kinds = _odd_kinds(path)
    try:
        height, width = image_size(path)
        if height * width > MAX_PIXELS:
            return Facts((height, width), "", (*kinds, "not-decoded"), _digest(path))
        if fast:
            return Facts(check_image(path), "", kinds, _digest(path))
        return _look(read_image(path), kinds)
    except ImageError as error:
        return Facts(None, str(error), tuple(kind for kind in kinds if kind == "animated-image"))


def _digest(path: Path) -> bytes:
    sum_ = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sum_.update(chunk)
    return sum_.digest()


def _look(image: U8, kinds: tuple[str, ...]) -> Facts:
    height, width, _ = image.shape
    digest = hashlib.blake2b(
        np.ascontiguousarray(image).data, digest_size=16, person=f"{height}x{width}".encode()[:16]
    ).digest()
    if int(image.max()) - int(image.min()) < FLAT:
        return Facts((height, width), "", (*kinds, "blank-image"), digest)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    thumb = np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)
    return Facts((height, width), "", kinds, digest, picture_hash(np.asarray(grey, np.uint8)), thumb)


def picture_hash(grey: U8) -> NDArray[np.bool_]:
    """Return a difference hash of (512,) bits: a 17 x 17 grid grows brighter to the right, and downwards.

    Survives scaling, compression and changes of brightness.  Source: the difference hash (dHash) of
    Krawetz, Kind of like that, 2013, in both directions.
    """
    cells = cv2.resize(grey.astype(np.float32), (GRID + 1, GRID + 1), interpolation=cv2.INTER_AREA)
    right, down = np.diff(cells, axis=1)[:GRID] > 0, np.diff(cells, axis=0)[:, :GRID] > 0
    return np.concatenate([right.ravel(), down.ravel()])


def _odd_kinds(path: Path) -> tuple[str, ...]:
    """Return the codes of what is unusual about an image file, as far as Pillow can open it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                several = getattr(image, "n_frames", 1) > 1
                is_tiff = image.format == "TIFF"
                found_kinds = {
                    "animated-image": several and not is_tiff,
                    "several-pages": several and is_tiff,
                    "cmyk": image.mode == "CMYK",
                    "exif-turned": image.getexif().get(ORIENTATION, 1) not in (0, 1),
                    "sixteen-bit": _is_deep(path, image),
                }
    except Exception:  # noqa: BLE001 - whatever Pillow trips over: the reader says whether it is a fault
        return ()
    return tuple(kind for kind, is_so in found_kinds.items() if is_so)


def _is_deep(path: Path, image: Image.Image) -> bool:
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(PNG_DEPTH + 1)[-1] == 16
    tags = getattr(image, "tag_v2", {})
    return max(np.atleast_1d(tags.get(BITS_PER_SAMPLE, 8))) == 16 or image.mode.startswith("I;16")


def image_sizes(data: Labelled, facts: dict[Path, Facts]) -> F64:
    """Return width and height (E, 2) of each entry's image, 0 where nobody knows."""
    sizes = [facts[e.image].size if e.image in facts else None for e in data.entries]
    return np.array([size[::-1] if size else (0, 0) for size in sizes], np.float64).reshape(-1, 2)


def image_findings(data: Labelled, facts: dict[Path, Facts]) -> list[Finding]:
    """Return what is wrong with the files, kind by kind, and images larger than the network's input."""
    places: dict[str, list[str]] = {}
    for path, fact in facts.items():
        name = relative_name(path, data.root)
        for kind in fact.kinds:
            places.setdefault(kind, []).append(name)
        if fact.fault and "animated-image" not in fact.kinds:
            places.setdefault("unreadable-image", []).append(relative_name(fact.fault, data.root))
    findings = [finding for code, names in places.items() for finding in found(code, names)]
    sizes = image_sizes(data, facts)
    large = []
    for split in data.splits:
        known = sizes[data.in_split(split) & (sizes[:, 0] > 0)]
        width, height = np.median(known, axis=0).astype(int).tolist() if len(known) else (0, 0)
        if far_larger((height, width), DataConfig()):
            large.append(f"{split}: {width} x {height} px")
    limit = DataConfig().image_size
    return findings + found("far-larger", large, f"data.image_size is {limit} by default")
