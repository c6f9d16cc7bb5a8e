"""Detection in many images of any size: small ones in batches, large ones and rasters tile by tile."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from cfg.schema import Config
from evalR.inference.load import Trained
from evalR.inference.predict import above_threshold, find_in_source, reading_of
from evalR.inference.slicing import whole_scale
from evalR.inference.splits import NOTHING, predict_images, predict_shared, predict_split
from utils.arrays import U8
from utils.errors import Faults
from utils.image_arrays import IN_MEMORY
from utils.images import ImageError, Size
from utils.raster_files import LOCAL, Access
from utils.rasters import raster_info
from utils.records import SceneDetections

ImageSource = Path | U8
CHUNK = 64  # files that are predicted before their outputs are written
RASTERS = (".tif", ".tiff", ".jp2", ".vrt")  # may have bands, nodata and a place on the map


def find_in_images(
    trained: Trained,
    sources: Iterable[ImageSource],
    faults: Faults,
    journal_of: Callable[[Path], Path | None] = lambda _: None,
    shared: bool = False,
) -> Iterator[tuple[ImageSource, SceneDetections]]:
    """Yield files and images (H, W, 3) RGB with what is found in them, in their order.

    No more of them are drawn than go into a few batches.

    Args:
        faults: take the files that cannot be read.
        journal_of: where the finished tiles of a large file are kept (`evalR.inference.scenes.journal`).
        shared: the processes of a launch share the work, and all yield the same.
    """
    chunk: list[ImageSource] = []
    for source in sources:
        if _stands_alone(source, trained.config):
            yield from _find_in_chunk(trained, chunk, faults, shared)
            yield from _find_one_by_one(trained, [source], faults, journal_of, shared)
            chunk = []
        else:
            chunk.append(source)
        if len(chunk) >= (CHUNK if isinstance(source, Path) else trained.config.eval.batch_size):
            yield from _find_in_chunk(trained, chunk, faults, shared)
            chunk = []
    yield from _find_in_chunk(trained, chunk, faults, shared)


def _stands_alone(source: ImageSource, config: Config) -> bool:
    """Say whether an image is not for a batch; what cannot be read is, and is found out in its turn."""
    if isinstance(source, Path) and (source.suffix.lower() in RASTERS or not reading_of(config).is_plain):
        return True
    try:
        return whole_scale(_size_of(source, Access.of(config.predict)), config) is None
    except ImageError:
        return False


def _size_of(source: ImageSource, access: Access = LOCAL) -> Size:
    if isinstance(source, Path):
        return raster_info(source, access).size
    return source.shape[0], source.shape[1]


def _find_in_chunk(
    trained: Trained,
    sources: Sequence[ImageSource],
    faults: Faults,
    shared: bool,
) -> Iterator[tuple[ImageSource, SceneDetections]]:
    """Yield small images, predicted in batches, or one by one where a file is bad."""
    for in_memory, group in groupby(sources, lambda source: not isinstance(source, Path)):
        own = list(group)
        try:
            found = _find_in_memory(trained, own) if in_memory else _find_in_files(trained, own, shared)
        except ImageError:
            if shared:  # the other processes wait for this one
                raise
            yield from _find_each(trained, own, faults)
        else:
            yield from zip(own, found, strict=True)


def _find_in_memory(trained: Trained, images: Sequence[ImageSource]) -> list[SceneDetections]:
    pixels = [image for image in images if not isinstance(image, Path)]
    found = predict_images(trained.model, pixels, trained.config, trained.device)
    return [
        SceneDetections(
            IN_MEMORY, _size_of(image), above_threshold(detections, trained), trained.classes, None
        )
        for image, detections in zip(images, found, strict=True)
    ]


def _find_in_files(trained: Trained, paths: Sequence[ImageSource], shared: bool) -> list[SceneDetections]:
    annotations = [NOTHING._replace(image_path=str(path)) for path in paths]
    predict = predict_shared if shared else predict_split
    found = predict(trained.model, annotations, _stopping(trained.config), trained.device)
    return [
        SceneDetections(
            str(path), _size_of(path), above_threshold(detections, trained), trained.classes, None
        )
        for path, detections in zip(paths, found, strict=True)
    ]


def _find_each(
    trained: Trained, sources: Sequence[ImageSource], faults: Faults
) -> Iterator[tuple[ImageSource, SceneDetections]]:
    """Yield small images as a batch would, each read by itself: a bad one changes nothing for the others."""
    for source in sources:
        in_memory = not isinstance(source, Path)
        find = partial(_find_in_memory, trained, [source])
        found = faults.attempt(find if in_memory else partial(_find_in_files, trained, [source], False))
        if found:
            yield source, found[0]


def _stopping(config: Config) -> Config:
    """Return the settings with which a bad image is an error, not a grey image."""
    return config.model_copy(update={"data": config.data.model_copy(update={"on_error": "stop"})})


def _find_one_by_one(
    trained: Trained,
    sources: Sequence[ImageSource],
    faults: Faults,
    journal_of: Callable[[Path], Path | None],
    shared: bool,
) -> Iterator[tuple[ImageSource, SceneDetections]]:
    """Yield images, each by itself."""
    for source in sources:
        journal = journal_of(source) if isinstance(source, Path) else None
        found = faults.attempt(partial(find_in_source, trained, source, journal, shared))
        if found is not None:
            yield source, found
