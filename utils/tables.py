"""Tables as CSV, for spreadsheets and statistics."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from utils.files import write_text

FORMULA = ("=", "+", "-", "@", "\t", "\r")
NUMBER = re.compile(r"-[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?")  # below 0


def write_table(path: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write what `table_text` returns."""
    write_text(path, table_text(names, rows))


def table_text(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows below their names as CSV; None is an empty field, and no spreadsheet computes a text."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return text.getvalue()


def _safe(cell: Any) -> Any:
    """Return a cell, behind an apostrophe a text that begins like a formula and is no number of ours.

    Source: OWASP, CSV injection.
    """
    is_formula = isinstance(cell, str) and cell.startswith(FORMULA) and not NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell
