"""Dealing out of images to splits, and the lists that say so."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataloadR.annotations import LAYOUTS, read_everything
from dataloadR.foreign import FOREIGN_KINDS, recognise
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from datasets_tools.formats.training_list import CLASSES_FILE, write_list
from datasets_tools.splitting import deal, unit_keys
from datasets_tools.staging import conflicts, move_files, refuse_originals, refuse_overwriting, staged
from utils.arrays import I64
from utils.counts import counted
from utils.errors import UserError
from utils.records import Annotation

SUM_TOLERANCE = 1e-6
DATA_FOLDERS = {name for layout in LAYOUTS for name in layout}  # never for name files: a.txt may be labels


class Share(NamedTuple):
    """What a split is to get."""

    name: str
    share: float


def run(arguments: argparse.Namespace) -> None:
    """Split as `datasets_tools.make_list` was asked to."""
    shares = check_shares([Share(*share) for share in arguments.split])
    if arguments.out.resolve().name in DATA_FOLDERS:
        raise UserError(f"{arguments.out}: expected a folder for SPLIT.txt, got one for images or labels")
    if (arguments.by == "group") > (arguments.group is not None):
        raise UserError("--by group: expected --group REGEX, whose first group names the video or scene")
    if arguments.group is not None and arguments.by == "image":
        raise UserError("--group: expected --by group or --by class beside it, got --by image")
    annotations, classes = read_everything(arguments.source, arguments.classes)
    if arguments.format == "names":
        _check_layout(arguments.source, annotations)
    counts = count_objects(annotations, len(classes))
    keys = unit_keys([annotation.image_path for annotation in annotations], arguments.group)
    rng = np.random.default_rng(arguments.seed)
    splits = split_images(keys, shares, rng, counts if arguments.by == "class" else None)
    _check_filled(splits, shares, len(set(keys)))
    with staged(arguments.out) as folder:
        if arguments.format == "names":
            _write_names(annotations, splits, shares, folder)
        else:
            _write_lists(annotations, splits, shares, classes, (folder, arguments.out))
        taken, source = conflicts(folder, arguments.out), Path(arguments.source).expanduser()
        if source.is_file():  # the name files of a folder are what may be replaced
            refuse_originals(taken, source)
        refuse_overwriting(arguments.out, [] if arguments.overwrite else taken)
        move_files(folder, arguments.out)
    sys.stdout.write(split_table(splits, counts, [share.name for share in shares], classes))
    if arguments.format == "list":
        sys.stdout.write(f"data.classes: [{', '.join(classes)}]\n")
    sys.stdout.write(f"results: {arguments.out}\n")


def check_shares(shares: Sequence[Share]) -> list[Share]:
    """Return the shares.

    Raises:
        UserError: a name twice, one that means another file, or a sum other than 1.
    """
    total = sum(share.share for share in shares)
    names = [share.name for share in shares]
    if abs(total - 1) > SUM_TOLERANCE:
        raise UserError(f"--split: expected shares that sum to 1, got {total:g}")
    if len(set(names)) < len(names):
        raise UserError(f"--split: expected each name once, got {' '.join(names)}")
    if Path(CLASSES_FILE).stem in names:
        raise UserError(
            f"--split: expected another name than {Path(CLASSES_FILE).stem!r}, which is the class list's"
        )
    return list(shares)


def count_objects(annotations: Sequence[Annotation], classes: int) -> I64:
    """Return the objects of each image per class, (N, C)."""
    counts = np.zeros((len(annotations), classes), np.int64)
    for row, annotation in enumerate(annotations):
        counts[row] = np.bincount(annotation.labels, minlength=classes)
    return counts


def split_images(
    keys: Sequence[str], shares: Sequence[Share], rng: np.random.Generator, counts: I64 | None = None
) -> I64:
    """Return the split of each image, (N,); images of one key share theirs.

    Args:
        counts: (N, C) objects per class, to be shared out evenly; None: images alone.
    """
    _, units = np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)
    sizes = np.bincount(units)
    of_units = None
    if counts is not None:
        of_units = np.zeros((len(sizes), counts.shape[1]), np.int64)
        np.add.at(of_units, units, counts)
    return deal(sizes, np.array([share.share for share in shares]), rng, of_units)[units]


def _check_filled(splits: I64, shares: Sequence[Share], units: int) -> None:
    for number, share in enumerate(shares):
        if not (splits == number).any():
            what = counted(len(splits), "image") + f" in {counted(units, 'unit')}" * (units != len(splits))
            raise UserError(
                f"--split {share.name}={share.share:g}: no image is left for it; there are {what}"
            )


def _check_layout(source: str, annotations: Sequence[Annotation]) -> None:
    """Raise where no ImageSets are read: beside YOLO and COCO labels, or for images of several folders."""
    data = recognise(Path(source).expanduser())
    if data is not None:
        raise UserError(
            f"--format names: expected images/ and labelTxt/, found {FOREIGN_KINDS[data.kind]}; "
            "use --format list"
        )
    folders = {Path(annotation.image_path).parent for annotation in annotations}
    if len(folders) > 1:
        raise UserError(
            f"--format names: expected images in one folder, found {len(folders)}; use --format list"
        )


def _write_names(
    annotations: Sequence[Annotation], splits: I64, shares: Sequence[Share], folder: Path
) -> None:
    """Write SPLIT.txt: the stems of the images, or the whole names of those that share a stem."""
    paths = [Path(annotation.image_path) for annotation in annotations]
    stems, counts = np.unique([path.stem for path in paths], return_counts=True)
    shared = set(stems[counts > 1].tolist())
    names = [path.name if path.stem in shared else path.stem for path in paths]
    for number, share in enumerate(shares):
        rows = np.flatnonzero(splits == number)
        text = "".join(f"{names[row]}\n" for row in rows)
        (folder / f"{share.name}.txt").write_text(text, encoding="utf-8", newline="\n")


def _write_lists(
    annotations: Sequence[Annotation],
    splits: I64,
    shares: Sequence[Share],
    classes: Sequence[str],
    places: tuple[Path, Path],
) -> None:
    """Write training lists into the first place, to be read in the second."""
    folder, out = places
    notes = Notes()
    images = [
        _labelled(annotation, classes, shares[split].name, out.resolve())
        for annotation, split in zip(annotations, splits.tolist(), strict=True)
    ]
    write_list(images, folder, notes, classes)
    notes.report()


def _labelled(annotation: Annotation, classes: Sequence[str], split: str, out: Path) -> LabelledImage:
    return LabelledImage(
        name=_path_from(Path(annotation.image_path).resolve(), out),
        size=None,
        quads=annotation.quads.astype(str).astype(np.float64),  # the shortest decimals that mean the same
        classes=[classes[label] for label in annotation.labels.tolist()],
        difficult=annotation.difficult,
        split=split,
    )


def _path_from(image: Path, out: Path) -> str:
    """Return a path relative to the list's folder or the one above, the places where it is looked for."""
    for base in (out, out.parent):
        if image.is_relative_to(base):
            return image.relative_to(base).as_posix()
    return image.as_posix()


def split_table(splits: I64, counts: I64, names: Sequence[str], classes: Sequence[str]) -> str:
    """Return images and objects per class of each split, with their shares, as text."""
    images = np.bincount(splits, minlength=len(names))
    objects = np.stack([counts[splits == number].sum(axis=0) for number in range(len(names))])
    rows = [("images", images), ("objects", objects.sum(axis=1)), *zip(classes, objects.T, strict=True)]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'':{width}}" + "".join(f"{name:>18}" for name in names)]
    for name, numbers in rows:
        total = max(int(numbers.sum()), 1)
        lines.append(f"{name:{width}}" + "".join(f"{n:>9} ({n / total:6.1%})" for n in numbers.tolist()))
    return "\n".join(lines) + "\n"
