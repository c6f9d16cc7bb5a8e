"""Label lines: DOTA, index-first, and the list files of spec 1.1."""

import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from utils.errors import Faults, UserError
from utils.files import read_bytes

HEADER = re.compile(
    r"""['"]?[A-Za-z][\w .()/-]*['"]?\s*[:\uff1a=]|#"""
)  # `gsd:0.4`, `'gsd':0.4`, `# by hand`
LIST_FIELDS = 15  # x_min y_min x_max y_max class x1 .. y4 ratio angle (spec 1.1)
OLD_LIST_FIELDS = 14  # without the angle, as lists once were
BOX_FIELDS = 5  # x_min y_min x_max y_max class: of horizontal boxes (spec 10.5)
DOTA_FORM = "8 coordinates (4 of a box), a class and a difficult flag"
SHOWN = 80  # characters of a bad line in a message
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")  # as Windows programs write text
FLAGS = {text: flag for flag in (0, 1, 2) for text in (f"{flag}", f"{flag}.0")}
MAX_COORDINATE = 1e7  # pixels; float32 keeps whole pixels up to there, and no raster is larger
MAX_CLASSES = 10_000  # a larger index is a slip, and would make as many classes


class AnnotationError(UserError):
    """Labels that cannot be used; the message names the file and the line."""


class FlagError(AnnotationError):
    """A difficult flag other than 0, 1 and 2."""


class LabelledQuad(NamedTuple):
    """One object of a label file; its class is a name or an index, as written."""

    coordinates: list[float]  # x1 y1 .. x4 y4 pixels
    label: str | int
    difficult: int
    line: int  # counted from 1; of JSON the object
    score: float | None = None  # of a prediction


class WrittenImage(NamedTuple):
    """One image and its objects as written, before classes become indices."""

    image: Path
    labels: Path | None  # the file the objects stand in; None: the image has none
    quads: list[LabelledQuad]


def place_of(labels: str, line: int) -> str:
    """Return where an object stands: file and line, or the key in a JSON file."""
    return f"{labels}: annotations[{line - 1}]" if labels.endswith(".json") else f"{labels}:{line}"


def to_utf8(data: bytes) -> bytes:
    """Return text as UTF-8 without a byte order mark: UTF-16 that has one is changed, all other kept."""
    if not data.startswith(UTF16_MARKS):
        return data.removeprefix(BYTE_ORDER_MARK)
    try:
        return data.decode("utf-16").encode("utf-8")
    except UnicodeError:  # whoever reads it says so
        return data


def read_lines(path: Path, faults: Faults) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line that is not blank; a byte order mark and CRLF are dropped."""
    try:
        data = to_utf8(read_bytes(path))
    except OSError as error:
        faults.add(AnnotationError(f"{path}: cannot be read: {error.strerror}"))
        return
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            stripped = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            faults.add(AnnotationError(f"{path}:{number}: expected UTF-8 text"))
            continue
        if stripped:
            yield number, stripped


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def to_numbers(fields: list[str], names: list[str], place: str) -> list[float]:
    """Convert fields to finite floats, or name the first that is none."""
    try:
        values = [float(field) for field in fields]
    except ValueError:
        bad = next(i for i, field in enumerate(fields) if not _is_number(field))
        raise AnnotationError(f"{place}: expected a number for {names[bad]}, got {fields[bad]!r}") from None
    if not math.isfinite(sum(values)):
        bad = next((i for i, value in enumerate(values) if not math.isfinite(value)), 0)
        raise AnnotationError(f"{place}: expected a finite number for {names[bad]}, got {fields[bad]!r}")
    if max(map(abs, values)) > MAX_COORDINATE:
        bad = next(i for i, value in enumerate(values) if abs(value) > MAX_COORDINATE)
        limit = f"at most {MAX_COORDINATE:.0e} for {names[bad]}"
        raise AnnotationError(f"{place}: expected {limit}, got {fields[bad]!r}")
    return values


CORNERS = [f"{axis}{vertex}" for vertex in "1234" for axis in "xy"]
BOX_CORNERS = (0, 1, 2, 1, 2, 3, 0, 3)  # of x_min y_min x_max y_max, clockwise from the upper left
LIST_NAMES = ["x_min", "y_min", "x_max", "y_max", "the class index", *CORNERS, "the area ratio", "the angle"]


def to_index(text: str, what: str, place: str) -> int:
    """Convert a field to a whole number from 0, or name what it should be."""
    if not _is_number(text) or not float(text).is_integer() or float(text) < 0:
        raise AnnotationError(f"{place}: expected a whole number for {what}, got {text!r}")
    if float(text) >= MAX_CLASSES:
        raise AnnotationError(f"{place}: expected {what} below {MAX_CLASSES}, got {text!r}")
    return int(float(text))


def is_header(text: str) -> bool:
    """Say whether a line is one of DOTA's headers: words, a colon and whatever value, or a comment."""
    return HEADER.match(text) is not None


def to_score(text: str) -> float | None:
    """Return a share with its decimals, as predictions have; None for any other text, flags included."""
    return float(text) if re.fullmatch(r"0\.[0-9]+|1\.0+", text) else None


def parse_line(text: str, path: Path, number: int, scored: bool = False) -> LabelledQuad | None:
    """Return the object of a label line, or None for a header line.

    A line whose 9th field is no number is DOTA, `x1 y1 .. x4 y4 class [difficult]`; else it is
    `class_index x1 y1 .. x4 y4 [difficult]`; `x_min y_min x_max y_max class [difficult]` is a box.

    Args:
        scored: take a score for the flag, as `predict.py` writes it, too.

    Raises:
        AnnotationError: wrong number of fields, no number, not finite, or a flag other than 0, 1 and 2.
    """
    fields = text.split()
    place = f"{path}:{number}"
    if is_header(text):
        return None
    if len(fields) in (BOX_FIELDS, BOX_FIELDS + 1) and not _is_number(fields[4]):
        fields = [*(fields[k] for k in BOX_CORNERS), *fields[4:]]
    if len(fields) not in (9, 10):
        shown = text if len(text) <= SHOWN else text[:SHOWN] + "..."
        raise AnnotationError(f"{place}: expected {DOTA_FORM}, got {len(fields)} fields: {shown!r}")
    label: str | int
    if _is_number(fields[8]):
        label, corners = to_index(fields[0], "the class index", place), fields[1:9]
    else:
        label, corners = fields[8], fields[:8]
    flag = fields[9] if len(fields) == 10 else "0"
    score = to_score(flag) if scored and flag not in FLAGS else None
    flag = "0" if score is not None else flag
    if flag not in FLAGS:
        raise FlagError(f"{place}: expected 0, 1 or 2 for the difficult flag, got {flag!r}")
    return LabelledQuad(to_numbers(corners, CORNERS, place), label, FLAGS[flag], number, score)


def read_label_file(path: Path, faults: Faults, scored: bool = False) -> list[LabelledQuad]:
    """Return the objects of one label file, DOTA or index-first, line by line."""
    parsed = [
        faults.attempt(partial(parse_line, text, path, number, scored))
        for number, text in read_lines(path, faults)
    ]
    return [quad for quad in parsed if quad is not None]


def _looks_like_object(token: str) -> bool:
    """Say whether a token is meant as an object: many commas and nothing but numbers, or the exact count."""
    commas = token.count(",")
    return commas in (LIST_FIELDS - 1, OLD_LIST_FIELDS - 1) or (
        commas >= 4 and all(_is_number(f) for f in token.split(","))
    )


def _parse_token(token: str, path: Path, number: int) -> LabelledQuad:
    place = f"{path}:{number}"
    fields = token.split(",")
    if len(fields) not in (LIST_FIELDS, OLD_LIST_FIELDS, BOX_FIELDS):
        message = f"expected {LIST_FIELDS} comma-separated numbers (5 of a box), got {len(fields)}: {token!r}"
        raise AnnotationError(f"{place}: {message}")
    values = to_numbers(fields, LIST_NAMES[: len(fields)], place)
    corners = values[5:13] or [values[k] for k in BOX_CORNERS]
    return LabelledQuad(corners, to_index(fields[4], "the class index", place), 0, number)


def parse_list_line(text: str, path: Path, number: int) -> tuple[str, list[LabelledQuad]]:
    """Return image path and objects of a list line: trailing tokens are objects, the rest is the path.

    Raises:
        AnnotationError: a token that is not 15 numbers, or no path. Source: spec 1.1.
    """
    tokens: list[str] = []
    rest = text
    while rest and _looks_like_object(last := rest.rsplit(None, 1)[-1]):
        tokens.append(last)
        rest = rest[: -len(last)].rstrip()
    if not rest:
        raise AnnotationError(f"{path}:{number}: expected an image path before the objects")
    for token in rest.split()[1:]:
        if _looks_like_object(token):  # hidden behind a broken one
            raise AnnotationError(f"{path}:{number}: expected {LIST_FIELDS} numbers in {rest.split()[-1]!r}")
    return rest.replace("\\", "/"), [_parse_token(token, path, number) for token in reversed(tokens)]
