"""YOLO-OBB written: labels/SPLIT/NAME.txt and data.yaml."""

from collections.abc import Sequence
from pathlib import Path

from dataloadR.formats.layout import stem_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from evalR.outputs.yolo import shares_of, write_names, yolo_lines
from utils.arrays import F64
from utils.errors import UserError
from utils.files import write_text

DROPPED = "images have objects beyond the border, and Ultralytics leaves such images out whole; see --clip"


def is_dropped(shares: F64) -> bool:
    """Say whether Ultralytics leaves an image out, with all its objects, for quads (N, 4, 2) beyond it.

    It looks at the horizontal box around each quad: its centre and its sides have to be shares of 0 to 1.
    Releases up to 8.3 take this to the letter, 8.4 allows a hundredth more.  Found by trying both.
    """
    low, high = shares.min(axis=1), shares.max(axis=1)
    centres, sides = (low + high) / 2, high - low
    return bool((centres < 0).any() or (centres > 1).any() or (sides > 1).any())


def write_yolo(images: Sequence[LabelledImage], target: Path, notes: Notes, classes: Sequence[str]) -> None:
    """Write labels/SPLIT/NAME.txt and data.yaml, for images that lie in images/SPLIT.

    Raises:
        UserError: an image of unknown size.
    """
    index = {name: k for k, name in enumerate(classes)}
    for image in images:
        if image.size is None:
            raise UserError(f"{image.name}: YOLO labels need the size of the image")
        shares = shares_of(image.quads, image.size)
        lines = [f"{line}\n" for line in yolo_lines((index[name] for name in image.classes), shares)]
        write_text(
            target / "labels" / image.split / f"{stem_of(image.name)}.txt",
            "".join(lines),
        )
        notes.add(DROPPED, is_dropped(shares))
        notes.add("difficult flags are lost: YOLO labels have none", (image.difficult > 0).sum())
    splits = sorted({image.split for image in images} - {""})
    if not splits:
        notes.add("data set has no splits: data.yaml trains and validates on all of it")
    folders = {split: f"images/{split}" for split in splits} or {"train": "images", "val": "images"}
    write_names(target / "data.yaml", folders, classes)
