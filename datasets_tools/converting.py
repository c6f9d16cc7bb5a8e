"""Label conversion: read in one format, written in another, with the images beside them."""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dataloadR.formats.image_finder import ImageFinder
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from datasets_tools.class_names import find_names, keep_classes, parse_map, parse_names, rename_classes
from datasets_tools.clipping import clip_items
from datasets_tools.image_files import put_image, same_file
from datasets_tools.items import Item, find_items, with_names, with_sizes, without_splits
from datasets_tools.jobs import run_jobs
from datasets_tools.known_formats import Target, format_readers, writers
from datasets_tools.next_steps import after_conversion
from datasets_tools.source_format import find_format
from datasets_tools.staging import conflicts, move_files, refuse_originals, refuse_overwriting, staged
from utils.counts import counted
from utils.errors import Faults, UserError
from utils.progress import bar_over

SCORED = ("coco", "coco-rotated", "labelme", "xanylabeling")  # formats that keep scores of predictions
SPLIT_NAME = r"\w[\w. -]*"  # of a folder


def run(args: argparse.Namespace) -> None:
    """Convert as `datasets_tools.convert` was asked to."""
    args.names, args.classes = parse_names(args.names), parse_names(args.classes)
    if args.split and not re.fullmatch(SPLIT_NAME, args.split):
        raise UserError(f"--split {args.split}: expected a word that can name a folder")
    if not args.source_format:
        args.source_format, args.source, args.image_dir = find_format(args.source, args.image_dir)
    faults, notes = Faults(skip=args.on_error == "skip"), Notes()
    items = convert(args, faults, notes)
    faults.report(str(args.source))
    notes.report()
    sys.stdout.write(conversion_summary(items, args.target))
    if args.images != "none":
        images = [item.image for item in items]
        classes = args.classes or find_names(images)
        sys.stdout.write(after_conversion(args.target, args.target_format, images, classes))


def convert(args: argparse.Namespace, faults: Faults, notes: Notes) -> list[Item]:
    """Read, find, check and only then write; return what was written."""
    _check_target(args.source, args.target)
    images = read_source(args, faults, notes)
    classes = args.classes or find_names(images)
    target = writers(classes, args.angle or "degrees")[args.target_format]
    sized = target.needs_size or args.clip
    finder = ImageFinder(args.source, args.image_dir, args.target)
    _refuse_pictures(images, finder, args)
    items = find_items(images, finder, args.images != "none", sized, faults)
    if args.splits == "ignore":
        items = without_splits(items, args.split)
    items = with_sizes(items, args.processes, faults) if sized else items
    items = clip_items(items, notes) if args.clip else items
    items = with_names(items, args.source, faults)
    places = [(item.file, args.target / target.place(item.image)) for item in items if item.file]
    if args.target_format == "list":  # which says where the images lie
        items = [_with_path(item, args, target) for item in items]
    write_items([item.image for item in items], places if args.images != "none" else [], args, target, notes)
    return items


def _check_target(source: Path, target: Path) -> None:
    """Raise a UserError where no folder can be written, or where a second run would read the first's."""
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: expected a folder to write, got a file")
    if source.is_dir() and source.resolve() in target.resolve().parents:
        raise UserError(f"{target}: expected a folder outside {source}, whose labels are read")


def _refuse_pictures(images: Sequence[LabelledImage], finder: ImageFinder, args: argparse.Namespace) -> None:
    """Raise a UserError where predictions would get the pictures beside them, which have outlines drawn."""
    scored = [image for image in images if image.scores is not None]
    file = finder.find(scored[0].name, scored[0].split) if scored and args.image_dir is None else None
    if file and file.parent == args.source:
        raise UserError(f"{file}: a picture beside predictions; say where the images are with --image-dir")


def read_source(args: argparse.Namespace, faults: Faults, notes: Notes) -> list[LabelledImage]:
    """Return the images of the source with the classes that are asked for."""
    read = format_readers(args.names, args.angle, args.image_dir)[args.source_format]
    images = list(bar_over(read(args.source, faults, notes), "read", "image"))
    images = rename_classes(images, parse_map(args.map))
    images = keep_classes(images, args.classes, notes)
    missing = [name for name in args.classes if name not in find_names(images)]
    notes.add(f"classes have no object: {', '.join(missing)}", len(missing))
    notes.add("data set has no images", not images)
    for split in sorted({image.split for image in images if image.split}):
        if not re.fullmatch(SPLIT_NAME, split):  # it becomes a folder, which must lie in DST
            raise UserError(f"{args.source}: expected splits that can name a folder, got {split[:80]!r}")
    return [image._replace(split=image.split or args.split) for image in images]


def _with_path(item: Item, args: argparse.Namespace, target: Target) -> Item:
    """Return the item with the path of its image as its name; the original's where it stays there."""
    original = str(item.file.resolve()) if item.file else item.written
    path = original if args.images == "none" else target.place(item.image)
    return item._replace(image=item.image._replace(name=path))


def write_items(
    images: Sequence[LabelledImage],
    places: Sequence[tuple[Path, Path]],
    args: argparse.Namespace,
    target: Target,
    notes: Notes,
) -> None:
    """Write the labels beside DST, then place the images, from and to, then move the labels there."""
    if args.target_format not in SCORED:
        lost = sum(len(image.classes) for image in images if image.scores is not None)
        notes.add(f"scores are lost: {args.target_format} has no place for them", lost)
    with staged(args.target) as folder:
        try:
            target.write(images, folder, notes)
        except UserError as error:  # which names where the file would have been moved to
            raise UserError(str(error).replace(str(folder), str(args.target))) from None
        taken = conflicts(folder, args.target)
        taken += [new for old, new in places if new.exists() and not same_file(old, new)]
        refuse_originals(taken, args.source, {old.resolve() for old, _ in places})
        refuse_overwriting(args.target, [] if args.overwrite else taken)
        ways = Counter(run_jobs(partial(put_image, mode=args.images), places, args.processes, "images"))
        notes.add(
            "images were copied, as the file system has no links", args.images == "link" and ways["copied"]
        )
        move_files(folder, args.target)


def conversion_summary(items: Sequence[Item], target: Path) -> str:
    """Return what was written, for the user."""
    splits = Counter(item.image.split or "no split" for item in items)
    objects = Counter(name for item in items for name in item.image.classes)
    lines = [f"{target}: {counted(len(items), 'image')}, {counted(objects.total(), 'object')}"]
    lines += [f"  {name}: {counted(count, 'image')}" for name, count in sorted(splits.items())]
    lines += [f"  {name}: {counted(count, 'object')}" for name, count in sorted(objects.items())]
    return "".join(f"{line}\n" for line in lines)
