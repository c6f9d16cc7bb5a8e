"""Metadata of an exported file: what its numbers mean, so that who runs it needs no constants."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from utils.errors import UserError
from utils.images import FILL

FORMAT_NAME, MAJOR = "quad-detector", "1"  # grows when a reader of old files would misread new ones
REQUIRED = ("format", "task", "classes", "input", "letterbox", "outputs", "score", "nms")
NUMBERS = (("score", "threshold"), ("nms", "iou"), ("nms", "max_detections"))  # that must be there
PLACES = ("centre", "right-bottom")
STEP = 32  # px; sides of a free input are multiples of it
DEFAULT_THRESHOLD = 0.3
SHOWN = 40  # characters of a value in a message


class Contract(NamedTuple):
    """What the metadata of a file say."""

    classes: tuple[str, ...]
    size: tuple[int, int]  # height, width of the input for which it was made
    step: int  # px
    fill: int  # grey of the padding
    is_centred: bool  # whether the padding is on all sides
    settings: Mapping[str, Any]  # of the training, by `section.key`; none where the file has no `config`
    config: str  # their text
    thresholds: Mapping[str, float] | None  # of the best F1, by class and under *
    values: Mapping[str, Any]  # all of it, by key

    def setting(self, key: str, default: Any) -> Any:
        """Return a setting of the training, or a default where the file says nothing."""
        return self.settings.get(key, default)


def read_contract(texts: Mapping[str, str], path: Path) -> Contract:
    """Return what metadata mean.

    Args:
        texts: JSON by key.
        path: of the file, for messages.

    Raises:
        UserError: metadata of another format, a missing key, or a value that is damaged.
    """
    _check_format(texts, path)
    missing = [key for key in REQUIRED if key not in texts]
    if missing:
        raise UserError(f"{path}: metadata: no {', '.join(missing)}; export the checkpoint again")
    values = {key: _parsed(text, key, path) for key, text in texts.items()}
    config = str(values.get("config", ""))
    try:
        height, width = _sides(values["input"]["size"])
        for key, name in NUMBERS:
            float(values[key][name])
        return Contract(
            _names(values["classes"]),
            (height, width),
            int(values["input"].get("multiple", STEP)),
            int(values["letterbox"].get("fill", FILL)),
            PLACES.index(values["letterbox"]["place"]) == 0,
            _settings_of(config),
            config,
            _thresholds(values.get("thresholds")),
            values,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else first_words(error)
        raise UserError(f"{path}: metadata: damaged: {what}; export the checkpoint again") from None


def first_words(value: object) -> str:
    """Return the beginning of a text."""
    return " ".join(str(value).split())[: 2 * SHOWN]


def _check_format(texts: Mapping[str, str], path: Path) -> None:
    """Raise where a file is of no format, or one that is newer than this reader."""
    if "format" not in texts:
        keys = ", ".join([*texts][:5]) or "none"
        raise UserError(f"{path}: no metadata of export.py: expected the key 'format', found {keys}")
    found = texts["format"].strip().strip('"')
    name, _, version = found.partition("/")
    if name != FORMAT_NAME or version.partition(".")[0] != MAJOR:
        raise UserError(f"{path}: metadata: expected format {FORMAT_NAME}/{MAJOR}, found {found[:SHOWN]}")


def _parsed(text: str, key: str, path: Path) -> Any:
    """Return a value; what other tools wrote under keys of their own may be any text."""
    try:
        return json.loads(text)
    except ValueError:
        if key in (*REQUIRED[2:], "thresholds"):
            raise UserError(f"{path}: metadata: {key}: expected JSON, found {first_words(text)!r}") from None
        return text


def _sides(size: Any) -> tuple[int, int]:
    height, width = (size, size) if isinstance(size, int) else size
    if min(int(height), int(width)) < 1:
        raise ValueError(f"input.size: expected height and width, found {size}")
    return int(height), int(width)


def _names(found: Any) -> tuple[str, ...]:
    names = tuple(found) if isinstance(found, list) else ()
    if not names or not all(isinstance(name, str) and name for name in names) or len({*names}) < len(names):
        raise ValueError(f"classes: expected names, each once, found {found}")
    return names


def _thresholds(found: Any) -> dict[str, float] | None:
    if found is None:
        return None
    if not isinstance(found, dict) or not all(0 <= float(value) <= 1 for value in found.values()):
        raise ValueError(f"thresholds: expected a score from 0 to 1 by class, found {found}")
    return {str(name): float(value) for name, value in found.items()}


def _settings_of(text: str) -> dict[str, Any]:
    """Return settings as `cfg.load.config_text` writes them, `section.key: JSON` a line; skip other lines."""
    settings = {}
    for line in text.splitlines():
        key, _, value = line.partition(": ")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            continue
    return settings
