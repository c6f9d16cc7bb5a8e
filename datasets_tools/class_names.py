"""Class names of labelled images: renamed, left out, in order."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.label_lines import read_lines
from utils.errors import Faults, UserError


def parse_names(text: str) -> list[str]:
    """Return the names of `a,b,c`, or of a text file with one per line.

    Raises:
        UserError: a name twice.
    """
    path = Path(text)
    if text and "," not in text and path.is_file():
        names = [name for _, name in read_lines(path, Faults(skip=False))]
    else:
        names = [name.strip() for name in text.split(",") if name.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(f"class names {text!r}: expected each once, got {twice[0]!r} twice")
    return names


def parse_map(pairs: Sequence[str]) -> dict[str, str]:
    """Return old and new names of `old=new`; an empty new name leaves the class out.

    Raises:
        UserError: a pair without `=`, or two for one class.
    """
    table: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = (part.strip() for part in pair.rpartition("="))
        if not equals or not old or old in table:
            raise UserError(f"--map {pair}: expected OLD=NEW, each OLD once")
        table[old] = new
    return table


def find_names(images: Sequence[LabelledImage]) -> list[str]:
    """Return the names of all objects, sorted."""
    return sorted({name for image in images for name in image.classes})


def rename_classes(images: Sequence[LabelledImage], table: dict[str, str]) -> list[LabelledImage]:
    """Return the images with new class names, "" for those to be left out.

    Raises:
        UserError: an old name that no object has.
    """
    found = find_names(images)
    unknown = [old for old in table if old not in found]
    if unknown:
        raise UserError(f"--map {unknown[0]}=...: no such class, found {', '.join(found) or 'no objects'}")
    return [image._replace(classes=[table.get(name, name) for name in image.classes]) for image in images]


def keep_classes(images: Sequence[LabelledImage], names: Sequence[str], notes: Notes) -> list[LabelledImage]:
    """Return the images with the objects of the given classes alone, of any with a name without."""
    wanted = set(names)
    kept = []
    for image in images:
        rows = np.array([bool(c) and (not wanted or c in wanted) for c in image.classes], bool)
        for name, row in zip(image.classes, rows.tolist(), strict=True):
            notes.add(
                f"objects of the class {name!r} were left out" if name else "objects were left out by --map",
                not row,
            )
        kept.append(image.take(rows))
    return kept
