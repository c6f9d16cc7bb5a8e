"""Damaged files: an error that names file and line, or a reading that is whole; nothing else ever."""

import re
from pathlib import Path

import numpy as np
import pytest

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from tests.datasets_tools.formats.xml_samples import SAMPLES, Reader
from utils.errors import Faults, UserError

PER_FORMAT = 170  # 1020 in all
VALUES = [
    b"NaN", b"inf", b"-inf", b"1e308", b"1e999", b"-1", b"0", b"", b" ", b"1,2", b"0x10", b"9" * 400, b"abc",
    b"100000000", b"1_0", b"\xff\xfe", b"\x00", b"&amp;", b"&undefined;", b"&#0;", b"&#x1F6A2;", b"2",
    b"\xe8\x88\xb9",
    b"<a/>", b"]]>", b"<!-- -->", b"<![CDATA[7]]>", b"1;2", b"..", b"\n\n",
]  # fmt: skip
ENCODINGS = [b"utf-16", b"gbk", b"big5", b"hex", b"idna", b"undefined", b"zip", b"utf-7", b"cp037", b"x" * 50]


def delete(rng: np.random.Generator, data: bytes) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + data[at + int(rng.integers(1, 30)) :]


def change_byte(rng: np.random.Generator, data: bytes) -> bytes:
    at = int(rng.integers(len(data)))
    return data[:at] + bytes([int(rng.integers(256))]) + data[at + 1 :]


def truncate(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data)))]


def pieces(data: bytes, pattern: bytes) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(pattern, data)]


def swap(rng: np.random.Generator, data: bytes, pattern: bytes) -> bytes:
    spans = pieces(data, pattern)
    if len(spans) < 2:
        return data
    (a, b), (c, d) = sorted(spans[k] for k in rng.choice(len(spans), 2, replace=False))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def swap_tags(rng: np.random.Generator, data: bytes) -> bytes:
    return swap(rng, data, rb"</?[\w]+")


def swap_values(rng: np.random.Generator, data: bytes) -> bytes:
    return swap(rng, data, rb"""(?<=[>"])[^<>"\n]+(?=[<"])""")


def change_value(rng: np.random.Generator, data: bytes) -> bytes:
    spans = pieces(data, rb"""(?<=[>"])[^<>"\n]+(?=[<"])|[-\d.]+""") or [(0, 0)]
    start, end = spans[int(rng.integers(len(spans)))]
    return data[:start] + VALUES[int(rng.integers(len(VALUES)))] + data[end:]


def drop_line(rng: np.random.Generator, data: bytes) -> bytes:
    lines = data.split(b"\n")
    del lines[int(rng.integers(len(lines)))]
    return b"\n".join(lines)


def double_lines(rng: np.random.Generator, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = int(rng.integers(len(lines)))
    some = lines[at : at + int(rng.integers(1, 12))]
    return b"\n".join(lines[:at] + some + lines[at:])


def change_encoding(rng: np.random.Generator, data: bytes) -> bytes:
    name = ENCODINGS[int(rng.integers(len(ENCODINGS)))]
    rest = data.partition(b"?>\n")[2] if b"?>" in data else data
    return b'<?xml version="1.0" encoding="' + name + b'"?>' + rest


MUTATIONS = [
    delete, change_byte, truncate, swap_tags, swap_values, change_value, change_value, drop_line,
    double_lines, change_encoding,
]  # fmt: skip


def is_whole(image: LabelledImage) -> bool:
    count = len(image.quads)
    return (
        image.quads.shape == (count, 4, 2)
        and image.quads.dtype == np.float64
        and bool((np.abs(image.quads) < 1e8).all())
        and len(image.classes) == count
        and all(name.strip() == name and name and "\n" not in name for name in image.classes)
        and image.difficult.shape == (count,)
        and set(image.difficult.tolist()) <= {0, 1, 2}
        and bool(image.name)
        and (image.size is None or min(image.size) > 0)
    )


def error_of(reader: Reader, path: Path) -> str | None:
    try:
        list(reader(path, Faults(False), Notes()))
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("form", SAMPLES)
def test_damaged_files(form: str, tmp_path: Path) -> None:
    reader, sample = SAMPLES[form]
    rng = np.random.default_rng(list(form.encode()))
    path = tmp_path / "P1.xml"
    errors = 0
    for _ in range(PER_FORMAT):
        data = sample.encode()
        for _ in range(int(rng.integers(1, 3))):
            mutate = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
            data = mutate(rng, data) or b"<"
        path.write_bytes(data)
        message = error_of(reader, path)
        faults = Faults(skip=message is not None)
        images = list(reader(path, faults, Notes()))
        if message is not None:
            errors += 1
            assert re.match(rf"{re.escape(str(path))}:\d+: expected ", message), data
            assert len(message) < 300 + 2 * len(str(path)), data
            assert "\n" not in message
            assert message == faults.messages[0]
        assert all(is_whole(image) for image in images), data
    assert PER_FORMAT * 0.3 < errors < PER_FORMAT


def test_elements_in_elements(tmp_path: Path) -> None:
    path = tmp_path / "P1.xml"
    path.write_text("<annotation>" + "<object>" * 200_000)
    with pytest.raises(UserError, match=r"P1.xml:1: expected at most 100 elements in each other"):
        list(SAMPLES["fair1m"][0](path, Faults(False), Notes()))
