from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dataloadR.label_lines import AnnotationError
from datasets_tools.doctor.files import locate_splits, read_entries
from datasets_tools.doctor.labels import edit_distance, read_labelled
from tests.dataloadR.damaged import mutate
from tests.datasets_tools.doctor.planted import box


def slow_distance(first: str, second: str) -> int:
    """By the definition, letter by letter from the end."""

    @cache
    def between(i: int, j: int) -> int:
        if min(i, j) == 0:
            return max(i, j)
        ways = [
            between(i - 1, j) + 1,
            between(i, j - 1) + 1,
            between(i - 1, j - 1) + (first[i - 1] != second[j - 1]),
        ]
        if i > 1 and j > 1 and first[i - 2 : i] == second[j - 2 : j][::-1]:
            ways.append(between(i - 2, j - 2) + 1)
        return min(ways)

    return between(len(first), len(second))


def test_the_edit_distance_agrees_with_its_definition() -> None:
    rng = np.random.default_rng(0)
    words = ["", *("".join(rng.choice(list("abc"), rng.integers(1, 7))) for _ in range(60))]
    for first in words:
        for second in words[::3]:
            assert edit_distance(first, second) == slow_distance(first, second)


def class_findings(root: Path, counts: dict[str, int], *classes: str) -> dict[str, str]:
    for folder in ("images", "labelTxt"):
        (root / folder).mkdir(exist_ok=True)
    (root / "images" / "p.png").write_bytes(b"")
    lines = [box(20, 30 + n, name) for name, count in counts.items() for n in range(count)]
    (root / "labelTxt" / "p.txt").write_text("\n".join(lines))
    entries, _, faults = read_entries(root, locate_splits(root))
    _, findings = read_labelled(root, entries, classes, faults)
    return {finding.code: finding.detail for finding in findings}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"ship": 50, "shpi": 1}, {"misspelt-class": "shpi (1) beside ship (50)"}),
        ({"ship": 50, "shop": 6}, {}),  # not rare enough to be a slip
        ({"car": 90, "van": 2}, {}),  # short words that differ in two letters
        ({"small-vehicle": 60, "large-vehicle": 2}, {}),
        (
            {"small-vehicle": 60, "small_vehicle": 40},
            {"class-case": "small_vehicle (40) beside small-vehicle (60)"},
        ),
        ({"class1": 60, "class2": 1}, {}),
        ({}, {"empty-label": "", "no-objects": ""}),
    ],
)
def test_slips_in_class_names(tmp_path: Path, counts: dict[str, int], expected: dict[str, str]) -> None:
    assert class_findings(tmp_path, counts) == expected


def test_classes_that_are_given_are_right(tmp_path: Path) -> None:
    counts = {"ship": 50, "shp": 2, "plane": 1}
    assert class_findings(tmp_path, counts, "plane", "shp", "ship") == {
        "misspelt-class": "shp (2) beside ship (50)"
    }
    assert class_findings(tmp_path, counts, "plane", "ship") == {"unknown-class": "shp (2), like ship"}


def test_damaged_lines_are_found_or_read(tmp_path: Path) -> None:
    """Each line is an object, a header, or one finding; nothing else happens."""
    rng = np.random.default_rng(1)
    for folder in ("images", "labelTxt"):
        (tmp_path / folder).mkdir()
    lines = [mutate(box(20, 30).encode(), rng) for _ in range(2000)]
    (tmp_path / "images" / "p.png").write_bytes(b"")
    (tmp_path / "labelTxt" / "p.txt").write_bytes(b"\n".join(lines))
    entries, _, faults = read_entries(tmp_path, locate_splits(tmp_path))
    data, findings = read_labelled(tmp_path, entries, (), faults)
    bad = sum(finding.total for finding in findings if finding.code in ("malformed-line", "wrong-flag"))
    assert bad > 1000
    assert len(data.objects.quads) > 200
    assert bad + len(data.objects.quads) == sum(bool(line.strip()) for line in lines)
    places = [place for finding in findings if finding.code == "malformed-line" for place in finding.places]
    assert all(place.startswith("labelTxt/p.txt:") for place in places)


def test_what_is_no_data_set_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="expected images/ and labelTxt/"):
        locate_splits(tmp_path)
