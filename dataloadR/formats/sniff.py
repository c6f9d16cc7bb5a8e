"""File type detection by the first and last bytes; whatever cannot be read is nothing."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from dataloadR.label_lines import BYTE_ORDER_MARK, UTF16_MARKS, is_header, to_score
from dataloadR.layouts import IMAGE_SUFFIXES, is_image

HEAD = 1 << 16  # bytes
DEPTH = 4  # folders below the root
MAX_FOLDERS = 64
MAX_ENTRIES = 500_000  # of a folder
MAX_KEPT = 10_000  # of them: folders, images, other files; labels must not be lost among the images
SAMPLES = 3  # files of a suffix in a folder
LINES = 5
XML_KINDS = (  # what only files of a kind hold, the most special first
    (b"<HRSC_Image", "hrsc2016"),
    (b"<possibleresult", "fair1m"),
    (b"<rotated_bndbox", "ssdd"),
    (b"<x_left_top", "dior-r"),
    (b"<robndbox", "rolabelimg"),
    (b"<bndbox", "rolabelimg"),
    (b"<polygon", "rolabelimg"),
)
XANYLABELING = (b'"kie_linking"', b'"attributes"', b'"direction"')  # keys that labelme's files lack


def read_ends(path: Path) -> bytes:
    """Return the first and the last bytes of an ordinary file, nothing of any other."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            head = file.read(HEAD)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(len(head), size - HEAD))
            return head + file.read(HEAD)
    except OSError:
        return b""


def read_text_ends(path: Path) -> bytes:
    """Return what `read_ends` does, of UTF-16 as UTF-8."""
    data = read_ends(path)
    if not data.startswith(UTF16_MARKS):
        return data.removeprefix(BYTE_ORDER_MARK)
    return data.decode("utf-16", "ignore").encode("utf-8", "ignore")


def json_kind(path: Path) -> str:
    """Return the format of a JSON file by the name that `convert --from` gives it, or an empty text."""
    data = read_text_ends(path).lstrip()
    if data.startswith(b"["):
        is_tasks = b'"annotations"' in data and b'"data"' in data
        return "label-studio" if is_tasks else ""
    if not data.startswith(b"{"):
        return ""
    if b'"shapes"' in data and (b'"imagePath"' in data or b'"imageHeight"' in data):
        return "xanylabeling" if any(key in data for key in XANYLABELING) else "labelme"
    is_coco = (b'"annotations"' in data or b'"categories"' in data) and (
        b'"images"' in data or b'"file_name"' in data
    )
    if not is_coco or b'"caption"' in data:
        return ""
    return "sku110k-r" if b'"rbbox"' in data and "sku110k" in path.name.lower() else "coco"


def xml_kind(path: Path) -> str:
    """Return the format of an XML file likewise."""
    data = read_text_ends(path)
    if b"<annotations" in data and (b"<image" in data or b"<track" in data):
        return "cvat"
    for word, kind in XML_KINDS:
        if word in data:
            return kind
    return "rolabelimg" if b"<annotation" in data and b"<filename" in data else ""


KIND_OF = {".json": json_kind, ".xml": xml_kind}  # of files that say themselves what they are, by suffix


def text_kind(path: Path) -> str:
    """Return `yolo-obb` or `dota` for a file of such label lines, or an empty text."""
    lines = [line for line in first_lines(path) if not is_header(line)]
    kinds = {_line_kind(line) for line in lines[:LINES]} - {""}  # one line may be damaged
    return kinds.pop() if len(kinds) == 1 else ""


def first_lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not blank, of a long one the first."""
    head = read_text_ends(path)[:HEAD]
    lines = head.decode("utf-8", "replace").splitlines()[: None if len(head) < HEAD else -1]
    return [line.strip() for line in lines if line.strip()]


def _line_kind(line: str) -> str:
    fields = line.split()
    numbers = [bool(re.fullmatch(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?", field)) for field in fields]
    if len(fields) in (9, 10) and all(numbers[:8]) and not numbers[8]:
        return "dota"
    is_scored = len(fields) == 10 and to_score(fields[-1]) is not None
    is_yolo = len(fields) == 5 or (len(fields) >= 7 and len(fields) % 2) or is_scored
    return "yolo-obb" if is_yolo and all(numbers) and fields[0].isdigit() else ""


def sample_files(root: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return a few files of these suffixes of each folder, those next to the root first."""
    return [
        path
        for _, listing in walk_some(root)
        for suffix in suffixes
        for path in [p for p in listing if p.suffix.lower() == suffix][:SAMPLES]
    ]


def walk_some(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield folders with their files, sorted and none hidden, broad before deep, never all of a huge tree."""
    waiting, seen = [(root, 0)], 0
    while waiting and seen < MAX_FOLDERS:
        folder, depth = waiting.pop(0)
        seen += 1
        files, folders = list_some(folder)
        yield folder, files
        if depth < DEPTH:
            waiting += [(path, depth + 1) for path in folders]


def texts_of(files: list[Path]) -> list[Path]:
    """Return those that are text files by their suffix, in either case."""
    return [path for path in files if path.suffix.lower() == ".txt"]


def list_some(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return ordinary files and folders in a folder, sorted and none hidden; nothing where it is closed."""
    files: list[str] = []
    images: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, MAX_ENTRIES):
                if entry.name.startswith("."):
                    continue
                kind = folders if entry.is_dir() else files
                kind = images if kind is files and entry.name.lower().endswith(IMAGE_SUFFIXES) else kind
                if len(kind) < MAX_KEPT and (kind is folders or entry.is_file()):
                    kind.append(entry.name)
    except OSError:
        pass
    return [folder / name for name in sorted(files + images)], [folder / name for name in sorted(folders)]


def labels_beside_images(files: list[Path]) -> list[Path]:
    """Return the text files of a folder that are called like an image in it."""
    stems = {path.stem for path in files if is_image(path)}
    return [path for path in texts_of(files) if path.stem in stems]
