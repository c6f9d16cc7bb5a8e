"""Notices about a file that many files share: said for the first of them."""

import logging
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


def log_few(logger: logging.Logger, kind: Hashable, most: int, text: str, *args: object) -> None:
    """Log a line of a kind of which `saying_few` lets the first ones pass; without it, all pass.

    Args:
        most: so many of the kind.
    """
    logger.info(text, *args, extra={"kind": kind, "most": most})


@contextmanager
def saying_few(*names: str) -> Iterator[None]:
    """Let those loggers say the first lines of each kind alone, for a call that looks at many files."""
    counts: Counter[Hashable] = Counter()

    def passes(record: logging.LogRecord) -> bool:
        kind, most = getattr(record, "kind", None), getattr(record, "most", 0)
        if kind is None:
            return True
        counts[kind] += 1
        if 1 < most == counts[kind]:
            record.msg += "; further files of this kind are not listed"
        return bool(counts[kind] <= most)

    loggers = [logging.getLogger(name) for name in names]
    for logger in loggers:
        logger.addFilter(passes)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(passes)
