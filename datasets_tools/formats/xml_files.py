"""XML label folders with one file per image: their files, names and splits.

What is common to the formats of one file per image stands here; each format says how one file is read.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dataloadR.formats.layout import find_files, stem_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.shapes import Shape, labelled_image
from dataloadR.label_lines import read_lines
from dataloadR.split_names import split_of, split_of_folders, usual_name
from datasets_tools.formats.xml_nodes import Node, numbers_of, read_xml, show_text
from utils.errors import Faults, UserError
from utils.images import Size

NAME_FILES = ("train", "val", "test", "trainval")  # the last holds two of the others, which come first
FLAGS = {"0": 0, "1": 1, "2": 2, "false": 0, "true": 1}
NO_LABELS = ("sysdata.xml",)  # the class table of HRSC2016


class Content(NamedTuple):
    """What one file says."""

    file_name: str  # of the image; empty where the file does not say
    size: Size | None
    shapes: list[Shape]


def read_files(
    source: Path, root: str, parse: Callable[[Node], Content], faults: Faults, notes: Notes
) -> Iterator[LabelledImage]:
    """Yield the image of each XML file of a folder and of those below it, or of one file.

    The split is that of `ImageSets/[Main/]SPLIT.txt`, else of a folder called SPLIT or ..._SPLIT.

    Args:
        root: the tag of the files' root element.
        parse: returns what one file says.

    Raises:
        UserError: no XML file, or one that cannot be read and is not skipped.
    """
    paths = find_xml_files(source)
    splits = read_name_files(source, faults, notes)
    seen: dict[tuple[str, str], Path] = {}
    for path in paths:
        content = faults.attempt(partial(_parse_file, path, root, parse))
        if content is None:
            continue
        split = splits.get(path.stem, _split_of_folder(path, source))
        name = _image_name(path, content.file_name, notes)
        other = seen.setdefault((split, stem_with_folders(name)), path)
        if other == path:
            yield labelled_image(name, content.size, content.shapes, split)
        else:
            faults.add(UserError(f"{path}: expected one file for an image, got {other} as well"))


def find_xml_files(source: Path) -> list[Path]:
    """Return the XML files of a folder and of those below it, sorted, or the one file.

    Raises:
        UserError: nothing is there.
    """
    paths = [path for path in find_files(source, ".xml") if path.name not in NO_LABELS]
    if not paths:
        raise UserError(f"{source}: expected XML files, found none")
    return paths


def _parse_file(path: Path, root: str, parse: Callable[[Node], Content]) -> Content:
    return parse(read_xml(path, root))


def read_name_files(source: Path, faults: Faults, notes: Notes) -> dict[str, str]:
    """Return the split of each name in the name files of the data set, which may lie up to two folders up."""
    above = source.resolve().parents[: 3 if source.is_file() else 2]
    places = [folder / "ImageSets" for folder in (source, *above)]
    place = next((p for p in places if p.is_dir()), places[0])
    files = [path for folder in (place, place / "Main") for path in sorted(folder.glob("*.txt"))]
    splits: dict[str, str] = {}
    for split in NAME_FILES:
        for path in [path for path in files if usual_name(path.stem) == split]:
            names = {stem_of(name) for _, name in read_lines(path, faults)}
            if split != "trainval":
                twice = sum(splits.get(name, split) != split for name in names)
                notes.add("images are listed in two splits; they stay in the first", twice)
            splits = {**dict.fromkeys(names, split), **splits}
    return splits


def _split_of_folder(path: Path, source: Path) -> str:
    """Return the split that a folder between the source and the file, or the source itself, is called by."""
    folders = path.relative_to(source).parts[:-1] if path != source else ()
    return split_of_folders(folders) or split_of([source.name, source.name.rpartition("_")[2]])


def _image_name(path: Path, written: str, notes: Notes) -> str:
    """Return the image's name as the file says it, if it belongs to the file: copies keep the old one.

    Folders in it are kept where the file lies in folders of the same names.
    """
    inside = PurePosixPath(written.replace("\\", "/"))
    if path.stem not in (inside.name, stem_of(inside.name)):
        notes.add("files name another image inside; the name of the file was taken", bool(written))
        return path.stem
    folders = inside.parent.parts
    beside = not inside.is_absolute() and path.parent.parts[-len(folders) :] == folders
    return str(inside) if folders and beside else inside.name


def stem_with_folders(name: str) -> str:
    """Return an image's name with its folders, without the suffix of an image."""
    return str(PurePosixPath(name).with_name(stem_of(name)))


def plain_name(name: str, place: str) -> str:
    """Return an image's name with its folders, slashes forward.

    Raises:
        UserError: it is empty or leads out of the data set's folder.
    """
    inside = PurePosixPath(name.replace("\\", "/").strip())
    if not inside.name or inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
        raise UserError(f"{place}: expected an image name inside the data set, got {show_text(name)!r}")
    return str(inside)


def read_size(parent: Node | None, tags: tuple[str, str]) -> Size | None:
    """Return height and width from the children of these tags; None where there are none, or zeros.

    Raises:
        UserError: one alone, no whole number, or negative.
    """
    if parent is None or not any(parent.all(tag) for tag in tags):
        return None
    height, width = numbers_of(parent, tags)
    if not (height.is_integer() and width.is_integer() and min(height, width) >= 0):
        found = f"got {height:g} and {width:g}"
        raise UserError(f"{parent.place}: expected whole numbers for <{tags[0]}> and <{tags[1]}>, {found}")
    return (int(height), int(width)) if height and width else None


def read_flag(parent: Node, tag: str) -> int:
    """Return a flag of 0, 1 or 2; 0 where it is missing or empty.

    Raises:
        UserError: another value.
    """
    node = parent.find(tag)
    if node is None or not node.text:
        return 0
    if node.text.lower() not in FLAGS:
        raise UserError(f"{node.place}: expected 0, 1 or 2 for <{tag}>, got {node.text[:20]!r}")
    return FLAGS[node.text.lower()]


def read_class(parent: Node, tag: str) -> str:
    """Return the class name in a child.

    Raises:
        UserError: it is missing or empty.
    """
    node = parent.child(tag)
    if not node.text:
        raise UserError(f"{node.place}: expected a class name in <{tag}>, got nothing")
    return node.text
