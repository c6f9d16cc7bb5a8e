"""Comparison report: a table as text, compare.json, compare.csv, and a page for the browser."""

import json
import math
from pathlib import Path
from typing import Any

from evalR.scoring.compare import Comparison, Row
from evalR.scoring.metrics import json_values
from utils.files import write_json, write_text
from utils.pages import render_page
from utils.tables import write_table

TEMPLATE = Path(__file__).with_name("comparison.html")
SHOWN = 20  # images of the page


def write_comparison(folder: Path, comparison: Comparison, protocol: dict[str, Any]) -> None:
    """Write compare.json, compare.csv and compare.html."""
    values = {
        "protocol": protocol,
        "differences_of_protocol": [str(one) for one in comparison.differences],
        **{f"{name}": str(side.folder) for name, side in zip("ab", comparison.sides, strict=True)},
        "rows": [_plain_row(row) for row in comparison.rows],
        "images": [row._asdict() | {"fewer_errors": row.fewer_errors} for row in comparison.images],
    }
    write_json(folder / "compare.json", values, indent=1)
    write_table(folder / "compare.csv", Row._fields, ([*_plain_row(row).values()] for row in comparison.rows))
    write_text(folder / "compare.html", page(comparison, protocol))


def _plain_row(row: Row) -> dict[str, Any]:
    return {key: json_values(value) for key, value in row._asdict().items()}


def comparison_table(comparison: Comparison, protocol: dict[str, Any]) -> str:
    """Return a table in percent: a line per figure, and how the intervals were made."""
    wide = max(len(row.name) for row in comparison.rows)
    lines = [f"{name}: {side.folder}" for name, side in zip("AB", comparison.sides, strict=True)]
    lines.append(_how(protocol))
    lines.append(f"{'':<{wide}} {'A':>8} {'B':>8} {'B - A':>8}  {'95 % interval':^18} {'B better':>8}")
    for row in comparison.rows:
        sides = f"{signed_percent(row.a):>8} {signed_percent(row.b):>8}"
        values = f"{sides} {signed_percent(row.difference, '+'):>8}"
        interval = f"[{signed_percent(row.low, '+'):>7}, {signed_percent(row.high, '+'):>7}]"
        lines.append(f"{row.name:<{wide}} {values}  {interval:^18} {signed_percent(row.b_better):>8}")
    return "\n".join(lines) + "\n"


def _how(protocol: dict[str, Any]) -> str:
    bootstrap = protocol["bootstrap"]
    return (
        f"{protocol['metric']}, percent; the mean, and AP50 of each class; intervals of B - A by resampling "
        f"{protocol['images']} images {bootstrap['draws']} times with replacement, seed {bootstrap['seed']}"
    )


def signed_percent(value: float, sign: str = "") -> str:
    """Return a share in percent with two decimals, or n/a."""
    return "n/a" if math.isnan(value) else format(100 * value, f"{sign}.2f")


def page(comparison: Comparison, protocol: dict[str, Any]) -> str:
    """Return the page; it needs no network, and what comes from files is escaped."""
    ends = [abs(end) for row in comparison.rows for end in (row.low, row.high, row.difference)]
    reach = max([end for end in ends if not math.isnan(end)], default=0.0) or 0.01
    values = {
        "sides": dict(zip("AB", comparison.sides, strict=True)),
        "how": _how(protocol),
        "differences": comparison.differences,
        "rows": [(row, _bar(row, reach)) for row in comparison.rows],
        "reach": reach,
        "images": comparison.images[:SHOWN],
        "more": len(comparison.images) - SHOWN,
        "percent": signed_percent,
        "protocol": json.dumps(protocol, indent=1, ensure_ascii=False),
    }
    return render_page(TEMPLATE, values)


def _bar(row: Row, reach: float) -> dict[str, Any] | None:
    """Return where the interval lies on an axis of 200 units with 0 in the middle; None: there is none."""
    if math.isnan(row.low):
        return None
    left, right, middle = (100 + 98 * value / reach for value in (row.low, row.high, row.difference))
    kind = "better" if row.low > 0 else "worse" if row.high < 0 else "open"
    return {
        "x": round(left, 1),
        "width": round(max(right - left, 1), 1),
        "at": round(middle, 1),
        "kind": kind,
    }
