"""User errors: bad input, described in one clear line; the one kind that is the user's to mend."""

import logging
from collections.abc import Callable
from typing import TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")


class UserError(ValueError):
    """Input that cannot be used: the message names the place, what was found and what was expected."""


def first_line(error: BaseException) -> str:
    """Return the first line of a message of a library, or the name of an error without one."""
    return (str(error) or type(error).__name__).splitlines()[0][:120]


class Faults:
    """What is wrong with the input of one reading: the first stops it, or all are left out and listed."""

    def __init__(self, skip: bool) -> None:
        self.skip = skip
        self.messages: list[str] = []

    def add(self, error: UserError) -> None:
        """Note the error, or raise it where nothing is skipped."""
        if not self.skip:
            raise error
        self.messages.append(str(error))

    def attempt(self, read: Callable[[], T]) -> T | None:
        """Return what `read` returns, or None after a fault."""
        try:
            return read()
        except UserError as error:
            self.add(error)
            return None

    def report(self, what: str) -> None:
        """Log the count and one line per fault."""
        if self.messages:
            lines = "\n".join(f"  {message}" for message in self.messages)
            count = len(self.messages)
            told = "1 file or line" if count == 1 else f"{count} files or lines"
            log.warning("%s: left out %s:\n%s", what, told, lines)
