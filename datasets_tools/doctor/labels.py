"""Objects of a data set in columns, and what is wrong with their lines and classes."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataloadR.label_lines import FlagError, LabelledQuad, place_of, read_label_file
from datasets_tools.doctor.files import Collected, Entry, relative_name
from datasets_tools.doctor.findings import Finding, found, found_objects
from utils.arrays import F64, I64
from utils.errors import UserError

RARE = 10  # objects
FREQUENT = 10  # times as many objects as a class that may be a slip of it
SHORT_WORD = 6  # letters; below it classes that differ in two are taken for what they are


class LabelTable(NamedTuple):
    """All objects, one row each, in the order of the entries."""

    quads: F64  # (N, 4, 2) pixels
    entries: I64  # (N,) index of the image's entry
    lines: I64  # (N,) in its label file
    labels: I64  # (N,) index into `names`
    difficult: I64  # (N,)
    names: tuple[str, ...]  # classes as found, sorted; those of data.classes first


class Labelled(NamedTuple):
    """A data set as read, what is wrong with the files and lines left out."""

    root: Path
    splits: tuple[str, ...]
    entries: list[Entry]  # without their quads
    objects: LabelTable

    def place(self, row: int) -> str:
        """Return file and line of an object, with its class and first vertex."""
        o = self.objects
        file = relative_name(str(self.entries[int(o.entries[row])].labels), self.root)
        x, y = o.quads[row, 0]
        return f"{place_of(file, int(o.lines[row]))} {o.names[int(o.labels[row])]} at {x:g}, {y:g}"

    def in_split(self, split: str) -> NDArray[np.bool_]:
        """Return which entries belong to a split."""
        return np.array([split in entry.splits for entry in self.entries], bool)

    def image(self, row: int) -> Path:
        """Return the image of an object."""
        return self.entries[int(self.objects.entries[row])].image


def read_labelled(
    root: Path, entries: Sequence[Entry], classes: Sequence[str], early: Sequence[UserError]
) -> tuple[Labelled, list[Finding]]:
    """Return all objects, and what their lines and classes have wrong.

    Args:
        classes: the names that are right, in the order of indices; empty: those found.
        early: faults that showed before the label files were read.
    """
    faults = Collected()
    read = [_quads(entry, faults) for entry in entries]
    rows = [(n, quad) for n, quads in enumerate(read) for quad in quads]
    written = {quad.label for _, quad in rows}
    name_of = {label: _name(label, classes) for label in written}
    names = (*classes, *sorted(set(name_of.values()) - set(classes)))
    index = {name: i for i, name in enumerate(names)}
    objects = LabelTable(
        np.array([quad.coordinates for _, quad in rows], np.float64).reshape(-1, 4, 2),
        np.array([n for n, _ in rows], np.int64),
        np.array([quad.line for _, quad in rows], np.int64),
        np.array([index[name_of[quad.label]] for _, quad in rows], np.int64),
        np.array([quad.difficult for _, quad in rows], np.int64),
        names,
    )
    bare = [entry._replace(quads=()) for entry in entries]
    splits = tuple(dict.fromkeys(split for entry in entries for split in entry.splits))
    data = Labelled(root, splits, bare, objects)
    indexed = [n for n, (_, quad) in enumerate(rows) if isinstance(quad.label, int)]
    mixed = indexed if len(indexed) < len(rows) else []
    return data, [
        *_line_findings(root, [*early, *faults.errors]),
        *_empty_labels(root, bare, read),
        *found_objects("mixed-classes", mixed, data.place),
        *_class_findings(data, classes),
    ]


def _quads(entry: Entry, faults: Collected) -> Sequence[LabelledQuad]:
    if entry.listed or entry.labels is None:
        return entry.quads
    return read_label_file(entry.labels, faults)


def _name(label: str | int, classes: Sequence[str]) -> str:
    if isinstance(label, str):
        return label
    if label < len(classes):
        return classes[label]
    return f"class{label}"


def _line_findings(root: Path, errors: Sequence[UserError]) -> list[Finding]:
    flags = [relative_name(str(error), root) for error in errors if isinstance(error, FlagError)]
    others = [relative_name(str(error), root) for error in errors if not isinstance(error, FlagError)]
    return [*found("malformed-line", others), *found("wrong-flag", flags)]


def _empty_labels(
    root: Path, entries: Sequence[Entry], read: Sequence[Sequence[LabelledQuad]]
) -> list[Finding]:
    files = [
        relative_name(str(entry.labels), root)
        for entry, quads in zip(entries, read, strict=True)
        if not quads and entry.labels is not None and not entry.listed
    ]
    return found("empty-label", files)


def _class_findings(data: Labelled, classes: Sequence[str]) -> list[Finding]:
    objects = data.objects
    counts = np.bincount(objects.labels, minlength=len(objects.names))
    known = len(classes) or len(objects.names)
    unknown = np.flatnonzero(objects.labels >= known)
    strange = Counter(objects.names[n] for n in objects.labels[unknown].tolist())
    findings = found_objects("unknown-class", unknown.tolist(), data.place, _told(strange, classes))
    for code, pairs in _look_alikes(objects.names[:known], counts[:known].tolist()).items():
        detail = "; ".join(
            f"{objects.names[rare]} ({counts[rare]}) beside {objects.names[often]} ({counts[often]})"
            for rare, often in pairs
        )
        rows = [int(np.flatnonzero(objects.labels == rare)[0]) for rare, _ in pairs]
        findings += found_objects(code, rows, data.place, detail)
    return findings + _split_findings(data, known)


def _split_findings(data: Labelled, known: int) -> list[Finding]:
    """Return what shows where the classes of train and those of the other splits are compared."""
    objects = data.objects
    if "train" not in data.splits:
        bare = not len(objects.quads) and not any(split.startswith("test") for split in data.splits)
        return found("no-objects", list(data.splits)) if bare else []
    in_train = data.in_split("train")[objects.entries]
    counts = np.bincount(objects.labels[in_train], minlength=len(objects.names))[:known]
    findings = []
    if not in_train.any():
        findings += found("no-objects", ["train"])
    foreign = np.flatnonzero(~in_train & ~np.isin(objects.labels, np.flatnonzero(counts)))
    foreign = foreign[objects.labels[foreign] < known]
    strange = Counter(objects.names[n] for n in objects.labels[foreign].tolist())
    if in_train.any():
        findings += found_objects("class-not-in-train", foreign.tolist(), data.place, _told(strange))
    rare = [f"{objects.names[n]}: {c}" for n, c in enumerate(counts.tolist()) if 0 < c < RARE]
    findings += found("rare-class", rare)
    if "val" in data.splits:
        in_val = data.in_split("val")[objects.entries]
        seen = np.bincount(objects.labels[in_val], minlength=len(objects.names))[:known]
        unseen = [objects.names[n] for n in np.flatnonzero((counts > 0) & (seen == 0)).tolist()]
        findings += found("class-not-in-val", unseen)
    return findings


def _told(counts: Counter[str], known: Sequence[str] = ()) -> str:
    """Return names with how many objects they have, and the known class that each is like."""
    words = []
    for name, count in counts.most_common():
        like = next((other for other in known if edit_distance(_plain(name), _plain(other)) <= 2), "")
        words.append(f"{name} ({count})" + (f", like {like}" if like else ""))
    return "; ".join(words)


def _look_alikes(names: Sequence[str], counts: Sequence[int]) -> dict[str, list[tuple[int, int]]]:
    """Return pairs of a class and a more frequent one that it is probably meant to be, by finding."""
    pairs: dict[str, list[tuple[int, int]]] = {"class-case": [], "misspelt-class": []}
    order = sorted((n for n in range(len(names)) if counts[n]), key=lambda n: -counts[n])
    for place, rare in enumerate(order):
        for often in order[:place]:
            if _plain(names[rare]) == _plain(names[often]):
                pairs["class-case"].append((rare, often))
                break
            limit = 1 if len(names[often]) < SHORT_WORD else 2
            is_rare = counts[rare] * FREQUENT <= counts[often]
            if is_rare and _is_slip(names[rare], names[often], limit):
                pairs["misspelt-class"].append((rare, often))
                break
    return pairs


def _plain(name: str) -> str:
    return re.sub(r"[-_.]", "", name.casefold())


def _is_slip(name: str, other: str, limit: int) -> bool:
    """Say whether one name becomes the other by `limit` slips; numbers at the end are meant to differ."""
    if name.rstrip("0123456789") == other.rstrip("0123456789"):
        return False
    return edit_distance(_plain(name), _plain(other)) <= limit


def edit_distance(first: str, second: str) -> int:
    """Return how many letters are added, left out, changed or swapped with a neighbour.

    Source: Damerau, 1964; the restricted distance, in which no pair of letters changes twice.
    """
    rows = [list(range(len(second) + 1))]
    for i, a in enumerate(first, 1):
        row = [i]
        for j, b in enumerate(second, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and b == first[i - 2]:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
