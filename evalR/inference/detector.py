"""Detector as a Python call: images and rasters of any size in, what was found out (docs/python.md)."""

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import Any, overload

import numpy as np
import PIL.Image
from torch import Tensor

from cfg.load import ConfigError, load_config_text
from evalR.inference.found import FoundObjects, Pixels
from evalR.inference.load import Trained, load_detector
from evalR.inference.many import ImageSource, find_in_images
from evalR.inference.predict import ONE_LABEL, chosen_labels, reading_of
from evalR.inference.sources import find_sources, is_video
from evalR.inference.thresholds import with_thresholds
from utils.arrays import U8
from utils.cli import pick_device
from utils.errors import Faults, UserError
from utils.image_arrays import checked_image
from utils.images import ImageError
from utils.progress import counting
from utils.records import SceneDetections

# A program that looks for objects gets no processes of its own unless it asks, and no list with gaps.
DEFAULTS = (ONE_LABEL, "data.workers=0", "data.on_error=stop")
CHANGEABLE = ("predict", "eval")  # sections that a call may have values of its own for
One = str | Path | U8 | PIL.Image.Image


class Detector:
    """Finds objects in images and rasters of any size.

        found = Detector("runs/demo/best.pt", tile=800, score_threshold=0.5)("scene.tif")

    Threads may share one.

    Args:
        weights: best.pt, last.pt or a run's folder; bare names are looked up in weight/.
        device: auto, cpu, cuda, cuda:1.
        quiet: no progress bars, and no lines in the log; else a bar appears where it takes longer.
        settings: those of `predict` by their names, others by `**{"eval.nms_iou": 0.4}`.

    Raises:
        CheckpointError: no checkpoint.
        ConfigError: no such setting, or a value that it cannot have.
        UserError: no such class.
    """

    def __init__(
        self, weights: str | Path, device: str = "auto", *, quiet: bool = False, **settings: object
    ) -> None:
        words = _words({"quiet": quiet, **settings})
        with _of_python():
            trained = load_detector(Path(weights), [*DEFAULTS, f"train.device={device}", *words], pick_device)
        self.trained = trained._replace(peak=None)  # nobody asks
        chosen_labels(self.trained)

    def __repr__(self) -> str:
        return f"<Detector {self.trained.path}: {', '.join(self.classes)}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that the model knows, by their labels."""
        return self.trained.classes

    @overload
    def __call__(
        self,
        source: U8 | PIL.Image.Image,
        journal: str | Path | None = None,
        shared: bool = False,
        **settings: object,
    ) -> FoundObjects: ...

    @overload
    def __call__(
        self,
        source: str | Path,
        journal: str | Path | None = None,
        shared: bool = False,
        **settings: object,
    ) -> Any: ...  # `FoundObjects` of a file, a list of them where the path means several

    @overload
    def __call__(
        self,
        source: Sequence[One] | Iterator[One],
        journal: str | Path | None = None,
        shared: bool = False,
        **settings: object,
    ) -> list[FoundObjects]: ...

    def __call__(
        self,
        source: One | Iterable[One],
        journal: str | Path | None = None,
        shared: bool = False,
        **settings: object,
    ) -> Any:
        """Return what is in an image file, a raster or an image in memory, or a list of this for several.

        Args:
            source: an image (H, W, 3) uint8 RGB or (H, W) uint8 grey, one of Pillow, or a path; several:
                any iterable of them, a folder, a pattern with `*`, `?` or `[`, a .txt with one path a line.
            journal: where the finished tiles of one large file are kept until `remove_journal` forgets
                them; a call after an interruption goes on there.
            shared: each process of a launch does its share of files and tiles; all return the same.
            settings: of `predict` and `eval`, for this call.

        Raises:
            ImageError: no image, or one that cannot be read; of several, `data.on_error=skip` leaves it out.
            UserError: a setting that does not fit the image, or a path that means no image.
            ConfigError: no such setting, or a value that it cannot have.
        """
        trained = self._with(settings)
        if not _is_many(source):
            own, place = _to_source(source), Path(journal) if journal else None
            faults = Faults(skip=False)
            ((_, found),) = find_in_images(trained, [own], faults, lambda _: place, shared)
            return _wrapped(own, found, trained)
        if journal:
            raise UserError(f"journal={journal}: expected one source, for a journal is that of one file")
        items = list(_each(source))
        with counting("predict", len(items), "image", trained.config.predict.quiet) as count:
            everything = []
            for one in _find_all(trained, items, shared):
                everything.append(one)
                count(1)
        return everything

    def stream(
        self, sources: str | Path | Iterable[One], shared: bool = False, **settings: object
    ) -> Iterator[FoundObjects]:
        """Yield what is in each of many images, in their order.

        They are drawn when their turn comes, a few batches of small ones at a time, and are not kept: memory
        does not grow with their number.  Arguments and errors are those of a call.
        """
        trained = self._with(settings)  # now, and not when the first result is asked for
        return _find_all(trained, _each(sources), shared)

    def _with(self, settings: Mapping[str, object]) -> Trained:
        """Return the model with other settings.

        Raises:
            UserError: a setting that a model is built or loaded with.
        """
        if not settings:
            return self.trained
        words = _words(settings)
        for word in words:
            key = word.partition("=")[0]
            if key.partition(".")[0] not in CHANGEABLE:
                raise UserError(
                    f"{key}: expected a setting of {' or '.join(CHANGEABLE)}; others are the detector's"
                )
        with _of_python():
            config = load_config_text(self.trained.config.model_dump_json(), str(self.trained.path), words)
        predict = with_thresholds(config.predict, self.trained.thresholds, self.classes)
        trained = self.trained._replace(config=config.model_copy(update={"predict": predict}))
        chosen_labels(trained)
        return trained


def _words(settings: Mapping[str, object]) -> list[str]:
    """Return settings as words of a command line."""
    return [
        f"{key if '.' in key else f'predict.{key}'}={dumps(value, default=plain_value)}"
        for key, value in settings.items()
    ]


@contextmanager
def _of_python() -> Iterator[None]:
    """Take the command line out of errors, for there is none."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(str(error).replace("command line: ", "")) from None


def plain_value(value: object) -> object:
    """Return a number or an array of numpy as Python has it.

    Raises:
        UserError: anything else that no setting can be.
    """
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise UserError(f"a setting: expected a number, a text or a list of them, got {type(value).__name__}")


def _is_many(source: object) -> bool:
    if isinstance(source, str | Path):
        path = Path(source)
        if path.exists():
            return path.is_dir() or path.suffix.lower() == ".txt"
        return glob.has_magic(str(source))
    return isinstance(source, Iterable) and not isinstance(source, np.ndarray | Tensor)


def _each(sources: Any) -> Iterator[ImageSource]:
    """Yield files and images, those of folders, patterns and lists one by one, when their turn comes."""
    for source in [sources] if isinstance(sources, str | Path) or not _is_many(sources) else sources:
        if not isinstance(source, str | Path) or not _is_many(source):
            yield _to_source(source)
            continue
        paths = [path for path in find_sources([str(source)]) if not is_video(path)]
        if not paths:
            raise UserError(f"{source}: expected images, found videos alone, which predict.py reads")
        yield from paths


def _to_source(source: object) -> ImageSource:
    """Return a path, or an image as (H, W, 3) uint8 RGB.

    Raises:
        ImageError: neither.
    """
    if isinstance(source, str | Path):
        return Path(source)
    if isinstance(source, PIL.Image.Image):
        if source.mode[0] in "IF":  # 16 and 32 bits, which Pillow cuts off at 255
            raise ImageError(f"image of Pillow: expected 8 bits per channel, got mode {source.mode}")
        source = np.asarray(source.convert("RGB"))
    if not isinstance(source, np.ndarray):
        raise ImageError(f"expected a path or an image (H, W, 3) uint8 of numpy, got {type(source).__name__}")
    return np.ascontiguousarray(checked_image(source))


def _find_all(trained: Trained, sources: Iterable[ImageSource], shared: bool) -> Iterator[FoundObjects]:
    """Yield what is found in each; files that may be left out are named in the log at the end."""
    faults = Faults(skip=trained.config.data.on_error == "skip" and not shared)
    for source, found in find_in_images(trained, sources, faults, shared=shared):
        yield _wrapped(source, found, trained)
    if not trained.config.predict.quiet:
        faults.report("predict")


def _wrapped(source: ImageSource, found: SceneDetections, trained: Trained) -> FoundObjects:
    image = None if isinstance(source, Path) else source
    predict = trained.config.predict
    pixels = Pixels(image, reading_of(trained.config), predict.max_picture, predict.threshold)
    return FoundObjects(found, pixels)
