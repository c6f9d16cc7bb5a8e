"""Text files of comma-separated lines told apart: the boxes of VisDrone, the text quads of ICDAR, others."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dataloadR.formats.image_finder import IMAGE_FOLDERS
from dataloadR.formats.sniff import LINES, SAMPLES, first_lines, list_some, texts_of, walk_some
from dataloadR.label_lines import AnnotationError
from dataloadR.layouts import IMAGE_SUFFIXES, is_image

NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
VISDRONE_ENDS = ({"0", "1"}, {str(k) for k in range(12)}, {"0", "1", "-1"}, {"0", "1", "2", "-1"})
ILLEGIBLE = "###"
POLYGON = 12  # numbers at the beginning of a line: more than a quad and a written number
MOST_TRIED = 50  # text files of a folder whose images are looked for
FEW_WORDS = 4  # from this many lines on, repeated words may be classes
NOT_TOLD = {
    "both": "lines as VisDrone has them (--from visdrone) and lines as ICDAR's text quads (--from icdar)",
    "numbers": "lines of more than 8 numbers between commas: text quads of ICDAR whose texts are numbers "
    "(--from icdar), or a format that is not read",
    "classes": "lines of 8 numbers and a word between commas: text quads of ICDAR, the word being what is "
    "written (--from icdar), or quads of classes (with blanks for the commas, --from dota)",
}


class CommaLines(NamedTuple):
    """Files of comma-separated lines beside images of their names."""

    kind: str  # visdrone or icdar
    example: Path


def find_comma_lines(root: Path) -> CommaLines | None:
    """Return what the text files of a folder are that have an image of their name; None: nothing of the kind.

    Raises:
        AnnotationError: lines of this kind that may mean different things; says how to say which.
    """
    kinds, texts, examples, is_sure = set[str](), list[str](), list[Path](), False
    for path in _files_of_images(root):
        lines = [(kind, text) for kind, text in map(_of_line, first_lines(path)[:LINES]) if kind]
        kinds |= {kind for kind, _ in lines}
        texts += [text for _, text in lines if text]
        examples += [path] if lines else []
        is_sure |= path.name.startswith("gt_") or any(text.endswith(ILLEGIBLE) for text in texts)
    if not kinds:
        return None
    unsure = _unsure(kinds, [] if is_sure else texts)
    if unsure:
        raise AnnotationError(f"{root}: found {NOT_TOLD[unsure]}, such as {examples[0]}; say which of them")
    return CommaLines("visdrone" if kinds == {"visdrone"} else "icdar", examples[0])


def comma_kind(path: Path) -> str:
    """Return `visdrone` or `icdar` for one file of such lines that are plain, or an empty text."""
    kinds = {kind for kind, _ in map(_of_line, first_lines(path)[:LINES])}
    return kinds.pop() if kinds in ({"visdrone"}, {"icdar"}) else ""


def _of_line(line: str) -> tuple[str, str]:
    """Return what a line is, `visdrone`, `icdar` or `numbers`, and its text; nothing for other lines."""
    fields = [field.strip() for field in line.split(",")]
    leading = next((k for k, f in enumerate(fields) if not NUMBER.fullmatch(f)), len(fields))
    rest = ",".join(fields[8:]).strip(",")
    if leading < 8 or (leading >= POLYGON and rest):
        return "", ""
    if not rest:
        ends = all(f in known for f, known in zip(fields[4:8], VISDRONE_ENDS, strict=True))
        return ("visdrone" if ends else "icdar"), ""
    return ("numbers", "") if leading == len(fields) else ("icdar", rest)


def _unsure(kinds: set[str], texts: Sequence[str]) -> str:
    """Return the key of NOT_TOLD where lines may mean different things, or an empty text."""
    if "visdrone" in kinds and len(kinds) > 1:
        return "both"
    if kinds == {"numbers"}:
        return "numbers"
    flagged = bool(texts) and all(re.fullmatch(r"[^,]+,[012]", text) for text in texts)
    repeated = len(texts) >= FEW_WORDS and 2 * len(set(texts)) <= len(texts)
    return "classes" if flagged or repeated else ""


def _files_of_images(root: Path) -> Iterator[Path]:
    """Yield a few text files of each folder, NAME.txt or gt_NAME.txt for an image NAME of any folder."""
    listings = list(walk_some(root))
    beside = [(root.parent / name, list_some(root.parent / name)[0]) for name in IMAGE_FOLDERS]
    stems = {path.stem for _, files in (*listings, *beside) for path in files if is_image(path)}
    folders = [folder for folder, files in (*listings, *beside) if any(map(is_image, files))]
    for _, files in listings:
        texts = texts_of(files)[:MOST_TRIED]
        found = (p for p in texts if (name := p.stem.removeprefix("gt_")) in stems or _is_in(name, folders))
        yield from [path for path, _ in zip(found, range(SAMPLES), strict=False)]


def _is_in(stem: str, folders: Sequence[Path]) -> bool:
    """Say whether an image of this stem lies in a folder, of which not all files may have been listed."""
    places = (folder / f"{stem}{suffix}" for folder in folders for suffix in IMAGE_SUFFIXES)
    return any(os.path.isfile(place) for place in places)  # noqa: PTH113 - raises never
