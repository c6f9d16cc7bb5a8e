"""Prediction sources: the images and videos that the words of a command line mean."""

import glob
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from cfg.schema import Config
from dataloadR.annotations import IMAGE_SUFFIXES, is_image
from dataloadR.label_lines import read_lines
from evalR.inference.slicing import tiles_of
from utils.counts import counted
from utils.errors import Faults, UserError
from utils.images import ImageError, Size
from utils.progress import ProgressBar, counting
from utils.raster_files import Access
from utils.rasters import raster_info

SHARED_STEM = "detections"  # of the files that all images share
CHECKPOINT_SUFFIXES = (".pt", ".pth", ".onnx")  # which others give before the images
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg", ".webm", ".wmv", ".ts")


def is_video(path: Path) -> bool:
    """Say whether a name is that of a video; hidden files are unfinished ones."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def find_sources(words: Sequence[str]) -> list[Path]:
    """Return the images and videos that words mean, each once, in the order of the words.

    A word is an image, a raster or a video, a folder of them, a pattern with `*`, `?` or `[`, or a list: a
    .txt with one path a line, relative to the list or to the working folder.  A VRT is taken by its name or
    a pattern alone: in a folder it often lies beside the rasters that it is made of.

    Raises:
        UserError: a word or a line that means no file.
    """
    found: dict[Path, Path] = {}
    for word in words:
        for path in _of_word(word):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def _of_word(word: str) -> list[Path]:
    if not word.strip():  # of a shell variable that is not set; as a path it would be the working folder
        raise UserError("expected an image, folder, list or video, got an empty word")
    path = Path(word)
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        raise UserError(f"{word}: expected an image, folder, list or video, found weights: weights={word}")
    if path.is_file():
        return _of_list(path) if path.suffix.lower() == ".txt" else [path]
    if not glob.has_magic(word):
        raise UserError(f"{word}: no such image, folder, list or video")
    matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]  # noqa: PTH207 - of any root
    files = [match for match in matches if _is_source(match) or match.suffix.lower() == ".vrt"]
    if not files:
        fixed = Path(*takewhile(lambda part: not glob.has_magic(part), path.parts))
        gone = "" if fixed.exists() else f"; there is no {fixed}"
        raise UserError(
            f"{word}: expected images or videos to match, found none among "
            f"{counted(len(matches), 'file')}{gone}"
        )
    return files


def _is_source(path: Path) -> bool:
    """Say whether a name is that of an image or a video; a folder may be called so, too."""
    return (is_image(path) or is_video(path)) and not path.is_dir()


def _of_folder(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if _is_source(path))
    if not found:
        below = next((path for path in folder.glob("*/*") if _is_source(path)), None)
        below = below or next((path for path in folder.glob("*/*/*") if _is_source(path)), None)
        hint = f"; those of folders in it: '{folder}/**/*{below.suffix}'" if below else ""
        raise UserError(f"{folder}: no images in this folder; looked for {', '.join(IMAGE_SUFFIXES)}{hint}")
    return found


def _of_list(path: Path) -> list[Path]:
    found = []
    for number, line in read_lines(path, Faults(skip=False)):
        places = [path.parent / line, Path(line)]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise UserError(f"{path}:{number}: expected the path of an image, found no file {line!r}")
        found.append(file)
    if not found:
        raise UserError(f"{path}: expected a list with the path of an image on each line, found none")
    return found


def known_sizes(images: Sequence[Path], access: Access, hidden: bool) -> dict[Path, Size]:
    """Return height and width of the images that can be read; the others are found out in their turn."""
    sizes = {}
    with counting("sizes", len(images), "image", hidden) as count:
        for path in images:
            with suppress(ImageError):
                sizes[path] = raster_info(path, access).size
            count(1)
    return sizes


def count_tiles(progress: ProgressBar, sizes: Mapping[Path, Size], config: Config) -> set[Path]:
    """Return the images that are cut into tiles, and let the bar count those, one for each other source."""
    tiles = {path: tiles_of(size, config) for path, size in sizes.items()}
    cut = {path for path, count in tiles.items() if count}
    if cut and not progress.disable:
        progress.unit = "tile"
        progress.total = (progress.total or 0) + sum(tiles.values()) - len(cut)
        progress.refresh()
    return cut


def output_names(sources: Sequence[Path]) -> dict[Path, str]:
    """Return a name for the results of each source, no two alike.

    It is the stem; where several share it, the whole name; where several share that, folders before it; at
    last a number.
    """
    paths = {source: Path(os.path.abspath(source)) for source in sources}  # noqa: PTH100 - links keep names
    names: dict[Path, str] = {}
    taken = {SHARED_STEM}
    levels = max((len(path.parts) for path in paths.values()), default=0)
    for level in range(levels + 1):
        rest = [source for source in sources if source not in names]
        labels = {source: _label(paths[source], level) for source in rest}
        counts = Counter(label.lower() for label in labels.values())  # some disks do not tell case
        for source, label in labels.items():
            if counts[label.lower()] == 1 and label.lower() not in taken:
                names[source] = label
        taken |= {names[source].lower() for source in rest if source in names}
    return {source: names.get(source, f"{source.name}-{row}") for row, source in enumerate(sources)}


def _label(path: Path, level: int) -> str:
    return path.stem if level == 0 else "_".join(part for part in path.parts[-level:] if part != path.anchor)
