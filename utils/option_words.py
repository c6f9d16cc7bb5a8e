"""Words of a command line: options in each of their spellings, settings, and everything else.

An option is ``--size 800``, ``--size=800`` or ``size=800``; several values are ``--rates 0.5 1``,
``--rates 0.5,1`` or ``rates=0.5,1``.  A setting is ``train.epochs=3``, ``--train.epochs=3`` or
``--train.epochs 3``.
"""

import argparse
import os
from collections import deque
from collections.abc import Iterable, Sequence

from cfg.words import TRUTH, kinds
from utils.errors import UserError

SEVERAL = ("+", "*")


class Words:
    """Sorts the words of one command line; `rest` is for argparse, `settings` are ``section.key=value``."""

    def __init__(self, parser: argparse.ArgumentParser, has_settings: bool) -> None:
        known = parser._option_string_actions  # noqa: SLF001 - argparse has no public list of its options
        self.options = {_plain(text[2:]): action for text, action in known.items() if text.startswith("--")}
        self.has_settings = has_settings
        self.rest: list[str] = []
        self.settings: list[str] = []
        self._given: list[
            str
        ] = []  # after the rest: an option with several values would take files as values
        self._open: argparse.Action | None = None  # an option whose values follow

    def sort(self, words: Sequence[str]) -> "Words":
        """Sort all words; those behind ``--`` are files."""
        queue = deque(words)
        while queue and queue[0] != "--":
            word = queue.popleft()
            if word.startswith("--"):
                self._open = None
                self._dashed(word, queue)
            else:
                self._undashed(word)
        self.rest += [*self._given, *queue]
        return self

    def _dashed(self, word: str, queue: deque[str]) -> None:
        name, equals, value = word[2:].partition("=")
        option = self._find(name)
        if option is None:
            self._dashed_setting(word, queue)
        elif equals:
            self._give(option, value)
        elif option.nargs in SEVERAL:
            self._open = option
            self.rest.append(option.option_strings[-1])  # which may have been typed in part
        else:
            self.rest += [word, *_pop(queue if option.nargs is None else None)]

    def _dashed_setting(self, word: str, queue: deque[str]) -> None:
        name, equals, value = word[2:].partition("=")
        if not self.has_settings or (
            not equals and any(key.startswith(_plain(name)) for key in self.options)
        ):
            self.rest.append(word)  # argparse knows it, or says that it does not
        elif equals or name not in kinds():
            self.settings.append(f"{name}={value}")
        elif kinds()[name].get("type") == "boolean" and not (queue and queue[0].lower() in TRUTH):
            self.settings.append(f"{name}=true")
        elif queue and not queue[0].startswith("--"):
            self.settings.append(f"{name}={queue.popleft()}")
        else:
            raise UserError(f"{word}: expected a value behind it")

    def _undashed(self, word: str) -> None:
        name, equals, value = word.partition("=")
        option = self.options.get(_plain(name)) if equals else None
        takes_pairs = self._open is not None and "=" in str(self._open.metavar)
        is_named = option is not None or (self.has_settings and name in kinds())
        if self._open is not None and (takes_pairs or not is_named):
            self.rest += _parts(word)
        elif not equals or word.startswith("-") or os.path.exists(word):  # noqa: PTH110 - raises never
            self.rest.append(word)
        elif option is not None:
            self._give(option, value)
        elif self.has_settings:
            self.settings.append(word)
        else:
            self.rest.append(word)

    def _give(self, option: argparse.Action, value: str) -> None:
        flag = option.option_strings[-1]
        if option.nargs == 0:
            if value.lower() not in TRUTH:
                raise UserError(f"{flag.lstrip('-')}: expected true or false, got {value!r}")
            self._given += [flag] * TRUTH[value.lower()]
        elif option.nargs in SEVERAL:
            self._given += [flag, *_parts(value)]
        else:
            repeated = isinstance(option.default, list)  # of action="append", one value each
            self._given += [f"{flag}={part}" for part in (_parts(value) if repeated else [value])]

    def _find(self, name: str) -> argparse.Action | None:
        """Return the option of a name or of its beginning, which argparse takes as well."""
        plain = _plain(name)
        begun = [key for key in self.options if key.startswith(plain)]
        return self.options.get(plain) or (self.options[begun[0]] if plain and len(begun) == 1 else None)


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pop(queue: deque[str] | None) -> Iterable[str]:
    return [queue.popleft()] if queue else []
