"""Conversion losses: counted by kind, said once."""

import logging

log = logging.getLogger(__name__)


class Notes:
    """What could not be carried from one format into another, and how often.

    The kind reads as the end of "3 ...": `notes.add("quads became rectangles", 3)`.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def add(self, what: str, count: int = 1) -> None:
        """Count losses of one kind; none are no loss."""
        if count:
            self.counts[what] = self.counts.get(what, 0) + int(count)

    def report(self) -> None:
        """Log one line per kind, in the order they were met."""
        for what, count in self.counts.items():
            log.warning("%d %s", count, what)
