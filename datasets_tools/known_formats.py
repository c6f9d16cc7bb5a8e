"""The label formats that `convert` knows: how each is read and written."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dataloadR.formats.coco import read_coco
from dataloadR.formats.notes import Notes
from dataloadR.formats.records import LabelledImage
from dataloadR.formats.yolo import read_yolo
from datasets_tools.formats.coco_writing import write_coco
from datasets_tools.formats.comma_lines import read_icdar, read_visdrone
from datasets_tools.formats.cvat import read_cvat, write_cvat
from datasets_tools.formats.dior_r import read_dior_r
from datasets_tools.formats.dota import read_dota, write_dota
from datasets_tools.formats.fair1m import read_fair1m
from datasets_tools.formats.hrsc2016 import read_hrsc2016
from datasets_tools.formats.label_studio import read_label_studio
from datasets_tools.formats.labelme import read_labelme, write_labelme
from datasets_tools.formats.rolabelimg import read_rolabelimg, write_rolabelimg
from datasets_tools.formats.sku110k import read_sku110k
from datasets_tools.formats.ssdd import read_ssdd
from datasets_tools.formats.training_list import read_training_list, write_list
from datasets_tools.formats.ucas_aod import read_ucas_aod
from datasets_tools.formats.xanylabeling import read_xanylabeling, write_xanylabeling
from datasets_tools.formats.yolo_writing import write_yolo
from utils.errors import Faults

Read = Callable[[Path, Faults, Notes], Iterator[LabelledImage]]
Write = Callable[[Sequence[LabelledImage], Path, Notes], None]


class Target(NamedTuple):
    """How a format is written."""

    write: Write
    image_folder: str  # where the images of a split lie, {} being the split
    needs_size: bool = True

    def place(self, image: LabelledImage) -> str:
        """Return where an image lies in DST; without a split, in the folders that are not called by it."""
        folder = self.image_folder.format(image.split).strip("/")
        return (PurePosixPath(folder) / image.name).as_posix()


def format_readers(names: Sequence[str], angle: str, image_dir: Path | None = None) -> dict[str, Read]:
    """Return how each format is read; `names` are those of class indices, `angle` that of rotated boxes."""
    return {
        "coco": partial(read_coco, angle=angle),
        "cvat": read_cvat,
        "dior-r": read_dior_r,
        "dota": partial(read_dota, classes=names),
        "fair1m": read_fair1m,
        "hrsc2016": read_hrsc2016,
        "hrsc2016-ships": partial(read_hrsc2016, one_class="ship"),
        "icdar": read_icdar,
        "label-studio": read_label_studio,
        "labelme": read_labelme,
        "list": partial(read_training_list, classes=names),
        "rolabelimg": read_rolabelimg,
        "sku110k-r": partial(read_sku110k, angle=angle),
        "ssdd": partial(read_ssdd, angle=angle),
        "ucas-aod": read_ucas_aod,
        "visdrone": read_visdrone,
        "voc": read_rolabelimg,
        "xanylabeling": read_xanylabeling,
        "yolo": partial(read_yolo, classes=names, image_dir=image_dir),
        "yolo-obb": partial(read_yolo, classes=names, image_dir=image_dir),
    }


def writers(classes: Sequence[str], angle: str) -> dict[str, Target]:
    """Return how each format is written; `classes` have their indices by order."""
    return {
        "coco": Target(partial(write_coco, classes=classes), "images/{}"),
        "coco-rotated": Target(partial(write_coco, classes=classes, rotated=angle), "images/{}"),
        "cvat": Target(write_cvat, "images/{}"),
        "dota": Target(write_dota, "{}/images", needs_size=False),
        "labelme": Target(write_labelme, "{}"),
        "list": Target(partial(write_list, classes=classes), "images/{}", needs_size=False),
        "rolabelimg": Target(write_rolabelimg, "JPEGImages"),
        "xanylabeling": Target(write_xanylabeling, "{}"),
        "yolo-obb": Target(partial(write_yolo, classes=classes), "images/{}"),
    }
