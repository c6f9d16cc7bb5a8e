"""Interrupts: SIGTERM and Ctrl-C wait for a moment at which nothing is lost."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818 - no error
    """The user or the system asked to end; what was done is saved."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Interrupts:
    """Whether an end was asked for; inside `at_once` it is raised where it happens."""

    def __init__(self) -> None:
        self.asked = 0  # the number of the signal
        self._at_once = False

    def check(self) -> None:
        """Raise Interrupted if an end was asked for."""
        if self.asked:
            raise Interrupted(self.asked)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal end the block wherever it is: nothing in it needs to be finished."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def handle(self, number: int, _: FrameType | None) -> None:
        """Note a signal; a second Ctrl-C does not wait any longer."""
        again = self.asked == signal.SIGINT == number
        self.asked = number
        if again:
            raise KeyboardInterrupt
        if self._at_once:
            raise Interrupted(number)


@contextmanager
def noting_interrupts() -> Iterator[Interrupts]:
    """Yield what notes SIGTERM and SIGINT instead of dying of them; the old handlers come back at the end."""
    interrupts = Interrupts()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, interrupts.handle) for number in numbers]
    try:
        yield interrupts
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
