"""The training list: one line per image, 15 numbers per object (spec 1.1, docs/data.md)."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.label_lines import AnnotationError, parse_list_line, read_lines
from dataloadR.split_names import split_of_file
from datasets_tools.formats.dota import image_of_quads
from utils.arrays import F64
from utils.decimals import to_text
from utils.errors import Faults
from utils.files import write_text
from utils.quads.geometry import clockwise_quads, quad_areas, quads_to_hboxes
from utils.quads.glides import approximate_quads
from utils.rboxes import quads_to_rboxes

CLASSES_FILE = "classes.txt"  # beside the lists, one name per line in the order of the indices


def read_training_list(
    source: Path,
    faults: Faults,
    notes: Notes,
    classes: Sequence[str] = (),
) -> Iterator[LabelledImage]:
    """Yield the images of a list file, or of all text files of a folder; a line that is repeated once.

    Args:
        classes: names by index; without, those of classes.txt beside the list, or class0, class1 and so on.
    """
    for path in _list_files(source):
        names = classes or read_class_names(path.parent, faults)
        seen: set[str] = set()
        for number, text in read_lines(path, faults):
            if text in seen:  # some lists oversample by writing their lines several times
                notes.add("lines stand in their list before already, and were read once")
                continue
            seen.add(text)
            parsed = faults.attempt(partial(parse_list_line, text, path, number))
            if parsed is not None:
                yield image_of_quads(parsed[0], parsed[1], names, split_of_file(path))


def read_class_names(folder: Path, faults: Faults) -> list[str]:
    """Return the names in a folder's classes.txt; none without it."""
    path = folder / CLASSES_FILE
    return [name for _, name in read_lines(path, faults)] if path.is_file() else []


def _list_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise AnnotationError(f"{source}: no such list file or folder")
    return [path for path in sorted(source.glob("*.txt")) if path.name != CLASSES_FILE]


def write_list(images: Sequence[LabelledImage], target: Path, notes: Notes, classes: Sequence[str]) -> None:
    """Write SPLIT.txt, or all.txt for images without a split, and classes.txt.

    The vertices are the annotated ones in the order top, right, bottom, left of their best approximation;
    area ratio and angle are those of the approximation, the box that of the annotated quad (spec 1.1, 1.3).
    """
    index = {name: k for k, name in enumerate(classes)}
    lines: dict[str, list[str]] = {} if images else {"all": []}
    for image in images:
        labels = [index[name] for name in image.classes]
        line = " ".join([image.name, *_tokens(image.quads, labels)])
        lines.setdefault(image.split or "all", []).append(line)
        notes.add("difficult flags are lost: a training list has none", (image.difficult > 0).sum())
    for split, rows in lines.items():
        write_text(target / f"{split}.txt", "".join(f"{row}\n" for row in rows))
    write_text(target / CLASSES_FILE, "".join(f"{name}\n" for name in classes))


def _tokens(quads: F64, labels: Sequence[int]) -> list[str]:
    exact = torch.from_numpy(quads)
    approximated = approximate_quads(exact)
    hboxes = quads_to_hboxes(exact)
    sides = (hboxes[:, 2:] - hboxes[:, :2]).prod(dim=1)
    ratios = quad_areas(approximated) / sides.clamp(min=torch.finfo(sides.dtype).tiny)
    angles = quads_to_rboxes(approximated).select(1, 4) * (180 / math.pi)
    columns = (hboxes, _begin_at_top(exact, approximated).flatten(1), ratios, angles)
    rows = zip(*(column.tolist() for column in columns), labels, strict=True)
    return [
        ",".join([*map(to_text, box), str(label), *map(to_text, quad), to_text(ratio), to_text(angle)])
        for box, quad, ratio, angle, label in rows
    ]


def _begin_at_top(quads: torch.Tensor, approximated: torch.Tensor) -> torch.Tensor:
    """Return the quads clockwise, turned so that their vertices lie nearest to those of the approximation."""
    clockwise = clockwise_quads(quads)
    turned = torch.stack([clockwise.roll(-turn, dims=1) for turn in range(4)])
    best = (turned - approximated).abs().sum(dim=(2, 3)).argmin(dim=0)
    return turned[best, torch.arange(len(quads))]
