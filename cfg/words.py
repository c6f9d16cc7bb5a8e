"""Parsing of command-line words into the values that the schema asks for.

A list needs no brackets, text no quotes: ``predict.classes=ship,plane``, ``data.classes=1,2``.
"""

import re
from functools import cache
from typing import Any

import yaml

from cfg.schema import Config

SettingSchema = dict[str, Any]  # JSON schema of one setting
NONE = ("", "none", "null", "~")
TRUTH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class Loader(yaml.SafeLoader):
    """Safe YAML that also reads ``1e-3`` as a number, which YAML 1.1 takes for text."""


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


@cache
def kinds() -> dict[str, SettingSchema]:
    """Return the JSON schema of each setting, by ``section.key``: type, limits, default and meaning."""
    return {
        f"{name}.{key}": kind
        for name, section in Config()
        for key, kind in type(section).model_json_schema()["properties"].items()
    }


def variants(kind: SettingSchema) -> dict[str, SettingSchema]:
    """Return the schemas of the types that a setting may have, by their names in JSON schema."""
    return {one["type"]: one for one in kind.get("anyOf", [kind]) if "type" in one}


def value_of(text: str, kind: SettingSchema) -> Any:
    """Return the value that a word means for a setting; what does not fit is left for validation to refuse.

    >>> value_of("ship,plane", {"type": "array", "items": {"type": "string"}})
    ['ship', 'plane']
    """
    types, text = variants(kind), text.strip()
    scalars = set(types) - {"array", "object", "null"}
    if "null" in types and text.lower() in NONE:
        return None
    if "object" in types and text.startswith("{"):
        return _mapping_of(text)
    if "array" in types and (not scalars or "," in text or text.startswith(("[", "("))):
        return _list_of(text, types["array"])
    return _scalar_of(text, next((types[name] for name in types if name in scalars), {}))


def _list_of(text: str, kind: SettingSchema) -> list[Any]:
    if text.lower() in NONE:
        return []
    fixed = kind.get("prefixItems", [])
    items = kind.get("items") or (fixed or [{}])[-1]
    return [_scalar_of(part, (fixed[k:] or [items])[0]) for k, part in enumerate(_split(text))]


def _mapping_of(text: str) -> Any:
    """Return ``{a: 0.5, b: 1}`` as it is read, or the text where it cannot be."""
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError:
        return text


def _split(text: str) -> list[str]:
    """Return the parts of ``a,b``, ``[a, 'b, c']`` or ``(a, b)``."""
    bare = text[1:-1] if (text[:1], text[-1:]) in (("[", "]"), ("(", ")")) else text
    try:
        parts = yaml.load(f"[{bare}]", Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        parts = None
    if isinstance(parts, list) and all(isinstance(part, str) for part in parts):
        return parts
    return [part.strip() for part in bare.split(",") if part.strip()]


def _scalar_of(text: str, kind: SettingSchema) -> Any:
    match kind.get("type"):
        case "boolean":
            return TRUTH.get(text.lower(), text)
        case "integer" | "number":
            return _number(text)
        case _:
            return _text(text, kind.get("enum", ()))


def _number(text: str) -> int | float | str:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _text(text: str, choices: list[str]) -> str:
    """Return text as it stands, without the quotes around it; a choice whatever its capitals."""
    if text[:1] in ("'", '"'):
        try:
            unquoted = yaml.load(text, Loader=yaml.BaseLoader)
        except yaml.YAMLError:
            unquoted = None
        text = unquoted if isinstance(unquoted, str) else text
    return next((choice for choice in choices if choice.lower() == text.lower()), text)
