"""Listing of all settings as text for a terminal: type or choices, default and meaning."""

import textwrap
from collections.abc import Sequence
from typing import Any

from cfg.schema import Config
from cfg.suggest import suggestion
from cfg.words import SettingSchema, kinds

WIDEST = 100  # columns
INDENT = "      "
NAMES = {"integer": "whole number", "number": "number", "string": "text"}


def settings_text(words: Sequence[str] = (), width: int = WIDEST) -> str:
    """Return every setting, grouped by section; with words, those whose key or meaning contains one.

    Args:
        words: as they were typed, in any case.
        width: of the terminal, in columns.
    """
    wanted = [word.lower() for word in words]
    chosen = {
        key: kind
        for key, kind in kinds().items()
        if not wanted or any(word in f"{key} {_meaning(kind)}".lower() for word in wanted)
    }
    blocks = []
    for section, field in Config.model_fields.items():
        entries = [_entry(key, kind, width) for key, kind in chosen.items() if key.startswith(f"{section}.")]
        head = _wrap(f"{section}: {field.description}", width)
        blocks += [f"{head}\n\n{''.join(entries)}"] * bool(entries)
    if not blocks:
        searched = " or ".join(map(repr, words))
        return f"no setting has {searched} in its key or meaning; {suggestion(words[0])}\n"
    return "\n".join(blocks)


def default_text(value: Any) -> str:
    """Return a default as it is typed: none, a list with commas, or the value."""
    match value:
        case list():
            return ",".join(map(default_text, value)) or "none"
        case None:
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def kind_text(kind: SettingSchema) -> str:
    """Return what a setting may be: choices, a number with its limits, a list.

    >>> kind_text({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]})
    'whole number from 1, or none'
    """
    return ", or ".join(_one_kind(one) for one in kind.get("anyOf", [kind]))


def _one_kind(kind: SettingSchema) -> str:
    match kind:
        case {"type": "null"}:
            return "none"
        case {"type": "boolean"}:
            return "true, false"
        case {"enum": choices}:
            return ", ".join(choices)
        case {"type": "array", "prefixItems": items}:
            return f"{len(items)} values, each a {_one_kind(items[0])}"
        case {"type": "array", "items": item}:
            return f"list of: {_one_kind(item)}"
        case _:
            return NAMES.get(kind.get("type", ""), "value") + _limits(kind)


def _limits(kind: SettingSchema) -> str:
    low, high = kind.get("minimum"), kind.get("maximum")
    above, below = kind.get("exclusiveMinimum"), kind.get("exclusiveMaximum")
    least = "" if low is None else f"from {low:g}"
    least = least if above is None else f"above {above:g}"
    most = "" if high is None else f"to {high:g}"
    most = most if below is None else f"below {below:g}"
    return "".join(f" {limit}" for limit in (least, most) if limit)


def _entry(key: str, kind: SettingSchema, width: int) -> str:
    head = f"{key}={default_text(kind.get('default'))}  ({kind_text(kind)})"
    lines = _wrap(head, width, "  "), _wrap(_meaning(kind), width, INDENT)
    return "".join(f"{line}\n" for line in lines)


def _wrap(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(
        text,
        min(width, WIDEST),
        initial_indent=indent,
        subsequent_indent=INDENT if indent else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _meaning(kind: SettingSchema) -> str:
    return " ".join(kind.get("description", "").split())
