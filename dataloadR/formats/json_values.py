"""JSON values that know where they stand, so that each error names file and key."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dataloadR.label_lines import MAX_COORDINATE, SHOWN, AnnotationError, to_utf8
from utils.arrays import F64
from utils.files import read_bytes


class Value:
    """A value of a JSON file; whatever it is asked for and is not, is an AnnotationError."""

    def __init__(self, file: Path, place: str, value: Any) -> None:
        self.file = file
        self.place = place  # such as annotations[3].bbox; empty at the top
        self.value = value

    @property
    def where(self) -> str:
        """Return file and key for messages."""
        return f"{self.file}: {self.place}" if self.place else str(self.file)

    def error(self, expected: str) -> AnnotationError:
        """Return the error that says what was expected here."""
        shown = repr(self.value)
        shown = shown if len(shown) <= SHOWN else shown[:SHOWN] + "..."
        return AnnotationError(f"{self.where}: expected {expected}, got {shown}")

    def find(self, key: str) -> "Value | None":
        """Return a value of an object; None where it is missing or null."""
        if not isinstance(self.value, dict):
            raise self.error("an object with keys")
        value = self.value.get(key)
        return None if value is None else Value(self.file, f"{self.place}.{key}".lstrip("."), value)

    def key(self, key: str) -> "Value":
        """Return a value of an object that has to be there."""
        found = self.find(key)
        if found is None:
            raise AnnotationError(f"{self.where}: expected the key {key!r}, which is missing or null")
        return found

    def items(self) -> Iterator["Value"]:
        """Yield the values of a list."""
        if not isinstance(self.value, list):
            raise self.error("a list")
        for k, value in enumerate(self.value):
            yield Value(self.file, f"{self.place}[{k}]", value)

    def number(self) -> float:
        """Return a finite number within the range of coordinates."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.error("a number")
        if not abs(self.value) <= MAX_COORDINATE:  # NaN, too
            raise self.error(f"a finite number of at most {MAX_COORDINATE:.0e}")
        return float(self.value)

    def whole(self) -> int:
        """Return a whole number from 0."""
        number = self.number()
        if number < 0 or not number.is_integer():
            raise self.error("a whole number")
        return int(number)

    def length(self) -> float:
        """Return a number from 0."""
        if self.number() < 0:
            raise self.error("a number of at least 0")
        return self.number()

    def identity(self) -> int | str:
        """Return what a row of another list is referred to by."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | str):
            raise self.error("an id, whole number or text")
        return self.value

    def text(self) -> str:
        """Return a text that is not blank and can be written to files."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.error("a text")
        if any(ord(letter) < ord(" ") or "\ud800" <= letter <= "\udfff" for letter in self.value):
            raise self.error("a text without control characters and halves of letters")
        return self.value.strip()

    def is_true(self) -> bool:
        """Return a truth value, written as such or as 0 or 1."""
        if self.value not in (0, 1):
            raise self.error("true or false")
        return bool(self.value)

    def numbers(self, count: int) -> list[float]:
        """Return a list of so many numbers."""
        values = [value.number() for value in self.items()]
        if len(values) != count:
            raise self.error(f"{count} numbers")
        return values

    def points(self) -> F64:
        """Return a list of pairs as points (V, 2)."""
        return np.array([pair.numbers(2) for pair in self.items()], np.float64).reshape(-1, 2)


def load_json(path: Path) -> Value:
    """Return the contents of a JSON file in UTF-8, or in UTF-16 with its mark.

    Raises:
        AnnotationError: it cannot be read, or is no JSON; says the line.
    """
    try:
        data = to_utf8(read_bytes(path))
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return Value(path, "", json.loads(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AnnotationError(f"{path}:{line}: expected UTF-8 text") from None
    except json.JSONDecodeError as error:
        message = f"expected JSON, got {error.msg[0].lower()}{error.msg[1:]} in column {error.colno}"
        raise AnnotationError(f"{path}:{error.lineno}: {message}") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, lists in lists in lists
        raise AnnotationError(f"{path}: expected JSON of an ordinary depth and numbers: {error}") from None


def pixel_size(node: Value, height: str, width: str) -> tuple[int, int] | None:
    """Return height and width of an image, or None where they are not said."""
    rows, columns = node.find(height), node.find(width)
    if rows is None or columns is None:
        return None
    size = rows.whole(), columns.whole()
    return size if math.prod(size) else None
