"""Recognition of data sets in other tools' formats by a look at few files, and how each becomes ours."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dataloadR.formats.comma_kinds import NUMBER, comma_kind, find_comma_lines
from dataloadR.formats.image_finder import IMAGE_FOLDERS
from dataloadR.formats.sniff import (
    KIND_OF,
    first_lines,
    labels_beside_images,
    list_some,
    sample_files,
    text_kind,
    texts_of,
    walk_some,
)
from dataloadR.formats.yolo import is_labels, labels_of
from dataloadR.formats.yolo_folders import SUFFIXES, find_yaml, is_yolo_yaml, listed_image
from dataloadR.label_lines import AnnotationError, parse_list_line
from utils.errors import UserError

DIRECT = ("coco", "yolo-obb")  # which are read as they are where nothing is lost
FOREIGN_KINDS = {
    "coco": "COCO JSON",
    "yolo-obb": "YOLO labels",
    "labelme": "labelme JSON",
    "xanylabeling": "X-AnyLabeling JSON",
    "label-studio": "a Label Studio export",
    "rolabelimg": "Pascal VOC or roLabelImg XML",
    "dior-r": "DIOR-R XML",
    "ssdd": "SSDD XML",
    "hrsc2016": "HRSC2016 XML",
    "fair1m": "FAIR1M XML",
    "cvat": "CVAT XML",
    "ucas-aod": "UCAS-AOD",
    "visdrone": "label lines of VisDrone",
    "icdar": "text quads of ICDAR",
    "sku110k-r": "COCO JSON of SKU110K-R",
}
NOT_CONVERTED = {
    "dota": "label lines of DOTA in a folder of another name: call it labelTxt",
}
# whose one file is a data set, or names it; of all others the folder is, so that no file is left out
ONE_FILE = ("coco", "sku110k-r", "label-studio", "cvat", "yolo-obb", "ucas-aod")
UCAS_FOLDERS = ("car", "plane")
UCAS_FIELDS = 13
LIST_LINES = 20


class Foreign(NamedTuple):
    """A data set in another tool's format."""

    root: Path  # as given: folder or file
    kind: str  # a key of FOREIGN_KINDS, which `convert --from` takes, or of NOT_CONVERTED
    example: Path  # one of its files
    source: Path  # what is converted
    image_dir: Path | None = None  # where its images are, if they lie elsewhere

    @property
    def folder(self) -> Path:
        """Return the folder of the data set, where the images are looked for."""
        if self.root.is_dir():
            return self.root
        return self.root.parent.parent if self.root.parent.name == "annotations" else self.root.parent


def recognise(root: Path) -> Foreign | None:
    """Return what a folder or file holds; None for our own layouts and lists, and for what nobody knows.

    Raises:
        AnnotationError: files that may be of several formats; says how to say which.
    """
    if root.is_file():
        return _recognise_file(root)
    if not root.is_dir() or is_ours(root):
        return None
    files, folders = list_some(root)
    found = _recognise_ucas(root, folders) or _recognise_yolo(root, files) or _recognise_samples(root)
    lines = None if found else find_comma_lines(root)
    return Foreign(root, lines.kind, lines.example, root) if lines else found


def _recognise_ucas(root: Path, folders: Sequence[Path]) -> Foreign | None:
    """Return UCAS-AOD as it comes, CAR/ and PLANE/, or all in AllImages/ and Annotations/."""
    for folder in folders:
        labels = labels_beside_images(list_some(folder)[0]) if folder.name.lower() in UCAS_FOLDERS else []
        if any(len(line.split()) == UCAS_FIELDS for path in labels[:1] for line in first_lines(path)[:1]):
            return Foreign(root, "ucas-aod", labels[0], root)
    if not (root / "AllImages").is_dir():
        return None
    texts = texts_of(list_some(root / "Annotations")[0])[:LIST_LINES]
    lines = [(path, line.split()) for path in texts for line in first_lines(path)[:1]]
    numbers = [(path, fields) for path, fields in lines if len(fields) == UCAS_FIELDS + 1]
    is_ucas = bool(numbers) and all(not _is_number(f[0]) and all(map(_is_number, f[1:])) for _, f in numbers)
    return Foreign(root, "ucas-aod", numbers[0][0], root) if is_ucas else None


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None


def is_ours(root: Path) -> bool:
    """Say whether there are label files of one of our layouts, in the root or one folder below."""
    for folder in (root, *list_some(root)[1]):
        if (folder / "labelTxt").is_dir():
            return True
        labels = list_some(folder / "Annotations")[0] if (folder / "JPEGImages").is_dir() else []
        if texts_of(labels):
            return True
    return False


def _recognise_file(path: Path) -> Foreign | None:
    match path.suffix.lower():
        case suffix if suffix in KIND_OF:
            kind = KIND_OF[suffix](path)
        case ".txt":
            kind = "yolo-obb" if _lists_yolo_images(path) else comma_kind(path)
        case ".yaml" | ".yml":
            kind = "yolo-obb" if is_yolo_yaml(path) else ""
        case _:
            return None
    if kind:
        return Foreign(path, kind, path, path if kind in ONE_FILE else path.parent)
    if path.suffix.lower() == ".txt":
        return None
    known = "COCO, labelme or Label Studio JSON, XML of VOC or CVAT, a data.yaml of YOLO or a list of images"
    raise AnnotationError(f"{path}: expected a data set's folder, {known}")


def _lists_yolo_images(path: Path) -> bool:
    """Say whether the first lines of a list are images without objects, with YOLO labels where those lie."""
    lines = first_lines(path)[:LIST_LINES]
    try:
        if any(parse_list_line(text, path, number)[1] for number, text in enumerate(lines, 1)):
            return False
    except UserError:
        return False
    labels = [found for line in lines if (found := labels_of(listed_image(line, path)))]
    return any(text_kind(found) == "yolo-obb" for found in labels)


def _recognise_yolo(root: Path, files: Sequence[Path]) -> Foreign | None:
    yaml = find_yaml(root) if any(path.suffix in SUFFIXES for path in files) else None
    if yaml and is_yolo_yaml(yaml):
        return Foreign(root, "yolo-obb", yaml, root)
    for folder, listing in walk_some(root):
        inside = is_labels(folder.relative_to(root).parts)
        labels = texts_of(listing) if inside else labels_beside_images(listing)
        for path in labels[:LIST_LINES]:
            kind = text_kind(path)
            if kind == "yolo-obb" or (kind and inside):
                return Foreign(root, kind, path, root)
    return None


def _recognise_samples(root: Path) -> Foreign | None:
    """Return what files like JSON and XML are; of several kinds one that says more than boxes."""
    kinds: dict[str, list[Path]] = {}
    for path in sample_files(root, tuple(KIND_OF)):
        kinds.setdefault(KIND_OF[path.suffix.lower()](path), []).append(path)
    order = [*(kind for kind in FOREIGN_KINDS if kind != "rolabelimg"), "rolabelimg", *NOT_CONVERTED]
    kind = next((kind for kind in order if kind in kinds), "")
    if not kind:
        return None
    paths = kinds[kind]
    suffix = paths[0].suffix.lower()
    others = [p for k, ps in kinds.items() if k != kind for p in ps if p.suffix.lower() == suffix]
    if kind == "coco" or not [p for p in others if p.name != "sysdata.xml"]:
        return Foreign(root, kind, paths[0], root)
    source = paths[0] if kind in ONE_FILE else Path(os.path.commonpath([path.parent for path in paths]))
    beside = any((place / name).is_dir() for place in (source, source.parent) for name in IMAGE_FOLDERS)
    return Foreign(root, kind, paths[0], source, None if beside else root)


def convert_command(data: Foreign, source: Path | None = None) -> str:
    """Return the command line that converts a data set, or one file of it, into a new folder beside it."""
    source = source or data.source
    words = [str(source), str(_target(data)), "--from", data.kind, "--to", "dota"]
    if data.image_dir or (
        source.is_file() and source.parent not in (data.folder, data.folder / "annotations")
    ):
        words += ["--image-dir", str(data.image_dir or data.folder)]
    return shlex.join(["python", "-m", "datasets_tools.convert", *words])


def _target(data: Foreign) -> Path:
    """Return a folder beside the data set, or beside a file that says everything alone."""
    root = data.root
    is_part = root.suffix in (*SUFFIXES, ".txt") or root.parent.name == "annotations"
    if root.is_file() and not is_part and data.kind in ONE_FILE:
        return root.with_name(f"{root.stem}_dota")
    folder = data.folder if data.folder.name not in ("", "..") else data.folder.resolve()
    return folder.with_name(f"{folder.name}_dota") if folder.name else Path("data_dota")


def foreign_error(data: Foreign) -> AnnotationError:
    """Return the error that says what was found, and what to do about it."""
    if data.kind in NOT_CONVERTED:
        return AnnotationError(f"{data.root}: found {NOT_CONVERTED[data.kind]} ({data.example})")
    found = f"found {FOREIGN_KINDS[data.kind]} (such as {data.example}), which is converted first"
    return AnnotationError(f"{data.root}: {found}: {convert_command(data)}")
