"""Image files with every kind of damage, and label lines with random edits."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

Rng = np.random.Generator


def picture(rng: Rng, suffix: str) -> bytes:
    image = rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)
    ok, data = cv2.imencode(suffix, image)
    assert ok
    return bytes(data.tobytes())


def png(width: int, height: int, pixels: bytes, depth: int = 8) -> bytes:
    """Written chunk by chunk, so that a header may lie."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)),
        (b"IDAT", pixels),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def animation(rng: Rng, form: str) -> bytes:
    frames = [Image.fromarray(rng.integers(0, 256, (24, 40, 3), dtype=np.uint8)) for _ in range(3)]
    file = BytesIO()
    frames[0].save(file, form, save_all=True, append_images=frames[1:])
    return file.getvalue()


def deep(rng: Rng, dtype: type[np.generic]) -> bytes:
    file = BytesIO()
    Image.fromarray(rng.integers(0, 256, (24, 40)).astype(dtype)).save(file, "TIFF")
    return file.getvalue()


def cut(data: bytes, rng: Rng) -> bytes:
    return data[: int(len(data) * rng.uniform(0.3, 0.95))]


# what shows before anything is decoded: left out when the split is read
EARLY: list[tuple[str, Callable[[Rng], bytes]]] = [
    (".jpg", lambda _: b""),
    (".png", lambda _: b""),
    (".jpg", lambda rng: cut(picture(rng, ".jpg"), rng)),
    (".png", lambda rng: cut(picture(rng, ".png"), rng)),
    (".webp", lambda rng: cut(picture(rng, ".webp"), rng)),
    (".bmp", lambda rng: picture(rng, ".bmp")[:20]),
    (".tif", lambda rng: cut(picture(rng, ".tif"), rng)[:60]),
    (".png", lambda rng: rng.bytes(500)),
    (".jpg", lambda rng: rng.bytes(500)),
    (".jpg", lambda rng: b"\xff\xd8" + rng.bytes(500) + b"\xff\xd9"),
    (".gif", lambda rng: b"GIF89a" + rng.bytes(300)),
    (".png", lambda _: b"%PDF-1.7 not an image"),
    (".jpg", lambda _: b"<html>404</html>"),
    (".png", lambda _: png(0, 0, zlib.compress(b""))),
    (".png", lambda _: png(40, 0, zlib.compress(b""))),
    (".gif", lambda rng: animation(rng, "GIF")),
    (".png", lambda rng: animation(rng, "PNG")),
    (".webp", lambda rng: animation(rng, "WEBP")),
    (".tif", lambda rng: deep(rng, np.float32)),
    (".tif", lambda rng: deep(rng, np.int32)),
]
# what only the decoder sees: left out while training
LATE: list[tuple[str, Callable[[Rng], bytes]]] = [
    (".png", lambda rng: png(40, 24, rng.bytes(200))),
    (".png", lambda _: png(40, 24, b"")),
]


def write(folder: Path, kinds: list[tuple[str, Callable[[Rng], bytes]]], count: int) -> list[Path]:
    """Write `count` damaged files, all kinds in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for number in range(count):
        suffix, make = kinds[number % len(kinds)]
        paths.append(folder / f"bad{number:03d}{suffix}")
        paths[-1].write_bytes(make(rng))
    return paths


def mutate(line: bytes, rng: Rng) -> bytes:
    """Change, drop, double or insert a byte, a word or a number; line ends are left out."""
    words = line.split(b" ")
    at = int(rng.integers(len(words)))
    odd = [
        b"nan",
        b"1e400",
        b"-1e39",
        b"",
        b"0x1f",
        b"ship",
        b"99999999999",
        b"1_0",
        b",",
        b"\x00",
        b"\xff",
        b"-1",
    ]
    match int(rng.integers(4)):
        case 0:
            words[at] = odd[int(rng.integers(len(odd)))]
        case 1:
            del words[at]
        case 2:
            words.insert(at, words[int(rng.integers(len(words)))])
        case _:
            letters = bytearray(line)
            letters[int(rng.integers(len(letters)))] = int(rng.integers(256))
            return bytes(letters).replace(b"\n", b"?").replace(b"\r", b"?")
    return b" ".join(words)
