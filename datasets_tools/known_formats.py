"""The label formats that `convert` knows: how each is read and written.

Functions are imported when a format is used, so that `--help` need not wait for what they need.
"""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dataloadR.formats.notes import Notes
    from dataloadR.formats.records import LabelledImage
    from utils.errors import Faults

Read = Callable[["Path", "Faults", "Notes"], "Iterator[LabelledImage]"]
Write = Callable[["Sequence[LabelledImage]", "Path", "Notes"], None]


class Reader(NamedTuple):
    """How a format is read: source, faults and notes in, images out."""

    function: Callable[[], Callable[..., Any]]
    takes: tuple[str, ...] = ()  # by name, of `format_readers`


class Writer(NamedTuple):
    """How a format is written: images, target and notes in."""

    function: Callable[[], Callable[..., Any]]
    image_folder: str  # where the images of a split lie, {} being the split
    takes: tuple[str, ...] = ()  # by name, of `writers`
    needs_size: bool = True


READERS = {
    "coco": Reader(lambda: import_module("dataloadR.formats.coco").read_coco, ("angle",)),
    "cvat": Reader(lambda: import_module("datasets_tools.formats.cvat").read_cvat),
    "dior-r": Reader(lambda: import_module("datasets_tools.formats.dior_r").read_dior_r),
    "dota": Reader(lambda: import_module("datasets_tools.formats.dota").read_dota, ("classes",)),
    "fair1m": Reader(lambda: import_module("datasets_tools.formats.fair1m").read_fair1m),
    "hrsc2016": Reader(lambda: import_module("datasets_tools.formats.hrsc2016").read_hrsc2016),
    "hrsc2016-ships": Reader(
        lambda: partial(import_module("datasets_tools.formats.hrsc2016").read_hrsc2016, one_class="ship")
    ),
    "icdar": Reader(lambda: import_module("datasets_tools.formats.comma_lines").read_icdar),
    "label-studio": Reader(lambda: import_module("datasets_tools.formats.label_studio").read_label_studio),
    "labelme": Reader(lambda: import_module("datasets_tools.formats.labelme").read_labelme),
    "list": Reader(
        lambda: import_module("datasets_tools.formats.training_list").read_training_list, ("classes",)
    ),
    "rolabelimg": Reader(lambda: import_module("datasets_tools.formats.rolabelimg").read_rolabelimg),
    "sku110k-r": Reader(lambda: import_module("datasets_tools.formats.sku110k").read_sku110k, ("angle",)),
    "ssdd": Reader(lambda: import_module("datasets_tools.formats.ssdd").read_ssdd, ("angle",)),
    "ucas-aod": Reader(lambda: import_module("datasets_tools.formats.ucas_aod").read_ucas_aod),
    "visdrone": Reader(lambda: import_module("datasets_tools.formats.comma_lines").read_visdrone),
    "voc": Reader(lambda: import_module("datasets_tools.formats.rolabelimg").read_rolabelimg),
    "xanylabeling": Reader(lambda: import_module("datasets_tools.formats.xanylabeling").read_xanylabeling),
    "yolo": Reader(lambda: import_module("dataloadR.formats.yolo").read_yolo, ("classes", "image_dir")),
    "yolo-obb": Reader(lambda: import_module("dataloadR.formats.yolo").read_yolo, ("classes", "image_dir")),
}
WRITERS = {
    "coco": Writer(
        lambda: import_module("datasets_tools.formats.coco_writing").write_coco, "images/{}", ("classes",)
    ),
    "coco-rotated": Writer(
        lambda: import_module("datasets_tools.formats.coco_writing").write_coco,
        "images/{}",
        ("classes", "rotated"),
    ),
    "cvat": Writer(lambda: import_module("datasets_tools.formats.cvat").write_cvat, "images/{}"),
    "dota": Writer(
        lambda: import_module("datasets_tools.formats.dota").write_dota, "{}/images", needs_size=False
    ),
    "labelme": Writer(lambda: import_module("datasets_tools.formats.labelme").write_labelme, "{}"),
    "list": Writer(
        lambda: import_module("datasets_tools.formats.training_list").write_list,
        "images/{}",
        ("classes",),
        needs_size=False,
    ),
    "rolabelimg": Writer(
        lambda: import_module("datasets_tools.formats.rolabelimg").write_rolabelimg, "JPEGImages"
    ),
    "xanylabeling": Writer(
        lambda: import_module("datasets_tools.formats.xanylabeling").write_xanylabeling, "{}"
    ),
    "yolo-obb": Writer(
        lambda: import_module("datasets_tools.formats.yolo_writing").write_yolo, "images/{}", ("classes",)
    ),
}


class Target(NamedTuple):
    """A format that is written, ready to be called."""

    write: Write
    image_folder: str  # as in `Writer`
    needs_size: bool

    def place(self, image: "LabelledImage") -> str:
        """Return where an image lies in DST; without a split, in the folders that are not called by it."""
        folder = self.image_folder.format(image.split).strip("/")
        return (PurePosixPath(folder) / image.name).as_posix()


def format_readers(names: Sequence[str], angle: str, image_dir: Path | None = None) -> dict[str, Read]:
    """Return how each format is read; `names` are those of class indices, `angle` that of rotated boxes."""
    given = {"classes": names, "angle": angle, "image_dir": image_dir}
    return {name: _ready(reader, given) for name, reader in READERS.items()}


def writers(classes: Sequence[str], angle: str) -> dict[str, Target]:
    """Return how each format is written; `classes` have their indices by order."""
    given = {"classes": classes, "rotated": angle}
    return {
        name: Target(_ready(writer, given), writer.image_folder, writer.needs_size)
        for name, writer in WRITERS.items()
    }


def _ready(side: Reader | Writer, given: dict[str, Any]) -> Callable[..., Any]:
    """Return the function of a format with what it takes; it is imported when it is called."""
    return partial(_call, side.function, **{name: given[name] for name in side.takes})


def _call(function: Callable[[], Callable[..., Any]], *args: object, **given: object) -> Any:
    return function()(*args, **given)
