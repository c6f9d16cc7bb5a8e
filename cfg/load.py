"""From files and command-line words to one validated `Config`.

A file and the command line speak the same language: ``section.key``.  In YAML it may be written flat
(``data.root: /data``) or nested (``data: {root: /data}``); on the command line it is ``data.root=/data``.
Later settings win: defaults, then the file, then the command line.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cfg.schema import Config
from cfg.suggest import suggestion
from cfg.words import Loader, kinds, value_of, variants

MANY = 60  # keys that only a list of all settings has
OLD_DEFAULTS = {"predict.rates": [1.0], "data.max_downscale": 2.0, "predict.score_threshold": 0.3}


class ConfigError(ValueError):
    """A setting that cannot be used: the message names its source, its key and what was expected."""


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Return the defaults changed by a YAML file and then by ``section.key=value`` words.

    Raises:
        ConfigError: a file that is missing or no YAML, an unknown key, a value of the wrong type or range.
    """
    file = [] if path is None else [(str(path), _read(Path(path)))]
    return _validated([*file, *_words(overrides)])


def file_words(path: str | Path, sections: Sequence[str] = ()) -> list[str]:
    """Return what a YAML file says, about some sections or (none named) all, as ``section.key=value`` words.

    Raises:
        ConfigError: a file that is missing or no YAML.
    """
    settings = _read(Path(path)).items()
    chosen = [(key, value) for key, value in settings if not sections or key.partition(".")[0] in sections]
    return [f"{key}={json.dumps(value)}" for key, value in chosen]


def save_config(config: Config, path: str | Path) -> None:
    """Write every setting as flat ``section.key`` lines that `load_config` reads back."""
    Path(path).write_text(config_text(config))


def config_settings(config: Config) -> dict[str, Any]:
    """Return every setting by ``section.key``, as JSON has it."""
    return _flatten(config.model_dump(mode="json"))


def config_text(config: Config) -> str:
    """Return every setting as YAML, one ``section.key: value`` a line."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in config_settings(config).items())


def load_config_text(text: str, source: str, overrides: Sequence[str] = ()) -> Config:
    """Read what `config_text` wrote, changed by ``section.key=value`` words.

    Raises:
        ConfigError: as `load_config`.
    """
    return _validated([(source, _without_old_defaults(_flatten(_parse(text, source)))), *_words(overrides)])


def _without_old_defaults(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a list of all settings from before `data.training_scale` says where nobody chose it."""
    if "data.training_scale" in settings or len(settings) < MANY:
        return settings
    return {k: value for k, value in settings.items() if k not in OLD_DEFAULTS or OLD_DEFAULTS[k] != value}


def check_keys(words: Sequence[str], options: Sequence[str] = ()) -> None:
    """Raise a ConfigError that names every ``key=value`` word whose key is no setting.

    Args:
        words: of the command line.
        options: words that the script knows besides, without ``=``, for the suggestion.
    """
    lines = [
        f"command line: unknown key '{key}'; {suggestion(key, options)}"
        for key in (word.partition("=")[0] for word in words)
        if key not in kinds()
    ]
    if lines:
        raise ConfigError("\n".join(lines))


def _validated(changes: Sequence[tuple[str, dict[str, Any]]]) -> Config:
    """Apply changes in order, each a source and its flat settings, to the defaults."""
    settings: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for source, values in changes:
        settings |= values
        sources |= {name: source for key in values for name in (key, key.partition(".")[0])}
    unknown = [key for key in settings if key not in kinds() and key not in Config.model_fields]
    lines = [f"{sources[key]}: unknown key '{key}'; {suggestion(key)}" for key in unknown]
    known = {key: value for key, value in settings.items() if key not in unknown}
    try:
        text = json.dumps(_nest(known), default=str)  # a YAML date is the text it stands for
        config = Config.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise ConfigError("\n".join([*lines, *_explain(error, sources)])) from None
    if lines:
        raise ConfigError("\n".join(lines))
    return config


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ConfigError(f"{file}: no such configuration file")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: expected UTF-8 text: {error}") from None
    return _without_old_defaults(_flatten(_parse(text, str(file))))


def _words(overrides: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    changes = []
    for word in overrides:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"'{word}': expected section.key=value, for example train.epochs=50")
        changes.append(("command line", {key: value_of(value, kinds().get(key, {}))}))
    return changes


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        data = yaml.load(text, Loader=Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected lines 'section.key: value', got {type(data).__name__}")
    return data


def _flatten(data: dict[str, Any]) -> dict[str, Any]:
    """Return settings by ``section.key``; a value may be a mapping itself."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, dict) and "." not in str(key):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[str(key)] = value
    return flat


def _nest(flat: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        section, dot, name = key.partition(".")
        if dot and isinstance(nested.setdefault(section, {}), dict):
            nested[section][name] = value
        else:
            nested[key] = value
    return nested


def _explain(error: ValidationError, sources: dict[str, str]) -> list[str]:
    """One line per problem: where it was set, the key's full name, what is wrong and what was found."""
    lines: dict[str, str] = {}  # by key: of the branches of a union, the first that fits says enough
    for problem in sorted(error.errors(), key=_is_of_the_scalar):
        key = ".".join(str(part) for part in problem["loc"][:2])
        message = f"{_wrong(problem['type'], problem['msg'], key)}, got {problem['input']!r}"
        if not key:  # about several keys at once: the message of `Config` names them
            key, _, message = _wrong(problem["type"], problem["msg"], key).partition(": ")
        lines.setdefault(key, f"{sources.get(key, 'configuration')}: {key}: {message}")
    return list(lines.values())


def _is_of_the_scalar(problem: Any) -> bool:
    """Return whether a list is said to be no number, which is beside the point."""
    return problem["type"] == "int_type" and isinstance(problem["input"], list)


def _wrong(problem: str, message: str, key: str) -> str:
    """Return what is wrong, in words of ours where a list is too long or too short."""
    if problem not in ("missing", "too_short", "too_long"):
        return message.removeprefix("Value error, ")
    array = variants(kinds()[key])["array"]
    return f"expected {array.get('maxItems') or 'one or more'} values"
