"""Convert with --clip, and what YOLO's trainers make of quads beyond their image."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from datasets_tools.convert import main

INSIDE = "10 10 30 12 28 24 9 20 ship 1"
CORNER = "-4 -4 20 -4 20 20 -4 20 ship 0"  # in shares: centre and sides stay within 0 and 1
WIDE = "-4 10 44 10 44 20 -4 20 plane 0"
OUTSIDE = "-20 2 -5 2 -5 9 -20 9 plane 0"


def data(root: Path, **lines: list[str]) -> Path:
    for folder in ("images", "labelTxt"):
        (root / folder).mkdir(parents=True)
    for name, texts in lines.items():
        assert cv2.imwrite(str(root / f"images/{name}.png"), np.zeros((30, 40, 3), np.uint8))
        (root / f"labelTxt/{name}.txt").write_text("".join(f"{text}\n" for text in texts))
    return root


def run(source: Path, target: Path, form: str, *options: str) -> None:
    main([str(source), str(target), "--from", "dota", "--to", form, "--processes", "1", *options])


def test_images_that_ultralytics_would_drop_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = data(tmp_path / "in", a=[INSIDE, WIDE, WIDE], b=[OUTSIDE], c=[CORNER, INSIDE], d=[])
    run(source, tmp_path / "out", "yolo-obb")
    said = "2 images have objects beyond the border, and Ultralytics leaves such images out whole; see --clip"
    assert said in caplog.text
    caplog.clear()
    run(source, tmp_path / "clipped", "yolo-obb", "--clip")
    assert "Ultralytics" not in caplog.text
    assert "3 quads were clipped to their image" in caplog.text
    assert "in one case, objects were left out, as they lie outside their image" in caplog.text
    rows = [
        [float(field) for field in line.split()]
        for path in sorted((tmp_path / "clipped/labels").glob("*.txt"))
        for line in path.read_text().splitlines()
    ]
    assert [len(row) for row in rows] == [9] * 5
    corners = {tuple(corner) for corner in np.reshape(rows[1][1:], (4, 2)).round(6).tolist()}
    assert corners == {(x, y) for x in (0, 1) for y in (0.333333, 0.666667)}
    assert np.min(rows) >= 0
    assert np.max([row[1:] for row in rows]) <= 1


def test_other_formats_are_clipped_too(tmp_path: Path) -> None:
    """DOTA's, which needs no sizes otherwise; flags and classes stay with their objects."""
    source = data(tmp_path / "in", a=[OUTSIDE, INSIDE, WIDE])
    run(source, tmp_path / "out", "dota", "--clip")
    first, second = (tmp_path / "out/labelTxt/a.txt").read_text().splitlines()
    assert first == INSIDE
    numbers = np.array(second.split()[:8], float).reshape(4, 2)
    assert {tuple(point) for point in numbers.tolist()} == {(0, 10), (40, 10), (40, 20), (0, 20)}
    assert second.endswith("plane 0")
