"""Conversion losses: counted by kind, said once."""

import logging

log = logging.getLogger(__name__)


class Notes:
    """What could not be carried from one format into another, and how often.

    The kind reads as the end of "3 ...": `notes.add("quads became rectangles", 3)`; of the data set as a
    whole it begins with "data set".
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, what: str, count: int = 1) -> None:
        """Count losses of one kind; none are no loss."""
        if count:
            self.counts[what] = self.counts.get(what, 0) + int(count)

    def report(self) -> None:
        """Log one line per kind, in the order they were met."""
        for line in self.lines():
            log.warning("%s", line)

    def lines(self) -> list[str]:
        """Return a line per kind."""
        return [_line(what, count) for what, count in self.counts.items()]


def _line(what: str, count: int) -> str:
    if count == 1:
        return what if what.startswith("data set") else f"in one case, {what}"
    return f"{count} {what}"
