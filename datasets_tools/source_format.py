"""Format of a source of labels, where nobody says it: told from its files, or an error, never a guess."""

import logging
from pathlib import Path
from typing import NamedTuple

from dataloadR.foreign import FOREIGN_KINDS, NOT_CONVERTED, foreign_error, is_ours, recognise
from dataloadR.formats.sniff import first_lines, list_some, text_kind, texts_of
from dataloadR.label_lines import parse_list_line
from utils.errors import UserError

log = logging.getLogger(__name__)
LIST_LINES = 5
UNKNOWN = "could not tell the format from the files; say it: --from FORMAT (--help lists them)"


class ConversionSource(NamedTuple):
    """What is converted."""

    form: str  # as `--from` has it
    path: Path
    image_dir: Path | None  # where its images are, if they lie elsewhere


def find_format(source: Path, image_dir: Path | None = None) -> ConversionSource:
    """Return the format of a folder or file, and what in it is to be read; says which it is.

    Raises:
        UserError: nobody knows it, or it may be one of several; says which words to give.
    """
    if not source.exists():
        raise UserError(f"{source}: no such file or folder")
    data = recognise(source)
    if data is None:
        form, what = _own_format(source)
        log.info("%s: taken as %s (--from %s)", source, what, form)
        return ConversionSource(form, source, image_dir)
    if data.kind in NOT_CONVERTED:
        raise foreign_error(data)
    log.info(
        "%s: taken as %s (--from %s), such as %s", source, FOREIGN_KINDS[data.kind], data.kind, data.example
    )
    if source.is_file():
        return ConversionSource(data.kind, source, image_dir)
    return ConversionSource(data.kind, data.source, image_dir or data.image_dir)


def _own_format(source: Path) -> tuple[str, str]:
    """Return `dota` or `list`, and what it is called."""
    texts = [source] if source.is_file() else texts_of(list_some(source)[0])
    if source.is_dir() and (is_ours(source) or any(text_kind(path) == "dota" for path in texts)):
        return "dota", "label lines of DOTA"
    if any(map(_is_list, texts)):
        return "list", "training lists"
    raise UserError(f"{source}: {UNKNOWN}")


def _is_list(path: Path) -> bool:
    """Say whether one of the first lines has an image with objects."""
    for number, text in enumerate(first_lines(path)[:LIST_LINES], 1):
        try:
            if parse_list_line(text, path, number)[1]:
                return True
        except UserError:
            return False
    return False
