"""YOLO-OBB written: labels/SPLIT/NAME.txt and data.yaml."""

from collections.abc import Sequence
from pathlib import Path

from dataloadR.formats.layout import stem_of
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from evalR.outputs.yolo import shares_of, write_names, yolo_lines
from utils.errors import UserError
from utils.files import write_text


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
        outside = ((shares < 0) | (shares > 1)).any(axis=(1, 2))
        notes.add("quads reach beyond the image, which some YOLO trainers refuse", outside.sum())
        notes.add("difficult flags are lost: YOLO labels have none", (image.difficult > 0).sum())
    splits = sorted({image.split for image in images} - {""})
    if not splits:
        notes.add("data set has no splits: data.yaml trains and validates on all of it")
    folders = {split: f"images/{split}" for split in splits} or {"train": "images", "val": "images"}
    write_names(target / "data.yaml", folders, classes)
