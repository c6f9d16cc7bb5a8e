"""YOLO folders: where images and class names are, by data.yaml or by the folders alone."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from dataloadR.formats.layout import folder_of, plain_path
from dataloadR.label_lines import AnnotationError, read_lines
from dataloadR.layouts import is_image
from dataloadR.split_names import SPLITS, split_of_file
from utils.errors import Faults, first_line

SUFFIXES = (".yaml", ".yml")
MAX_BYTES = 1 << 20  # of a data.yaml
NAME_LISTS = ("classes.txt", "labels/classes.txt", "obj.names")  # of labelImg, Label Studio and CVAT
Splits = dict[str, tuple[Path, ...]]  # split -> folders and lists of images


class YoloSet(NamedTuple):
    """A data set: its classes by index and the images of its splits, `""` where it has none."""

    names: list[str]  # empty: not known
    splits: Splits


def find_yolo(source: Path) -> YoloSet:
    """Return the classes and splits of a folder, its data.yaml, or a list of images.

    Raises:
        AnnotationError: a data.yaml that cannot be read or used.
    """
    root = folder_of(source)
    path = source if source.suffix in SUFFIXES else find_yaml(root)
    table = load_table(path) if path else {}
    if path and table.get("kpt_shape"):
        raise AnnotationError(f"{path}: kpt_shape: labels with keypoints are not read")
    names = (read_names(path) if path else []) or _listed_names(root)
    if source.is_file() and source != path:
        return YoloSet(names, {"": (source,)})
    return YoloSet(names, (_yaml_splits(table, path) if path else {}) or folder_splits(root))


def find_yaml(root: Path) -> Path | None:
    """Return data.yaml, or the only file of the folder that names classes as one does."""
    for name in ("data.yaml", "data.yml"):
        if (root / name).is_file():
            return root / name
    found = [path for path in sorted(root.iterdir()) if path.suffix in SUFFIXES] if root.is_dir() else []
    found = [path for path in found if is_yolo_yaml(path)]
    return found[0] if len(found) == 1 else None


def is_yolo_yaml(path: Path) -> bool:
    """Say whether a file names classes, and images or their number, as a data.yaml does."""
    try:
        table = load_table(path)
    except AnnotationError:
        return False
    return "names" in table and bool(table.keys() & {*SPLITS, "path", "nc"})


def load_table(path: Path) -> dict[str, Any]:
    """Return the contents of a YAML file, nothing for one that holds no table.

    Raises:
        AnnotationError: it cannot be read, is no YAML, or larger than a data.yaml is.
    """
    data = _read_bytes(path)
    try:
        contents: Any = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        found = getattr(error, "problem", None) or first_line(error)
        raise AnnotationError(f"{path}{line}: expected YAML, got {found}") from None
    return contents if isinstance(contents, dict) else {}


def _read_bytes(path: Path) -> bytes:
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise AnnotationError(f"{path}: expected a YAML file of at most {MAX_BYTES >> 20} MiB")
    try:
        return path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from None


def read_names(path: Path) -> list[str]:
    """Return the class names of a data.yaml, a list or a mapping from 0; none without the file.

    Raises:
        AnnotationError: it cannot be read, or has no such names.
    """
    if not path.is_file():
        return []
    names = load_table(path).get("names")
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        names = [names[key] for key in sorted(names, key=int)]
    if not isinstance(names, list) or not all(_is_name(name) for name in names):
        known = "a list of names or a mapping 0: name, 1: name and so on"
        raise AnnotationError(f"{path}: expected {known} under the key 'names'")
    return [str(name).strip() for name in names]


def _is_name(name: object) -> bool:
    return isinstance(name, int) or (isinstance(name, str) and bool(name.strip()) and name.isprintable())


def _listed_names(root: Path) -> list[str]:
    path = next((root / name for name in NAME_LISTS if (root / name).is_file()), None)
    return [name for _, name in read_lines(path, Faults(skip=False))] if path else []


def _yaml_splits(table: dict[str, Any], path: Path) -> Splits:
    splits: Splits = {}
    for key, value in table.items():
        split = SPLITS.get(str(key).lower())
        entries = value if isinstance(value, list) else [value]
        if split is None or not value:
            continue
        if not all(isinstance(entry, str) for entry in entries):
            raise AnnotationError(f"{path}: {key}: expected a folder or a list of images, got {value!r}")
        splits[split] = tuple(_resolve(entry, str(table.get("path") or ""), path.parent) for entry in entries)
    if len(splits) > 1 and len(set(splits.values())) == 1:  # all images train and validate
        return {"": next(iter(splits.values()))}
    return splits


def _resolve(entry: str, base: str, folder: Path) -> Path:
    """Return where a folder or list is: below `path`, or beside data.yaml, as `../train/images` of Roboflow.

    Such an entry means a neighbour of the data set's folder only where the folder itself has none.  Of a path
    that is not there, as one of another machine, the end counts.
    """
    entry = inside = plain_path(entry)
    while inside.startswith("../"):
        inside = inside.removeprefix("../")
    places = [folder / base / entry, folder / entry, folder / base / inside, folder / inside]
    places = places if base else [folder / inside, *places]
    places += [folder / tail for tail in _tails(inside)]
    found = next((place for place in places if place.exists()), places[0])
    return Path(os.path.normpath(found))


def _tails(entry: str) -> list[Path]:
    """Return the ends of a path from another machine, longest first, while they still say which split."""
    parts = Path(entry).parts
    ends = [parts[k:] for k in range(1, len(parts))]
    return [Path(*end) for end in ends if len(end) > 1 or end[0].lower() in SPLITS]


def folder_splits(root: Path) -> Splits:
    """Return the splits of images/SPLIT, SPLIT/images or SPLIT, or all images as one without a name."""
    images = _images_folder(root)
    inside = _named_folders(images or root)
    if images:
        return _grouped(inside) or {"": (images,)}
    beside = [found for folder in _folders(root) if (found := _images_folder(folder))]
    if beside:
        return _grouped(beside, lambda place: split_of_file(place.parent) or place.parent.name)
    return _grouped(inside) or {"": (root,)}


def _images_folder(root: Path) -> Path | None:
    """Return the folder `images`, in any case, of a folder."""
    return next((folder for folder in _folders(root) if folder.name.lower() == "images"), None)


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _named_folders(root: Path) -> list[Path]:
    return [folder for folder in _folders(root) if split_of_file(folder)]


def _grouped(places: list[Path], name_of: Any = split_of_file) -> Splits:
    splits: Splits = {}
    for place in places:
        split = name_of(place)
        splits[split] = (*splits.get(split, ()), place)
    return splits


def images_of(place: Path, faults: Faults | None = None) -> list[Path]:
    """Return the images below a folder, or those of a list.

    Raises:
        AnnotationError: there is no such folder or list.
    """
    if place.is_dir():
        found = sorted(path for path in place.rglob("*") if is_image(path))
        return [p for p in found if not any(part.startswith(".") for part in p.relative_to(place).parts)]
    if not place.is_file():
        raise AnnotationError(f"{place}: expected a folder or a list of images, found none")
    return [listed_image(line, place) for _, line in read_lines(place, faults or Faults(skip=False))]


def listed_image(line: str, path: Path) -> Path:
    """Return the image that a line of a list means, from the list, the folder above or the working one."""
    line = plain_path(line)
    places = [path.parent / line, path.parent.parent / line, Path(line)]
    found = next((p for p in places if os.path.isfile(p)), places[0])  # noqa: PTH113 - raises never
    return Path(os.path.normpath(found))
