"""Images and label files of a data set, split by split, and what is wrong with their names.

Reading goes on after each fault; an image that is not there keeps its entry, so that its labels are examined.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dataloadR.annotations import (
    LAYOUTS,
    AnnotationError,
    Folder,
    SplitSource,
    WrittenImage,
    is_image,
    read_list,
)
from dataloadR.direct import Split, direct_splits, read_direct
from dataloadR.foreign import recognise
from dataloadR.label_lines import LabelledQuad, read_lines
from dataloadR.layouts import label_files
from datasets_tools.doctor.findings import Finding, found
from utils.errors import Faults, UserError

ALL = "all"  # the split of a folder without ImageSets
LIST_LINES = 20  # a text file is a list of images if one of its first lines begins with the name of one

Sources = dict[str, SplitSource]  # by split


class Collected(Faults):
    """Faults that are kept as they are, to be told apart by their type."""

    def __init__(self) -> None:
        super().__init__(skip=True)
        self.errors: list[UserError] = []

    def add(self, error: UserError) -> None:
        self.errors.append(error)
        self.messages.append(str(error))


class Entry(NamedTuple):
    """One image with its label file."""

    image: Path  # may not be there
    labels: Path | None  # label file or list file
    splits: tuple[str, ...]  # those that name it
    there: bool
    listed: bool = False  # in a list file, whose objects are these
    quads: tuple[LabelledQuad, ...] = ()


def locate_splits(root: Path, wanted: Sequence[str] = ()) -> Sources:
    """Return where the splits of a data set stand: all that are there, or the wanted ones.

    Raises:
        AnnotationError: no data set of a known layout, or no such split.
    """
    if not root.exists():
        raise AnnotationError(f"{root}: no such folder or list file")
    if root.is_file() and is_image(root):
        raise AnnotationError(f"{root}: expected a data set's folder or a list file, got an image")
    data = recognise(root)
    if data is not None:
        sources: Sources = {n or ALL: Split(data, n, places) for n, places in direct_splits(data).items()}
    else:
        sources = {root.stem: root} if root.is_file() else _folder_sources(root)
    if root.is_dir() and not any(map(_has_files, sources.values())):  # images/ of lists holds folders
        sources = {path.stem: path for path in sorted(root.glob("*.txt")) if _is_list(path)} or sources
    if not sources:
        known = "images/ and labelTxt/, SPLIT/images/, JPEGImages/ and Annotations/, or list files"
        raise AnnotationError(f"{root}: expected {known}, found none of them")
    for split in wanted:
        if split not in sources:
            raise AnnotationError(f"{root}: no split {split!r}, found {', '.join(sources)}")
    return {split: sources[split] for split in wanted or sources}


def _folder_sources(root: Path) -> Sources:
    """Return the splits of both kinds of folders; all images are a split only where there is no other."""
    own, named = _split_folders(root), _one_folder(root)
    return {**{split: folder for split, folder in named.items() if split != ALL or not own}, **own}


def has_flags(sources: Sources) -> bool:
    """Say whether the labels can have difficult flags: training lists and YOLO's cannot."""
    lists = [s for s in sources.values() if isinstance(s, Path)]
    yolo = [s for s in sources.values() if isinstance(s, Split) and s.data.kind == "yolo-obb"]
    return not lists and not yolo


def _split_folders(root: Path) -> Sources:
    sources: Sources = {}
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        for images, labels in LAYOUTS:
            if (folder / images).is_dir() or (folder / labels).is_dir():
                sources[folder.name] = Folder(folder / images, folder / labels, None)
                break
    return sources


def _one_folder(root: Path) -> Sources:
    for images, labels in LAYOUTS:
        if (root / images).is_dir() or (root / labels).is_dir():
            sets = [root / "ImageSets", root / "ImageSets" / "Main"]
            names = {path.stem: path for folder in sets for path in sorted(folder.glob("*.txt"))}
            whole = Folder(root / images, root / labels, None)
            return {split: whole._replace(names=path) for split, path in names.items()} or {ALL: whole}
    return {}


def _has_files(source: SplitSource) -> bool:
    """Say whether there are images or labels where a split stands."""
    return not isinstance(source, Folder) or bool(_images(source) or label_files(source.labels))


def _is_list(path: Path) -> bool:
    lines = [text for _, text in read_lines(path, Faults(skip=True))][:LIST_LINES]
    return any(is_image(Path(text.rsplit(" ", n)[0])) for text in lines for n in range(text.count(" ") + 1))


def read_entries(root: Path, sources: Sources) -> tuple[list[Entry], list[Finding], list[UserError]]:
    """Return the images of all splits, each once, what is wrong with the files, and lines nobody can read."""
    seen: dict[tuple[Path, Path | None], Entry] = {}
    findings: list[Finding] = []
    faults = Collected()
    twice: list[str] = []
    for split, source in sources.items():
        entries = _read_source(source, faults)
        if not entries:
            findings += found("no-images", [f"{split}: {relative_name(_name(source), root)}"])
        keys = [(entry.image, entry.labels) for entry in entries]
        twice += [f"{split}: {relative_name(key[0], root)}" for key, n in Counter(keys).items() if n > 1]
        for key, entry in dict(zip(keys, entries, strict=True)).items():
            earlier = seen.get(key, entry)
            seen[key] = earlier._replace(splits=(*earlier.splits, split))
    findings += found("name-listed-twice", twice)
    whole = list(seen.values())
    for folder in _folders(sources):
        findings += _folder_findings(root, folder, whole)
    return whole, findings + _name_findings(root, whole), faults.errors


def _name(source: SplitSource) -> Path:
    if isinstance(source, Split):
        return source.places[0]
    return source if isinstance(source, Path) else source.names or source.images


def _folders(sources: Sources) -> list[Folder]:
    """Return the folders of the splits, each once, without their name files."""
    return list(dict.fromkeys(s._replace(names=None) for s in sources.values() if isinstance(s, Folder)))


def _read_source(source: SplitSource, faults: Faults) -> list[Entry]:
    if isinstance(source, Folder):
        return _read_folder(source, faults)
    if isinstance(source, Split):
        images: list[WrittenImage] | None = read_direct(source, faults, needed=False).images
    else:
        images = faults.attempt(lambda: read_list(source, faults))
    return [
        Entry(image.image, image.labels, (), image.image.is_file(), True, tuple(image.quads))
        for image in images or []
    ]


def _read_folder(folder: Folder, faults: Faults) -> list[Entry]:
    images = {path.name: path for path in _images(folder)}
    labels = label_files(folder.labels)
    if folder.names is not None:
        by_stem = {path.stem: path for path in reversed(images.values())}  # the first of several stays
        chosen = [
            images.get(name) or by_stem.get(name) or folder.images / name
            for _, name in read_lines(folder.names, faults)
        ]
    else:
        chosen = list(images.values()) or [folder.images / stem for stem in sorted(labels)]
    there = set(images.values())
    return [
        Entry(path, labels.get(_stem(path)) or labels.get(path.name), (), path in there) for path in chosen
    ]


def _stem(path: Path) -> str:
    """Return the name without the suffix of an image; other dots belong to the name."""
    return path.stem if is_image(path) else path.name


def _listing(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _images(folder: Folder) -> list[Path]:
    return [path for path in _listing(folder.images) if is_image(path)]


def relative_name(path: Path | str, root: Path) -> str:
    """Return a path as seen from the root, or as it is where it lies elsewhere."""
    return str(path).removeprefix(f"{root}/")


def _folder_findings(root: Path, folder: Folder, entries: Sequence[Entry]) -> list[Finding]:
    """Return what shows in the listings of an image and a label folder."""
    images, labels = _images(folder), _listing(folder.labels)
    stems = Counter(path.stem for path in images)
    used = {entry.image for entry in entries}
    texts, names = label_files(folder.labels), {path.name for path in images}
    alone = [path for stem, path in texts.items() if stem not in stems and stem not in names]
    alike = [", ".join(path.name for path in images if path.stem == s) for s, n in stems.items() if n > 1]
    strange = [path for path in labels if path not in texts.values() and path.is_file()]
    unused = [path for path in images if path not in used and stems[path.stem] == 1]
    return [
        *found("ambiguous-name", [f"{relative_name(folder.images, root)}: {names}" for names in alike]),
        *found("label-without-image", _places(alone if images else [], root)),
        *found("foreign-label", _places(strange, root)),
        *found("not-in-split", _places(unused, root)),
    ]


def _places(paths: Iterable[Path], root: Path) -> list[str]:
    return [relative_name(path, root) for path in paths]


def _name_findings(root: Path, entries: Sequence[Entry]) -> list[Finding]:
    """Return what shows in the names of the images, and in whether they and their label files are there."""
    missing = [entry.image for entry in entries if not entry.there]
    blanks = [entry.image for entry in entries if entry.image.stem.split() != [entry.image.stem]]
    bare = [entry.image for entry in entries if entry.labels is None and entry.there]
    folders: dict[tuple[str, str], set[Path]] = {}
    for entry in entries:
        for split in entry.splits:
            folders.setdefault((split, entry.image.stem), set()).add(entry.image.parent)
    twice = [f"{split}: {stem}" for (split, stem), parents in folders.items() if len(parents) > 1]
    paths = {entry.image for entry in entries}
    return [
        *found(
            "image-missing",
            _places(missing, root),
            f"{len(set(missing))} of {len(paths)} images are not there",
        ),
        *found("name-with-blanks", _places(blanks, root)),
        *found("image-without-label", _places(bare, root)),
        *found("stem-twice", twice),
    ]
