"""Hostile files: images that lie, damaged labels, checkpoints, results and folders."""

import os
import pickle
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Damage = Callable[[Path], object]  # of a file that is there
SECRET = b"TOP SECRET"  # stands in a file beside the data set; no output may have it
JUNK = np.random.default_rng(0).bytes(5000)
NUMBER = re.compile(rb"-?\d+(\.\d+)?")
DEEP = {".json": b"[", ".xml": b"<a>", ".yaml": b"{a: ", ".txt": b"1 "}
BOMB = {
    ".xml": b'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (c + 1, b"&%c;" % c * 10) for c in b"abcdefghi")
    + b"]><annotation><filename>&j;</filename></annotation>",
    ".yaml": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c]\n" % (c + 1, c + 1, c, c) for c in b"abcdefghijklmnopqrst"),
}


def lying_images(url: str) -> dict[str, bytes]:
    """Return what files hold that are called like images, by name; who believes them asks `url`."""
    vrt = '<VRTDataset rasterXSize="{0}" rasterYSize="{0}"><VRTRasterBand dataType="Byte" band="1">{1}'
    end = "</VRTRasterBand></VRTDataset>"
    source = "<SimpleSource><SourceFilename>{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    wms = f"<GDAL_WMS><Service name='TMS'><ServerUrl>{url}/$z</ServerUrl></Service></GDAL_WMS>"
    return {
        "empty": b"",
        "zeros": bytes(4096),
        "cut jpeg": b"\xff\xd8\xff\xe0" + bytes(100),
        "cut png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "cut tiff": b"II*\0\x08\0\0\0\xff\xff" + bytes(100),
        "remote vrt": (vrt.format(20, source.format(f"/vsicurl/{url}/a.tif")) + end).encode(),
        "local vrt": (vrt.format(20, source.format("../../../../secret.png")) + end).encode(),
        "vast vrt": (vrt.format(2_000_000_000, "") + end).encode(),
        "wms": wms.encode(),
        "noise": JUNK,
    }


def png(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size, and that has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part))
        for part in (header, b"IDAT", b"IEND")
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(width: int, height: int) -> bytes:
    """Return a TIFF of one strip that lies beyond its end."""
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 4096), (277, 1), (278, height)]
    tags += [(279, (width * height) & 0xFFFFFFFF)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def vast_images() -> dict[str, bytes]:
    """Return headers that claim absurd sizes, by the name of a file."""
    jpeg = b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03\x01\x11\0\x02\x11\x01\x03\x11\x01\xff\xd9"
    bmp = b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, -(2**31), 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0)
    return {
        "a.png": png(2**31 - 1, 2**31 - 1),
        "b.png": png(60_000, 60_000),
        "a.tif": tiff(2**31, 2**31),
        "b.tif": tiff(300_000, 300_000),
        "a.jpg": jpeg,
        "a.bmp": bmp,
        "a.gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\0;",
    }


def _rewritten(change: Callable[[bytes, str], bytes]) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(change(path.read_bytes(), path.suffix))

    return damage


def _replaced(make: Damage) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def _numbers(word: bytes) -> Damage:
    """Return what puts a word in the place of the numbers of the second half."""
    return _rewritten(lambda data, _: data[: len(data) // 3] + NUMBER.sub(word, data[len(data) // 3 :]))


LABELS: dict[str, Damage] = {
    "cut": _rewritten(lambda data, _: data[: len(data) * 2 // 3]),
    "junk": _rewritten(lambda *_: JUNK),
    "nan": _numbers(b"NaN"),
    "huge": _numbers(b"9" * 400),
    "types": _numbers(b"[[1]]"),
    "deep": _rewritten(lambda _, suffix: DEEP[suffix] * 100_000),
    "bomb": _rewritten(lambda data, suffix: BOMB.get(suffix, data * 20_000)),
    "away": _rewritten(lambda data, _: data.replace(b"P1", b"../secret").replace(b"P 1", b"../../secret")),
    "pipe": _replaced(os.mkfifo),
    "loop": _replaced(lambda path: path.symlink_to(path)),
    "device": _replaced(lambda path: path.symlink_to("/dev/zero")),
    "folder": _replaced(Path.mkdir),
}


class Code:
    """What runs a command in whoever unpickles it without care."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch stray",)


def _state(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Damage:
    def damage(path: Path) -> None:
        torch.save(change(torch.load(path, weights_only=True)), path)

    return damage


def _weights(change: Callable[[torch.Tensor], object]) -> Damage:
    def changed(state: dict[str, Any]) -> dict[str, Any]:
        own = {key: state[key] for key in ("model", "ema") if key in state}
        return {**state, **{key: {k: change(v) for k, v in own[key].items()} for key in own}}

    return _state(changed)


def _not_finite(value: torch.Tensor) -> torch.Tensor:
    return value * float("nan") if value.is_floating_point() else value


CHECKPOINTS: dict[str, Damage] = {
    "empty": _rewritten(lambda *_: b""),
    "cut": _rewritten(lambda data, _: data[: len(data) // 2]),
    "junk": _rewritten(lambda *_: JUNK),
    "changed": _rewritten(lambda data, _: data[:20000] + JUNK + data[20000 + len(JUNK) :]),
    "code": lambda path: path.write_bytes(pickle.dumps({"format": 1, "model": Code()})),
    "keys": _state(lambda state: {key: state[key] for key in ("format", "config", "classes")}),
    "types": _state(lambda state: {key: [7] if key != "format" else state[key] for key in state}),
    "names": _state(lambda state: {**state, "classes": [1, None]}),
    "config": _state(lambda state: {**state, "config": "[" * 100_000}),
    "not finite": _weights(_not_finite),
    "shapes": _weights(lambda value: value[None]),
    "no tensors": _weights(lambda _: "x"),
    "pipe": _replaced(os.mkfifo),
}
LINE = b"P1 0.5 1 1 9 1 9 5 1 5\n"
RESULTS: dict[str, bytes | None] = {  # None: a pipe
    "empty": b"",
    "junk": JUNK,
    "fields": b"P1 0.5 1 1 9\n",
    "nan": LINE.replace(b"9", b"nan"),
    "huge": LINE.replace(b"9", b"9" * 400),
    "score": LINE.replace(b"0.5", b"-1e400"),
    "names": LINE.replace(b"P1", b"../../P1") * 3,
    "long": b"1 " * 1_000_000,
    "pipe": None,
}


def damage_results(folder: Path, name: str) -> None:
    """Put hostile lines into the result files of a folder."""
    for path in folder.glob("*.txt"):
        data = RESULTS[name]
        if data is None:
            _replaced(os.mkfifo)(path)
        else:
            path.write_bytes(data)


def _odd_names(data: Path) -> None:
    image = next((data / "train/images").iterdir())
    for name in ("-rf", "=cmd|' C calc'!A1", "a\nb", "[x]*", "%s%n{}", "<b>&amp;", "\udcff", "é" * 100, " "):
        shutil.copy(image, data / "train/images" / f"{name}.jpg")


def _pipes(data: Path) -> None:
    for path in [*(data / "train/images").iterdir()][:2]:
        _replaced(os.mkfifo)(path)
    LABELS["pipe"](next((data / "val/labelTxt").iterdir()))


def _links(data: Path) -> None:
    (data / "train/images/back").symlink_to(data)
    (data / "train/images/loop.jpg").symlink_to("loop.jpg")
    (data / "train/labelTxt/up").symlink_to("/")


FOLDERS: dict[str, Damage] = {  # of a data set
    "names": _odd_names,
    "pipes": _pipes,
    "links": _links,
    "labels": lambda data: [LABELS["huge"](path) for path in (data / "train/labelTxt").iterdir()],
    "no labels": lambda data: shutil.rmtree(data / "train/labelTxt"),
    "file": lambda data: (shutil.rmtree(data), data.write_bytes(JUNK)),
}
