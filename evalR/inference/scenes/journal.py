"""Journal of a scene: what is finished of it, kept beside the output until that is written.

A file of records, each with its length and checksum, that is only ever appended to: after the end of the
process at any moment all but the last record is whole.  The first says what the scene, the weights and the
settings were.  Several processes write a file each and read those of all, so their number may change.
"""

import json
import logging
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evalR.inference.load import Trained
from evalR.inference.scenes.tiling import TileDetections
from evalR.inference.slicing import scene_grid
from utils.distributed import rank
from utils.files import file_hash, read_bytes
from utils.stretch import RULE

logger = logging.getLogger(__name__)
FORMAT = 1  # raised when records change their meaning
HEAD = struct.Struct("<II")  # bytes of a record, and their CRC-32
COUNTS = struct.Struct("<qq")  # number of the batch, and of its detections
TYPES = {"quads": "<f8", "scores": "<f4", "labels": "<i8", "cut": "?", "windows": "<f8"}
SHAPES = {"quads": (4, 2), "windows": (4,)}  # of a detection; others are one number
OTHER = "other"  # suffix of what was set aside


class _Content(NamedTuple):
    header: Mapping[str, Any] | None  # None: not even this was finished
    batches: dict[int, TileDetections]
    length: int  # bytes up to the end of the last whole record


class Journal:
    """The finished batches of one scene; `remove` it when the outputs are written.

    Args:
        place: PLACE.0, PLACE.1 and so on are the files of the processes; a hidden name beside the output.
        meaning: of what scene, weights and settings; plain values.
        quiet: log nothing.
    """

    def __init__(self, place: Path, meaning: Mapping[str, Any], quiet: bool = False) -> None:
        self._place = place
        self._quiet = quiet
        self._meaning = json.loads(json.dumps(meaning))
        self._own = Path(f"{place}.{rank()}")
        self._length = 0  # bytes of the own file that are whole

    def read(self) -> dict[int, TileDetections]:
        """Return the finished batches of all processes; journals of another meaning are set aside."""
        done: dict[int, TileDetections] = {}
        for path in self._files():
            content = _read(path)
            if content.header is not None and content.header != self._meaning:
                self._set_aside(path, content.header)
                continue
            done |= content.batches
            if path == self._own:
                self._length = content.length
        if done and not self._quiet:
            logger.info("%s: going on, %d batches of tiles are done", self._place, len(done))
        return done

    def append(self, number: int, found: TileDetections) -> None:
        """Keep a finished batch."""
        if not self._length:
            self._own.parent.mkdir(parents=True, exist_ok=True)
            self._own.unlink(missing_ok=True)
            self._write(json.dumps(self._meaning).encode())
        self._write(_pack(number, found))

    def remove(self) -> None:
        """Forget all: the outputs are written."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def _write(self, record: bytes) -> None:
        with self._own.open("r+b" if self._length else "wb") as file:
            file.seek(self._length)
            file.truncate()  # what a process that was killed had begun
            file.write(HEAD.pack(len(record), zlib.crc32(record)) + record)
        self._length += HEAD.size + len(record)

    def _files(self) -> list[Path]:
        found = self._place.parent.glob(f"{_escaped(self._place.name)}.*")
        return sorted(path for path in found if path.suffix[1:].isdigit())

    def _set_aside(self, path: Path, header: Mapping[str, Any]) -> None:
        keys = sorted(key for key in {*header, *self._meaning} if header.get(key) != self._meaning.get(key))
        target = path.with_name(f"{path.name}.{OTHER}")
        if not self._quiet:
            logger.warning("%s: of another %s; set aside as %s", path, " and ".join(keys), target.name)
        path.replace(target)


def scene_meaning(source: Path, trained: Trained) -> dict[str, Any]:
    """Return what the finished tiles of a scene depend on: the file, the weights and the settings."""
    config, state = trained.config, source.stat()
    predict = config.predict.model_dump(mode="json", include={"batch_size", "bands", "stretch"})
    return {
        "format": FORMAT,
        "file": [state.st_size, state.st_mtime_ns],
        "weights": file_hash(trained.path),
        "settings": {
            "eval": config.eval.model_dump(mode="json", exclude={"split", "metric", "batch_size"}),
            "predict": predict,
            "tiles": scene_grid(config)._asdict(),
            "amp": config.train.amp,
            "device": trained.device.type,
            "stretch": RULE,
        },
    }


def _escaped(name: str) -> str:
    """Return a pattern that matches this name alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _pack(number: int, found: TileDetections) -> bytes:
    fields = (np.ascontiguousarray(getattr(found, key), kind).tobytes() for key, kind in TYPES.items())
    return COUNTS.pack(number, len(found.scores)) + b"".join(fields)


def _unpack(record: bytes) -> tuple[int, TileDetections]:
    number, count = COUNTS.unpack_from(record)
    at, fields = COUNTS.size, {}
    for key, kind in TYPES.items():
        shape = (count, *SHAPES.get(key, ()))
        fields[key] = np.frombuffer(record, kind, int(np.prod(shape)), at).reshape(shape).copy()
        at += fields[key].nbytes
    return number, TileDetections(**fields)


def _read(path: Path) -> _Content:
    """Return the whole records of a file; what follows the first that is not is left out."""
    data = read_bytes(path)
    records, at = [], 0
    while at + HEAD.size <= len(data):
        size, checksum = HEAD.unpack_from(data, at)
        record = data[at + HEAD.size : at + HEAD.size + size]
        if len(record) < size or zlib.crc32(record) != checksum:
            break
        records.append(record)
        at += HEAD.size + size
    if not records:
        return _Content(None, {}, 0)
    return _Content(json.loads(records[0]), dict(map(_unpack, records[1:])), at)


def remove_journal(place: Path) -> None:
    """Forget the finished tiles of a scene whose outputs are written."""
    Journal(place, {}).remove()
