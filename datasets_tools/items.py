"""Images with their labels and files, ready to be written: found, measured, and with names of their own."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from dataloadR.formats.image_finder import ImageFinder
from dataloadR.formats.layout import stem_of
from dataloadR.formats.records import LabelledImage
from dataloadR.split_names import split_of
from datasets_tools.image_files import flat_names
from datasets_tools.jobs import run_jobs
from utils.errors import Faults, UserError
from utils.images import Size, image_size

LONGEST_NAME = 200  # bytes of an image's name; file systems take 255


class Item(NamedTuple):
    """An image with its labels, and the file it was found in."""

    image: LabelledImage
    file: Path | None
    written: str  # the image's name as the labels had it


def find_items(
    images: Sequence[LabelledImage], finder: ImageFinder, wanted: bool, sized: bool, faults: Faults
) -> list[Item]:
    """Return the images with their files.

    Args:
        wanted: a missing file is a fault.
        sized: so it is where the labels do not say the image's size.
    """
    found = [
        faults.attempt(partial(_find_file, image, finder, wanted, sized and image.size is None))
        for image in images
    ]
    return [item for item in found if item is not None]


def _find_file(image: LabelledImage, finder: ImageFinder, wanted: bool, sized: bool) -> Item:
    file = finder.find(image.name, image.split)
    if file is None and (wanted or sized):
        way = "or do without with --images none" if not sized else "as the labels need its size"
        place = f"{finder.folder}: found no image {image.name!r}"
        raise UserError(f"{place}; say where it is with --image-dir, {way}")
    return Item(image, file, image.name)


def with_sizes(items: Sequence[Item], processes: int, faults: Faults) -> list[Item]:
    """Return the items with the sizes that files of images say, where the labels did not."""
    unknown = [item.file for item in items if item.image.size is None and item.file is not None]
    sizes = iter(run_jobs(_read_size, unknown, processes, "sizes"))
    found = []
    for item in items:
        size = item.image.size or next(sizes)
        if isinstance(size, str):
            faults.add(UserError(size))
        else:
            found.append(item._replace(image=item.image._replace(size=size)))
    return found


def _read_size(path: Path) -> Size | str:
    """Return the size, or what is wrong with the file."""
    try:
        return image_size(path)
    except UserError as error:
        return str(error)


def without_splits(items: Sequence[Item], split: str) -> list[Item]:
    """Return the items in one split, which may be empty; images of one name keep the old split before it."""
    counts = Counter(stem_of(item.image.name) for item in items)
    moved = []
    for item in items:
        name, old = item.image.name, item.image.split
        if counts[stem_of(name)] > 1 and old and not split_of(Path(name).parts[:-1]):
            name = f"{old}/{name}"
        moved.append(item._replace(image=item.image._replace(name=name, split=split)))
    return moved


def with_names(items: Sequence[Item], source: Path, faults: Faults) -> list[Item]:
    """Return the items with names that can stand in a folder, each once in its split."""
    named = [item.image.name if item.file is None else _with_suffix_of(item) for item in items]
    names = flat_names(named, [item.image.split for item in items])
    seen: dict[tuple[str, str], str] = {}
    kept = []
    for item, name in zip(items, names, strict=True):
        key, old = (item.image.split, stem_of(name)), item.image.name
        if not _can_be_written(name):
            expected = f"expected an image name of 1 to {LONGEST_NAME} bytes that a file can have"
            faults.add(UserError(f"{source}: {expected}, got {old[:LONGEST_NAME]!r}"))
        elif key in seen:
            faults.add(UserError(f"{source}: expected each image once, got {old!r} and {seen[key]!r}"))
        else:
            seen[key] = old
            kept.append(item._replace(image=item.image._replace(name=name)))
    return kept


def _with_suffix_of(item: Item) -> str:
    """Return the image's name as its file has it, in the folder that the labels say."""
    assert item.file is not None
    return Path(item.image.name).with_name(item.file.name).as_posix()


def _can_be_written(name: str) -> bool:
    bad = any(ord(letter) < ord(" ") or "\ud800" <= letter <= "\udfff" for letter in name)
    return not bad and name.strip(". ") != "" and len(name.encode()) <= LONGEST_NAME
