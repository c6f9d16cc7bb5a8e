"""How a table of variants is tried: files of a format, and the label lines or the error that they become."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from datasets_tools import convert
from utils.errors import UserError

Expected = dict[str, str] | str  # label files by their path and what is in them, or the pattern of an error
Case = tuple[str, dict[str, Any], Expected]  # format, files, expected
HEIGHT, WIDTH = 30, 40
SHIP = "20.5 5 30 9.25 26 18 16.5 13.75 ship 0"
# the box 14 12 10 4 and the rectangle 20 15 10 4, both turned by 30 degrees: cos .8660254, sin .5
TURNED_BOX = "15.669873 9.767949 24.330127 14.767949 22.330127 18.232051 13.669873 13.232051 ship 0"
TURNED = "16.669873 10.767949 25.330127 15.767949 23.330127 19.232051 14.669873 14.232051 ship 0"


def write(root: Path, files: dict[str, Any]) -> Path:
    """Write texts, bytes, JSON values and, for None, images whatever their name ends in."""
    image = cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()
    for name, contents in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(contents, str | bytes):
            path.write_bytes(contents.encode() if isinstance(contents, str) else contents)
        else:
            path.write_bytes(image if contents is None else json.dumps(contents).encode())
    return root


def check(case: Case, folder: Path) -> None:
    """Convert a variant to DOTA, and compare; errors are one line."""
    form, files, expected = case
    source, target = write(folder / "in", files), folder / "out"
    words = [str(source), str(target), "--from", form, "--to", "dota", "--processes", "1"]
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected) as caught:
            convert.main(words)
        assert "\n" not in str(caught.value)
        assert not target.exists()
        return
    convert.main(words)
    found = {p.relative_to(target).as_posix(): p.read_text() for p in target.rglob("labelTxt/*.txt")}
    assert {name: text.splitlines() for name, text in found.items()} == {
        f"{name}.txt".replace("/", "/labelTxt/") if "/" in name else f"labelTxt/{name}.txt": text.splitlines()
        for name, text in expected.items()
    }
