"""Damaged label files end in one clear error that names the file, or are read; nothing else is left."""

from pathlib import Path

import numpy as np
import pytest

from dataloadR.formats.notes import Notes
from datasets_tools import convert
from datasets_tools.known_formats import format_readers
from tests.datasets_tools.formats.text_samples import SAMPLES
from utils.errors import Faults, UserError

MUTATIONS = 150  # of each of the nine formats
SUFFIXES = (".txt", ".json", ".yaml")
PIECES = [
    b"nan",
    b"-1",
    b"1e400",
    b"99999999999",
    b"null",
    b'"',
    b"{",
    b"]",
    b",",
    b"\xff",
    b"\x00",
    b"\n",
    b" ",
]


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with a part cut out, doubled, or replaced by something that hurts."""
    start = int(rng.integers(0, len(data) + 1))
    end = min(start + int(rng.integers(0, 12)), len(data))
    piece = PIECES[int(rng.integers(0, len(PIECES)))]
    middle = [b"", data[start:end] * 2, piece, bytes([rng.integers(0, 256)])]
    return data[:start] + middle[int(rng.integers(0, len(middle)))] + data[end:]


def error_of(source: Path, target: Path, form: str) -> str | None:
    """Convert, and return the message of the error that a user sees as one line."""
    try:
        convert.main([str(source), str(target), "--from", form, "--to", "dota", "--processes", "1"])
    except UserError as error:
        return str(error)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("form", SAMPLES)
def test_mutated_files_give_a_clear_error_or_labels(form: str, tmp_path: Path) -> None:
    root = SAMPLES[form](tmp_path / "data")
    files = [path for path in sorted(root.rglob("*")) if path.suffix in SUFFIXES and path.stat().st_size]
    rng = np.random.default_rng(11)
    refused = 0
    for k in range(MUTATIONS):
        path = files[k % len(files)]
        original = path.read_bytes()
        path.write_bytes(mutate(original, rng))
        target = tmp_path / f"out{k}"
        message = error_of(root, target, form)
        if message is None:
            check_result(target)
        else:
            refused += 1
            assert str(root) in message or message.startswith("class "), message
            assert "\n" not in message
            assert not target.exists(), message
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
        path.write_bytes(original)
    assert MUTATIONS // 5 < refused < MUTATIONS


def check_result(target: Path) -> None:
    """Read what was written: finite quads, and a class and a flag for each."""
    for image in format_readers((), "degrees")["dota"](target, Faults(skip=False), Notes()):
        assert np.isfinite(image.quads).all()
        assert len(image.classes) == len(image.quads) == len(image.difficult)
