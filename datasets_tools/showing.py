"""Pictures of a data set: labels, predictions, and what training sees of them."""

import argparse
import math
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cfg.load import load_config
from cfg.schema import Config, DataConfig
from dataloadR.annotations import AnnotationError, read_split
from dataloadR.dataset import RotatedDataset
from dataloadR.loader import collate
from dataloadR.splits import load_split
from datasets_tools.jobs import run_jobs
from datasets_tools.predictions import Drawn, predict_files, read_predictions, result_classes, to_drawn
from evalR.inference.load import Trained, load_detector
from evalR.inference.predict import ONE_LABEL
from evalR.pictures.cells import Assign, assigner, draw_cells, heat_maps
from evalR.pictures.grid import spread
from evalR.pictures.labels import label_picture, legible_scale
from utils.arrays import U8
from utils.cli import pick_device
from utils.counts import counted
from utils.drawing import contact_sheet, save_image, side_by_side, with_legend
from utils.errors import Faults, UserError
from utils.files import write_text
from utils.images import read_image
from utils.records import Annotation, Detections, Sample
from utils.thresholds import Threshold, least_scores, threshold_text

LEGIBLE = 16.0  # px; smaller objects are enlarged
LARGEST = 2400  # px; no picture is enlarged beyond
THUMBNAIL = 320  # px, long side of a picture on the sheet
MAX_PICTURES = 1_000_000  # with --augment
MAX_SHEET = 100  # pictures on the sheet, evenly spread over those that were drawn
SHEET = "contact_sheet"
MARK = "show.txt"  # in OUT: its pictures may be replaced


class Subject(NamedTuple):
    """One image to be shown as it is."""

    name: str  # of its picture, without suffix
    truth: Annotation
    found: Drawn | None


class Thumbnail(NamedTuple):
    """One picture on the contact sheet."""

    title: str
    image: U8


class ShowRequest(NamedTuple):
    """What is to be shown, and where it goes."""

    out: Path
    suffix: str
    classes: tuple[str, ...]
    threshold: Threshold  # of the scores of predictions
    augment: bool
    cells: bool
    heat: bool


def run(arguments: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Show as `datasets_tools.show` was asked to."""
    detector = _load_detector(arguments, overrides)
    config = detector.config if detector else load_config(arguments.config, overrides)
    data = config.data.model_copy(update={"root": str(arguments.dataset)})
    known = detector.classes if detector else data.classes or _training_order(data, arguments.split)
    annotations, classes = load_split(data, data.split(arguments.split), known)
    if arguments.predictions:
        classes = tuple(dict.fromkeys([*classes, *result_classes(arguments.predictions)]))
    rng = np.random.default_rng(arguments.seed)
    rows = choose(len(annotations), arguments.number, arguments.augment, rng)
    threshold, flags = config.predict.threshold, (arguments.augment, arguments.cells, arguments.heat)
    view = ShowRequest(arguments.out, f".{arguments.format}", classes, threshold, *flags)
    _begin(view.out, arguments.dataset)
    thumbnails: list[Thumbnail] = []
    if not view.augment:
        detections = _detections(arguments.predictions, detector, annotations, rows, classes)
        least = least_scores(threshold, classes)
        found = [d and to_drawn(d, least) for d in detections]
        thumbnails = _show_labels(_subjects(annotations, rows, found), view, arguments.processes)
    if view.augment or view.cells or view.heat:
        augment = config.augment if view.augment else None
        dataset = RotatedDataset(annotations, augment, config.assign.min_side, arguments.seed, data=data)
        thumbnails += _show_samples(dataset, config, rows, view, assigner(config, len(classes), detector))
    if arguments.sheet:
        _save_sheet(thumbnails, view)
    told = f"{counted(len(rows), 'picture')} from {counted(len(annotations), 'image')}"
    sys.stdout.write(f"{told}\nresults: {view.out}\n")


def _load_detector(arguments: argparse.Namespace, overrides: Sequence[str]) -> Trained | None:
    if arguments.augment and (arguments.predictions or arguments.weights):
        raise UserError("--augment: expected no --predictions or --weights, for those are of whole images")
    if arguments.weights is None:
        return None
    if arguments.config is not None:
        raise UserError(f"{arguments.config}: expected no YAML beside --weights, which bring their own")
    return load_detector(arguments.weights, [ONE_LABEL, *overrides], pick_device)


def _training_order(data: DataConfig, split: str) -> tuple[str, ...]:
    """Return the classes as a training would number them, then those of this split alone.

    So a class has the colour of its objects in the pictures of that training, whatever the split has.
    """
    if data.split(split) == data.train:
        return ()  # `load_split` does the same
    names: list[str] = []
    for own in (data.train, data.split(split)):
        with suppress(AnnotationError):  # no such split: `load_split` says so of the one that is shown
            names += read_split(data.root, own, (), Faults(skip=True))[1]
    return tuple(dict.fromkeys(names))


def choose(count: int, number: int, repeat: bool, rng: np.random.Generator) -> list[int]:
    """Return `number` of `count` rows, drawn without replacement and sorted; 0: as many as there are.

    With `repeat` and a larger number all rows come again, in another draw.
    """
    number = min(number, MAX_PICTURES) or count
    if not repeat:
        return sorted(rng.permutation(count)[:number].tolist())
    rounds = -(-number // count)
    drawn = [rng.permutation(count)[: number - k * count] for k in range(rounds)]
    return [row for rows in drawn for row in sorted(rows.tolist())]


def _detections(
    folder: Path | None,
    detector: Trained | None,
    annotations: Sequence[Annotation],
    rows: Sequence[int],
    classes: Sequence[str],
) -> list[Detections | None]:
    """Return the detections of the chosen rows; None where there are none to be shown."""
    if folder:  # may hold any image of the split
        found = read_predictions(folder, [Path(a.image_path).stem for a in annotations], classes)
        return [found[row] for row in rows]
    if detector:
        return [*predict_files(detector, [annotations[row].image_path for row in rows])]
    return [None] * len(rows)


def _subjects(
    annotations: Sequence[Annotation], rows: Sequence[int], found: Sequence[Drawn | None]
) -> list[Subject]:
    names = picture_names([annotation.image_path for annotation in annotations])
    return [Subject(names[row], annotations[row], f) for row, f in zip(rows, found, strict=True)]


def picture_names(paths: Sequence[str]) -> list[str]:
    """Return a name for each image's picture: its stem; where several share it, with the image's number."""
    stems = [Path(path).stem for path in paths]
    counts = Counter([*stems, SHEET])
    return [stem if counts[stem] == 1 else f"{stem}-image{row}" for row, stem in enumerate(stems)]


def _begin(out: Path, dataset: str) -> None:
    """Mark a new or empty folder as one whose pictures may be replaced, so that no image ever is.

    Raises:
        UserError: it holds files, and no earlier call has marked it.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: expected a folder for the pictures, found a file")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise UserError(f"{out}: expected a new or empty folder, or one with the {MARK} of an earlier call")
    write_text(out / MARK, f"Pictures of {dataset}; the next call replaces those it draws.\n")


def _show_labels(subjects: Sequence[Subject], view: ShowRequest, processes: int) -> list[Thumbnail]:
    return list(run_jobs(partial(_show_subject, view=view), subjects, processes, "show"))


def _show_subject(subject: Subject, view: ShowRequest) -> Thumbnail:
    """Save the picture of an image and return it as a small one."""
    return _save(read_image(subject.truth.image_path), subject, view)


def _save(image: U8, subject: Subject, view: ShowRequest) -> Thumbnail:
    size = (image.shape[0], image.shape[1])
    scale = legible_scale(subject.truth.quads, size, LEGIBLE, LARGEST)
    save_image(view.out / f"{subject.name}{view.suffix}", _draw(image, subject, view, scale, True))
    small = min(1.0, THUMBNAIL / max(size))
    return Thumbnail(subject.name, _draw(image, subject, view, small, False))


def _draw(image: U8, subject: Subject, view: ShowRequest, scale: float, details: bool) -> U8:
    truth = label_picture(image, subject.truth, view.classes, None, scale, details)
    if subject.found is None:
        return truth
    objects, scores = subject.found
    both = side_by_side(truth, label_picture(image, objects, view.classes, scores, scale, details))
    return with_legend(both, [(None, f"left: labels; right: predictions, {threshold_text(view.threshold)}")])


def _show_samples(
    dataset: RotatedDataset, config: Config, rows: Sequence[int], view: ShowRequest, assign: Assign
) -> list[Thumbnail]:
    """Save what training sees of the chosen rows; return small pictures of augmented samples."""
    names = picture_names([annotation.image_path for annotation in dataset.annotations])

    def show(position: int) -> list[Thumbnail]:
        sample = dataset[(0, position, rows[position], config.data.input_size)]
        name = names[sample.row] + (f"-{position:04d}" if view.augment else "")
        _save_targets(sample, assign, view, name)
        if not view.augment:
            return []
        flags = np.where(sample.ignore, 2, 0).astype(np.int8)
        return [
            _save(sample.image, Subject(name, Annotation("", sample.quads, sample.labels, flags), None), view)
        ]

    return list(chain.from_iterable(run_jobs(show, range(len(rows)), 1, "network input")))


def _save_targets(sample: Sample, assign: Assign, view: ShowRequest, name: str) -> None:
    if not (view.cells or view.heat):
        return
    batch = collate([sample], 1)
    targets = assign(batch)
    if view.cells:
        save_image(view.out / "cells" / f"{name}{view.suffix}", draw_cells(batch, targets, 0))
    if view.heat:
        save_image(view.out / "heat" / f"{name}{view.suffix}", heat_maps(batch, targets, 0))


def _save_sheet(thumbnails: Sequence[Thumbnail], view: ShowRequest) -> None:
    chosen = [thumbnails[number] for number in spread(len(thumbnails), MAX_SHEET)]
    columns = math.ceil(math.sqrt(max(1, len(chosen))))
    sheet = contact_sheet([shown.image for shown in chosen], columns, [shown.title for shown in chosen])
    save_image(view.out / f"{SHEET}{view.suffix}", sheet)
