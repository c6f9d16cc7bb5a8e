"""Tables as CSV."""

import csv
import io

import pytest

from utils.tables import table_text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-a", "-1+2", "@sum(a)", "\ttab", "-", "-1e"])
def test_no_text_is_a_formula(text: str) -> None:
    _, row = csv.reader(io.StringIO(table_text(["name", "value"], [[text, "a-=b"]])))
    assert row == [f"'{text}", "a-=b"]


@pytest.mark.parametrize("value", ["-1", "-0.25", "-1.5e-07", -3, -2.5, 0, "", "7"])
def test_numbers_stay(value: object) -> None:
    _, row = csv.reader(io.StringIO(table_text(["x", "y"], [[value, None]])))
    assert row == [str(value), ""]


def test_no_rows() -> None:
    assert table_text(["a", "b,c"], []) == 'a,"b,c"\n'
