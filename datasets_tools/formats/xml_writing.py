"""XML writing: files that appear whole, and their names."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from dataloadR.formats.records import LabelledImage
from datasets_tools.formats.xml_files import plain_name, stem_with_folders
from utils.errors import UserError
from utils.files import write_text

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # XML 1.0, section 2.2


def add_texts(parent: ET.Element, **texts: str) -> None:
    """Add a child with a text for each name."""
    for tag, text in texts.items():
        ET.SubElement(parent, tag).text = text


def write_xml(root: ET.Element, path: Path) -> None:
    """Write an indented file in UTF-8; a file that is there with the same contents stays.

    Raises:
        UserError: a text holds a character that XML cannot.
    """
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    illegal = _ILLEGAL.search(text)
    if illegal:
        line = text[: illegal.start()].rpartition("\n")[2].strip()
        raise UserError(f"{path}: expected characters that XML can hold, got {illegal[0]!r} after {line!r}")
    write_anew(f"<?xml version='1.0' encoding='utf-8'?>\n{text}\n", path)


def write_anew(text: str, path: Path) -> None:
    """Write a text file whole, unless one with the same contents is there."""
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def target_files(images: Sequence[LabelledImage], folder: Path) -> list[Path]:
    """Return the XML file of each image, and make the folder; folders in the images' names stay.

    Raises:
        UserError: two images of one name, or a name that leads out of the folder.
    """
    names: dict[Path, str] = {}
    for image in images:
        path = folder / f"{stem_with_folders(plain_name(image.name, str(folder)))}.xml"
        if path in names:
            raise UserError(f"{path}: would hold two images, {names[path]!r} and {image.name!r}")
        names[path] = image.name
    folder.mkdir(parents=True, exist_ok=True)
    return list(names)


def write_name_files(images: Sequence[LabelledImage], folder: Path) -> None:
    """Write `SPLIT.txt` for each split, with the names of its images without suffix."""
    for split in sorted({image.split for image in images} - {""}):
        names = [stem_with_folders(image.name) for image in images if image.split == split]
        write_anew("".join(f"{name}\n" for name in names), folder / f"{split}.txt")
