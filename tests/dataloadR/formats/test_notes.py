import logging

import pytest

from dataloadR.formats.notes import Notes


def test_each_kind_is_one_line_with_its_count(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    notes.add("quads became rectangles", 2)
    notes.add("flags were dropped")
    notes.add("quads became rectangles", 3)
    with caplog.at_level(logging.WARNING):
        notes.report()
        notes.add("data set has no images")
        notes.report()
    assert caplog.messages[:2] == ["5 quads became rectangles", "in one case, flags were dropped"]
    assert caplog.messages[-1] == "data set has no images"


def test_nothing_lost_is_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    notes.add("quads became rectangles", 0)
    notes.report()
    assert not caplog.messages
