"""Objects in many images of any size: small ones in batches, large ones and rasters tile by tile."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from cfg.schema import Config
from evalR.inference import predict_shared
from evalR.load import Trained
from evalR.predict import find_in_source, reading_of, shown
from evalR.slicing import whole_scale
from utils.distributed import launched
from utils.errors import Faults
from utils.images import ImageError
from utils.rasters import raster_info
from utils.records import Annotation, Detections
from utils.scene_rasters import PLAIN

CHUNK = 64  # images that are predicted before their outputs are written
RASTERS = (".tif", ".tiff", ".jp2", ".vrt")  # may have bands, nodata and a place on the map


def find_in_images(
    trained: Trained, paths: Sequence[Path], faults: Faults, journal_of: Callable[[Path], Path]
) -> Iterator[tuple[Path, Detections]]:
    """Yield the images with what is found in them, in their order; bad ones go to the faults.

    The processes of a launch share the work, and all yield the same.

    Args:
        journal_of: where the finished tiles of a large image are kept (`evalR.scenes.journal`).
    """
    chunk: list[Path] = []
    for path in paths:
        if _stands_alone(path, trained.config):
            yield from _find_in_chunk(trained, chunk, faults, journal_of)
            yield from _find_one_by_one(trained, [path], faults, journal_of)
            chunk = []
        else:
            chunk.append(path)
        if len(chunk) == CHUNK:
            yield from _find_in_chunk(trained, chunk, faults, journal_of)
            chunk = []
    yield from _find_in_chunk(trained, chunk, faults, journal_of)


def _stands_alone(path: Path, config: Config) -> bool:
    """Say whether an image is not for a batch; what cannot be read is, and is found out in its turn."""
    if path.suffix.lower() in RASTERS or reading_of(config) != PLAIN:
        return True
    try:
        return whole_scale(raster_info(path).size, config) is None
    except ImageError:
        return False


def _find_in_chunk(
    trained: Trained, paths: Sequence[Path], faults: Faults, journal_of: Callable[[Path], Path]
) -> Iterator[tuple[Path, Detections]]:
    """Yield small images, predicted in batches, or one by one where a file is bad."""
    if not paths:
        return
    bare = Annotation("", np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int8))
    annotations = [bare._replace(image_path=str(path)) for path in paths]
    try:
        found = predict_shared(trained.model, annotations, _stopping(trained.config), trained.device)
    except ImageError:
        if launched():  # the other processes wait for this one
            raise
        yield from _find_one_by_one(trained, paths, faults, journal_of)
    else:
        yield from zip(paths, (shown(detections, trained) for detections in found), strict=True)


def _stopping(config: Config) -> Config:
    """Return the settings with which a bad image is an error, not a grey image."""
    return config.model_copy(update={"data": config.data.model_copy(update={"on_error": "stop"})})


def _find_one_by_one(
    trained: Trained, paths: Sequence[Path], faults: Faults, journal_of: Callable[[Path], Path]
) -> Iterator[tuple[Path, Detections]]:
    """Yield images, each by itself."""
    for path in paths:
        attempt = partial(find_in_source, trained, path, journal_of(path), shared=launched())
        found = faults.attempt(attempt)
        if found is not None:
            yield path, found.detections
