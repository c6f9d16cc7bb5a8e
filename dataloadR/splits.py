"""Splits of the configured data, checked before anything long begins."""

import logging
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfg.schema import DataConfig
from dataloadR.annotations import AnnotationError, read_split
from utils.counts import counted
from utils.errors import Faults
from utils.files import data_folder
from utils.images import Size, check_image, image_size, read_image
from utils.records import Annotation
from utils.scales import filling_scale

DEMO_ROOT = "dataR/demo"
SIZE_SAMPLE = 512  # images whose headers are read to learn how large a data set's images are
MAX_DOWNSCALE = 2.0  # where `data.max_downscale` says nothing
SPREAD = (5, 50, 95)  # percentiles of the scales: a few odd images do not count

logger = logging.getLogger(__name__)


def load_split(
    data: DataConfig, split: str, classes: Sequence[str]
) -> tuple[list[Annotation], tuple[str, ...]]:
    """Return the annotations of a split and the class names; the demo data are made on first use.

    With `data.on_error=skip` bad labels and images are left out, counted and listed once; the images of
    `data.train` are not decoded for that, others are.

    Raises:
        AnnotationError: whatever `read_split` finds wrong, or nothing is left.
    """
    if Path(data.root) == Path(DEMO_ROOT):
        from dataloadR.demo.scenes import write_demo_scenes  # nobody else needs the painter

        write_demo_scenes(Path(data.root))
    faults = Faults(skip=data.on_error == "skip")
    annotations, names = read_split(data.root, split, classes, faults)
    if faults.skip:
        check = check_image if split == data.train else read_image  # what is scored has no replacement later
        annotations = [a for a in annotations if faults.attempt(partial(check, a.image_path)) is not None]
    faults.report(f"{data.root}, split {split}")
    if not annotations:
        raise AnnotationError(f"{data.root}, split {split}: expected at least one readable image, found none")
    objects = sum(len(annotation.labels) for annotation in annotations)
    told = f"{counted(len(annotations), 'image')}, {counted(objects, 'object')}"
    logger.info("%s, split %s: %s", data.root, split, told)
    return annotations, names


def check_objects(annotations: Sequence[Annotation], data: DataConfig) -> None:
    """Stop where a training would see background alone, because labels were looked for in the wrong place.

    Raises:
        AnnotationError: no image of the training split has an object.
    """
    if not any(len(annotation.labels) for annotation in annotations):
        raise AnnotationError(
            f"{data.root}, split {data.train}: no object in {counted(len(annotations), 'image')}; labels are "
            f"text files of the images' names in labelTxt/ (or Annotations/ beside JPEGImages/), or YOLO's "
            f"or COCO's, see docs/data.md"
        )


def check_sizes(annotations: Sequence[Annotation], data: DataConfig) -> None:
    """Stop where training would shrink the images so much that their objects vanish.

    Raises:
        AnnotationError: the median image is larger than `data.max_downscale` times the network input.
    """
    height, width = np.median(sample_sizes(annotations), axis=0)
    sides = int(height), int(width)
    if far_larger(sides, data):
        raise AnnotationError(
            f"{data.root}: the images are about {sides[1]} x {sides[0]} px (width x height), more than "
            f"{max_downscale(data):g} times data.image_size={list(data.input_size)}: small objects vanish. "
            f"Cut them into tiles first ({split_command(data)}) and give data.root that folder, or raise "
            f"data.max_downscale to shrink them anyway"
        )


def split_command(data: DataConfig) -> str:
    """Return the command line that cuts the images to the size of the network input."""
    root, tile = Path(data.root).expanduser().resolve(), max(data.input_size)
    place = data_folder(root)
    out = place.with_name(f"{place.stem if place.is_file() else place.name}_{tile}")
    splits = dict.fromkeys((data.train, data.val))
    lists = [split for split in splits if split and ((root / split).is_file() or Path(split).is_file())]
    words = [str(root), str(out), "--size", str(tile), "--overlap", str(tile // 4)]
    return shlex.join(
        ["python", "-m", "datasets_tools.split", *words, *(["--splits", *lists] if lists else [])]
    )


def far_larger(size: Size, data: DataConfig) -> bool:
    """Return whether images of this height and width must be cut into tiles."""
    return fitting_scale(size, data) < 1 / max_downscale(data)


def max_downscale(data: DataConfig) -> float:
    """Return how many times larger than the network input images may be."""
    return MAX_DOWNSCALE if data.max_downscale is None else data.max_downscale


def fitting_scale(size: Size, data: DataConfig) -> float:
    """Return the scale at which an image of this height and width fills the network input."""
    return filling_scale(size, data.input_size)


def with_training_scale(data: DataConfig, annotations: Sequence[Annotation]) -> DataConfig:
    """Return the settings with the scales at which training shows these images, unless they say some."""
    if data.training_scale is not None:
        return data
    scales = [fitting_scale((height, width), data) for height, width in sample_sizes(annotations).tolist()]
    low, median, high = (float(f"{value:.6g}") for value in np.percentile(scales, SPREAD))
    logger.info("%s: images are shown at a scale of %.3g (%.3g to %.3g)", data.root, median, low, high)
    return data.model_copy(update={"training_scale": (low, median, high)})


def sample_sizes(annotations: Sequence[Annotation]) -> NDArray[np.int64]:
    """Return height and width (N, 2) of an evenly spread sample of the images."""
    rows = np.linspace(0, len(annotations) - 1, min(SIZE_SAMPLE, len(annotations))).astype(int)
    return np.array([image_size(annotations[row].image_path) for row in rows])
